"""Findings: problems in words for the user, and which of them are logged when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

#: A finding ends if it does not recur for this time, seconds.
_ENDED_S = 5.0
#: Minimum time between log lines of a finding that comes and goes, seconds.
_AGAIN_S = 30.0
#: Period of reminders, seconds.
REMIND_S = 10.0


class Level(IntEnum):
    """Levels of a finding, as in `diagnostic_msgs/DiagnosticStatus`."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Finding:
    """A problem.

    Attributes:
        kind: identifier of the cause.
        reason: what is wrong, with the value seen.
        fix: how to correct it.
        level: level of the status.
        log_after_s: time that the problem must last before it is logged, seconds.
        is_logged: the problem was already logged when it happened.
        reminder: text logged every `REMIND_S` while the problem lasts; none if empty.
    """

    kind: str
    reason: str
    fix: str = ""
    level: Level = Level.WARN
    log_after_s: float = 0.0
    is_logged: bool = False
    reminder: str = ""

    @property
    def text(self) -> str:
        """Reason and fix."""
        return f"{self.reason}: {self.fix}" if self.fix else self.reason


@dataclass
class _Announced:
    finding: Finding
    first_s: float
    last_s: float = 0.0
    is_logged: bool = False


class Announcer:
    """Decides which findings are logged: each when it begins and ends, some with reminders."""

    def __init__(self) -> None:
        self._active: dict[str, _Announced] = {}
        self._logged_s: dict[str, float] = {}  # kind -> when it was last logged

    def update(self, findings: Iterable[Finding], now_s: float) -> list[tuple[Level, str]]:
        """Lines to log, each with its level.

        Args:
            findings: those of a report.
            now_s: steady time, seconds.
        """
        lines = []
        for finding in findings:
            entry = self._active.setdefault(finding.kind, _Announced(finding, now_s))
            entry.finding, entry.last_s = finding, now_s
            quiet_s = now_s - self._logged_s.get(finding.kind, -_AGAIN_S)
            is_due = now_s - entry.first_s >= finding.log_after_s and quiet_s >= _AGAIN_S
            if is_due and not entry.is_logged:
                entry.is_logged, self._logged_s[finding.kind] = True, now_s
                if not finding.is_logged:
                    lines.append((finding.level, finding.text))
            elif entry.is_logged and finding.reminder and quiet_s >= REMIND_S:
                self._logged_s[finding.kind] = now_s
                lines.append((finding.level, finding.reminder))
        for kind, entry in list(self._active.items()):
            if now_s - entry.last_s >= _ENDED_S or (not entry.is_logged and now_s > entry.last_s):
                del self._active[kind]
                if entry.is_logged:
                    lines.append((Level.OK, f"resolved: {entry.finding.reason}"))
        return lines
