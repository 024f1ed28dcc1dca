"""Counts the messages and entries of a recording that are left out, by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from social_implicit_ros.prediction.health.skip_reasons import FIXES
from social_implicit_ros.prediction.update import Refusal, Update
from social_implicit_ros.types import SkipReason

#: Reason why entries are left out -> fix: that of the node, unless recordings need another.
RECORDED_FIXES = {
    **FIXES,
    SkipReason.NO_STAMP: "set stamp_source to arrival in a --params file, or let the tracker set "
    "header.stamp",
    SkipReason.NO_TRANSFORM: "their frame has no transform to the fixed frame at those times: "
    "record /tf and /tf_static with the tracks, or choose another --fixed-frame",
    SkipReason.FUTURE_STAMP: "header stamps are ahead of the recording's clock",
    SkipReason.OTHER_CLASS: "see class_in and class_out of the tracker mapping",
    SkipReason.OTHER_STATE: "see state_in and state_out of the tracker mapping",
    SkipReason.LOW_SCORE: "scores are low: see score_above of the tracker mapping",
    SkipReason.DUPLICATE_ID: "the first of several entries with the same id and time is used: give "
    "each person an id of its own, and do not round times",
    SkipReason.EMPTY_ID: "detections without an id are not tracks: record the output of a tracker",
}


@dataclass
class LeftOut:
    """Counts used and left-out data.

    Attributes:
        messages: number of tracker messages that were read.
        entries: number of used entries, one per person and message.
        skipped: number of entries left out, by reason.
        unusable: number of tracker messages that cannot be used, by reason.
        others: transforms and robot positions left out, by kind: number, and text of the first.
    """

    messages: int = 0
    entries: int = 0
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)
    others: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add_message(self, skipped: Counter[SkipReason], unusable: str) -> None:
        """Counts a tracker message, see `TracksArrival`."""
        self.messages += 1
        self.skipped.update(skipped)
        if unusable:
            self.unusable[unusable] += 1

    def add_update(self, update: Update) -> None:
        """Counts what the predictor used and left out."""
        self.entries += update.n_entered
        self.skipped.update(update.skipped)
        for refusal in update.refusals:
            if refusal.kind not in self.skipped:  # else its entries are counted already
                self.add_other(refusal)
        for reason, n in update.robot_skipped.items():
            self.add_robot(reason, n)

    def skip(self, reason: SkipReason) -> None:
        """Counts an entry as left out that was counted as used."""
        self.entries -= 1
        self.skipped[reason] += 1

    def add_robot(self, reason: SkipReason, n: int) -> None:
        """Counts positions of the robot that are left out."""
        text = f"positions of the robot are left out ({reason.value})"
        self.add_other(Refusal(f"robot.{reason.value}", text), n)

    def add_other(self, refusal: Refusal, n: int = 1) -> None:
        """Counts `n` left-out transforms or robot positions."""
        if n:
            n_before, text = self.others.get(refusal.kind, (0, refusal.text))
            self.others[refusal.kind] = n_before + n, text

    def add_unreadable_transforms(self, n_in_total: int) -> None:
        """Counts unreadable transforms that no update reported, given the total number."""
        refusal = Refusal("transforms", "transforms cannot be read")
        self.add_other(refusal, n_in_total - self.others.get(refusal.kind, (0, ""))[0])

    def notes(self) -> list[str]:
        """A line for each reason, with its fix."""
        n_entries = self.entries + self.skipped.total()
        of_entries = (
            f"{n} of {n_entries} entries are left out, {reason.value.replace('_', ' ')}"
            + (f": {RECORDED_FIXES[reason]}" if reason in RECORDED_FIXES else "")
            for reason, n in self.skipped.most_common()
        )
        n_messages = f"{self.unusable.total()} of {self.messages}"
        return [
            *of_entries,
            *(
                f"{n_messages} messages cannot be used and are left out: {reason}"
                for reason, _ in self.unusable.most_common(1)
            ),
            *(f"{n} times: {text}" for n, text in self.others.values()),
        ]
