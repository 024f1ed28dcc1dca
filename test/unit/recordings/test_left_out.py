"""What a recording leaves out is listed by reason, with the fix."""

from __future__ import annotations

from collections import Counter

import pytest

from social_implicit_ros.recordings.left_out import LeftOut
from social_implicit_ros.types import SkipReason


@pytest.mark.parametrize(
    ("reason", "keys"),
    [
        (SkipReason.OTHER_CLASS, ("class_in", "class_out")),
        (SkipReason.OTHER_STATE, ("state_in", "state_out")),
    ],
)
def test_entries_that_a_mapping_filters_name_both_filters(
    reason: SkipReason, keys: tuple[str, str]
) -> None:
    """Most entries of another class are those of class_out, which are left out on purpose."""
    left_out = LeftOut(entries=3)
    left_out.add_message(Counter({reason: 1}), "")
    (note,) = left_out.notes()
    assert note.startswith("1 of 4 entries are left out, ")
    assert all(key in note for key in keys)
