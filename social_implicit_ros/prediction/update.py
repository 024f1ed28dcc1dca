"""The result of adding a message: added entries, and skipped ones with reasons."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from social_implicit_ros.types import SkipReason

#: Reason for which a stamp is refused -> description of the message.
REFUSED_STAMPS = {
    SkipReason.NO_STAMP: "without a time: the publisher must set header.stamp; for tracks, "
    "stamp_source: arrival is an alternative",
    SkipReason.FUTURE_STAMP: "from the future: header.stamp is ahead of this node's clock by more "
    "than track_timeout_s; synchronise the clocks, or set use_sim_time in a replay",
    SkipReason.OUT_OF_ORDER: "older than the newest by more than track_timeout_s",
}


@dataclass(frozen=True)
class Refusal:
    """Why a message, or the robot's position, is refused.

    Attributes:
        kind: identifier of the cause, by which warnings are throttled.
        text: cause and fix, for the user.
    """

    kind: str
    text: str


@dataclass
class Update:
    """The result of adding messages.

    Attributes:
        is_accepted: the stamp of the new message is valid.
        n_entered: number of entries added to the history.
        skipped_of: number of skipped entries by tracker and reason.
        examples: id of a skipped entry, by reason.
        robot_skipped: number of skipped positions of the robot by reason.
        refusals: refused messages.
        corrections: log texts on localisation jumps that were removed, and on tracks of the robot.
        jumped_back: time jumped back, so all histories were reset before the message was added.
        tick_ns: stamp at which a forecast is due, if every message triggers one.
    """

    is_accepted: bool = False
    n_entered: int = 0
    skipped_of: dict[str, Counter[SkipReason]] = field(default_factory=dict)
    examples: dict[SkipReason, str] = field(default_factory=dict)
    robot_skipped: Counter[SkipReason] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    corrections: list[str] = field(default_factory=list)
    jumped_back: bool = False
    tick_ns: int | None = None

    def skip(self, source: str, reason: SkipReason, n_entries: int) -> None:
        """Counts skipped entries of a tracker."""
        if n_entries:
            self.skipped_of.setdefault(source, Counter())[reason] += n_entries

    @property
    def skipped(self) -> Counter[SkipReason]:
        """Number of skipped entries of all trackers by reason."""
        return sum(self.skipped_of.values(), Counter())
