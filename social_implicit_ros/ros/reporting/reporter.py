"""What the node reports about itself: its log and its status on `/diagnostics`."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.publisher import Publisher

from social_implicit_ros.prediction.health.findings import Announcer, Finding, Level
from social_implicit_ros.prediction.health.snapshot import NodeState
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.update import Refusal
from social_implicit_ros.ros.messages import stamp_to_msg
from social_implicit_ros.ros.reporting.diagnostics import DiagnosticsLog
from social_implicit_ros.types import plain_frame
from social_implicit_ros.untrusted_files import printable_text

#: Time after which a warning that did not recur has ended, seconds; the next one is logged again.
_ENDED_S = 5.0
_REMINDER_S = 60.0
#: A track timeout is logged if it exceeds all earlier ones by this factor.
_LONGER = 1.2


class Reporter:
    """Logs each kind of warning at a limited rate, counts events, and publishes the status.

    Attributes:
        log: counters of the next report.
        state: state of the node, with the reason of a failed configure.
        logger: the node's logger.
    """

    def __init__(self, node: str, logger: RcutilsLogger, publisher: Publisher) -> None:
        """Starts with no events.

        Args:
            node: fully qualified name of the node.
            logger: the node's logger.
            publisher: publishes `/diagnostics`.
        """
        self.log = DiagnosticsLog({})
        self.state = NodeState("unconfigured")
        self._node, self._publisher = node, publisher
        self.logger = logger
        self._logged_frames: set[str] = set()  # with a leading slash
        # Kind of warning -> steady times at which it last happened, and was last logged.
        self._warned_s: dict[str, tuple[float, float]] = {}
        self._announcer = Announcer()
        self._logged_timeout_s = 0.0

    def warn(self, kind: str, why: str) -> None:
        """Logs a warning when it begins, and once a minute while it continues."""
        now_s = time.monotonic()
        last_s, logged_s = self._warned_s.get(kind, (-_ENDED_S, -_REMINDER_S))
        is_due = now_s - last_s >= _ENDED_S or now_s - logged_s >= _REMINDER_S
        self._warned_s[kind] = (now_s, now_s if is_due else logged_s)
        if is_due:
            self.logger.warning(why)

    def refuse(self, kind: str, why: str) -> None:
        """Counts a message that was rejected, and warns."""
        self.log.add_refusal(kind, why)
        self.warn(kind, why)

    def pass_on(self, refusals: Iterable[Refusal], corrections: Iterable[str]) -> None:
        """Reports what the predictor refused and corrected."""
        for text in corrections:
            self.warn("correction", text)
        for refusal in refusals:
            self.refuse(refusal.kind, refusal.text)

    def log_slash(self, frame_id: str) -> None:
        """Logs once that the leading slash of a frame is ignored."""
        if frame_id.startswith("/") and frame_id not in self._logged_frames:
            self._logged_frames.add(frame_id)
            self.logger.info(
                f"frame {frame_id} is read as {plain_frame(frame_id)}: frames of ROS 2 have no "
                "leading slash"
            )

    @contextmanager
    def contained(self, kind: str, what: str) -> Iterator[None]:
        """Catches, counts and logs exceptions of a callback, which would end the process."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 (reported by kind, see `reason_of`)
            self.refuse(kind, f"{what}: {self.reason_of(error)}")

    def reason_of(self, error: Exception) -> str:
        """The reason for the user; the traceback is logged at debug level."""
        self.logger.debug("".join(traceback.format_exception(error)))
        return reason_of(error)

    def take_counts(self, predictor: Predictor) -> None:
        """Copies the counters of the predictor, and logs a longer track timeout."""
        self.log.take_counts(predictor)
        timeout_s = predictor.track_timeout_s
        self.state = replace(self.state, track_timeout_s=timeout_s)
        least_s = predictor.config.pipeline.track_timeout_s
        # The timeout of an irregular tracker changes continually.
        if timeout_s > _LONGER * max(self._logged_timeout_s, least_s):
            self._logged_timeout_s = timeout_s
            self.logger.info(
                f"tracks are dropped after {timeout_s:g} s, because of the tracker's period and "
                "latency: see track_timeout_s and max_track_timeout_s"
            )

    def publish(self, now_ns: int, others: Sequence[DiagnosticStatus]) -> None:
        """Publishes the status of the period since the last call.

        Args:
            now_ns: the node's clock, integer nanoseconds.
            others: further statuses for the same message.
        """
        now_s = time.monotonic()
        status = self.log.report(self._node, self.state, now_ns, now_s)
        self.logger.debug(f"{self.state.lifecycle}: {status.message}")
        report = DiagnosticArray()
        report.header.stamp = stamp_to_msg(now_ns)
        report.status = [status, *others]
        self._publisher.publish(report)
        findings = [
            *self.log.findings,
            *(
                Finding(each.name, each.message)
                for each in others
                if each.level != DiagnosticStatus.OK
            ),
        ]
        for level, text in self._announcer.update(findings, now_s):
            if level is Level.OK:
                self.logger.info(text)
            else:
                self.logger.warning(text)


_MAX_TEXT = 1000


def reason_of(error: BaseException) -> str:
    """What went wrong and how to fix it, by the kind of exception.

    Args:
        error: the exception; its traceback is in the log at debug level.
    """
    text = printable_text(" ".join(str(error).split())) or "no text"
    if isinstance(error, MemoryError):
        text = f"not enough memory ({text}): lower n_samples, max_agents or max_history"
    elif isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        text = (
            f"{place}{error.strerror or text}; check that it exists, its permissions and the "
            "free space"
        )
    elif isinstance(error, ImportError):
        text = f"a library cannot be imported ({text}): install it, or source its workspace"
    elif not isinstance(error, ValueError):  # ValueErrors state reason and fix themselves
        text = (
            f"unexpected {type(error).__name__}: {text}; the log at debug level has the traceback"
        )
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."
