"""The result of adding a message: what entered, and what is left out and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from social_implicit_ros.types import SkipReason

#: Reason for which a stamp is refused -> text about the message.
REFUSED_STAMPS = {
    SkipReason.NO_STAMP: "without a time: the publisher must set header.stamp; for tracks, "
    "stamp_source: arrival helps, too",
    SkipReason.FUTURE_STAMP: "from the future: header.stamp is ahead of this node's clock by more "
    "than track_timeout_s; synchronise the clocks, or set use_sim_time in a replay",
    SkipReason.OUT_OF_ORDER: "older than the newest by more than track_timeout_s",
}


@dataclass(frozen=True)
class Refusal:
    """Reason why a message, or the robot's position, is left out.

    Attributes:
        kind: equal for equal causes, to throttle warnings.
        text: for the user, with the remedy.
    """

    kind: str
    text: str


@dataclass
class Update:
    """The result of adding messages.

    Attributes:
        is_accepted: the stamp of the new message is valid.
        n_entered: entries added to the history.
        lost: entries that are left out, by tracker and reason.
        examples: an id of such an entry, by reason.
        robot_skipped: positions of the robot that are left out, by reason.
        refusals: messages that are left out.
        corrections: texts on corrections of a localisation that were taken out, and on tracks that
            are the robot.
        jumped_back: time jumped back: all histories were reset first.
        tick_ns: stamp at which a forecast is due, if one is due at every message.
    """

    is_accepted: bool = False
    n_entered: int = 0
    lost: dict[str, Counter[SkipReason]] = field(default_factory=dict)
    examples: dict[SkipReason, str] = field(default_factory=dict)
    robot_skipped: Counter[SkipReason] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    corrections: list[str] = field(default_factory=list)
    jumped_back: bool = False
    tick_ns: int | None = None

    def skip(self, source: str, reason: SkipReason, n_entries: int) -> None:
        """Entries of a tracker are left out."""
        if n_entries:
            self.lost.setdefault(source, Counter())[reason] += n_entries

    @property
    def skipped(self) -> Counter[SkipReason]:
        """Entries of all trackers that are left out, by reason."""
        return sum(self.lost.values(), Counter())
