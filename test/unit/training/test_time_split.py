"""Recordings are split in time, so that training and test data do not overlap."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.recordings.text_formats.eth_ucy import Scene
from social_implicit_ros.training.time_split import NEEDS, Parts, joined, people_of, split_in_time

STEP_NS = 400_000_000
WINDOW_NS = 19 * STEP_NS


def scenes(n_windows: int, *, agents: int = 3, recording: str = "bag") -> list[Scene]:
    """One window per step; other people every ten steps."""
    return [
        Scene(
            recording,
            1_000_000_000 + n * STEP_NS,
            np.arange(agents) + 100 * (n // 10),
            np.zeros((agents, 20, 2)),
        )
        for n in range(n_windows)
    ]


def spans_ns(part: tuple[Scene, ...]) -> tuple[int, int]:
    return part[0].frame, part[-1].frame + WINDOW_NS


def test_parts_follow_each_other_a_windows_length_apart() -> None:
    parts = split_in_time(scenes(1000), WINDOW_NS)
    training, validation, test = map(spans_ns, (parts.training, parts.validation, parts.test))
    assert training[1] + WINDOW_NS <= validation[0]
    assert validation[1] + WINDOW_NS <= test[0]


def test_shares_are_of_observations_not_of_time() -> None:
    busy_end = [*scenes(1000, agents=1), *scenes(2000, agents=9)[1000:]]
    parts = split_in_time(busy_end, WINDOW_NS)
    agents = [counts["agents"] for counts in parts.counts().values()]
    shares = np.array(agents) / sum(agents)
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.05)
    assert len(parts.training) > 1000  # the quiet half and more


def test_each_recording_is_split_separately() -> None:
    bags = [scenes(400, recording=name) for name in ("monday", "tuesday")]
    together = joined(split_in_time(bag, WINDOW_NS) for bag in bags)
    for part in (together.training, together.validation, together.test):
        assert {scene.recording for scene in part} == {"monday", "tuesday"}


def test_tracks_of_different_recordings_are_different_people() -> None:
    people = people_of([*scenes(2, recording="monday"), *scenes(1, recording="tuesday")])
    assert people.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 5]


def test_no_scenes_give_empty_parts() -> None:
    assert split_in_time([], WINDOW_NS) == Parts((), (), ())


def test_parts_of_a_short_recording_do_not_overlap() -> None:
    parts = split_in_time(scenes(30), WINDOW_NS)
    assert parts.training == ()
    assert parts.validation == ()
    assert 0 < len(parts.test) <= 7


def test_enough_is_accepted() -> None:
    split_in_time(scenes(1000), WINDOW_NS).require_enough()


def test_too_few_windows_are_rejected_with_the_required_number() -> None:
    parts = split_in_time(scenes(120), WINDOW_NS)
    with pytest.raises(ValueError) as refused:
        parts.require_enough()
    found = parts.counts()["training"]
    agents, people = NEEDS["training"]
    assert (
        f"training has {found['agents']} windows of {found['people']} people, "
        f"expected {agents} of {people}"
    ) in str(refused.value)


def test_many_windows_of_one_person_are_rejected() -> None:
    alone = [
        Scene("bag", scene.frame, np.zeros(1, dtype=np.int64), scene.positions_m[:1])
        for scene in scenes(2000)
    ]
    with pytest.raises(ValueError, match="windows of 1 people"):
        split_in_time(alone, WINDOW_NS).require_enough()
