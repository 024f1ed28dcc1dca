"""What a tracker sent lately, and how long its ids live."""

from __future__ import annotations

import itertools

import pytest

from social_implicit_ros.prediction.health.tracker_log import IdLifetimes

S = 1_000_000_000


def median_of(id_of: object, n_messages: int = 50) -> float | None:
    """Median lifetime of the ids of six people, ten messages a second."""
    lifetimes = IdLifetimes()
    for n in range(n_messages):
        ids = tuple(id_of(n, person) for person in range(6))  # type: ignore[operator]
        lifetimes.add(ids, (n + 1) * S // 10)
    return lifetimes.median_s(1.0)


def test_a_new_id_in_every_message_lives_for_no_time() -> None:
    assert median_of(lambda n, person: f"{n}/{person}") == 0.0


def test_ids_that_are_cut_live_until_they_are_cut() -> None:
    assert median_of(lambda n, person: f"{n // 8}/{person}", 200) == pytest.approx(0.7)


def test_people_who_stay_are_more_than_a_few_ids_that_flicker() -> None:
    assert median_of(lambda n, person: "x" if person else f"{n}") == 0.0
    assert median_of(lambda n, person: f"{person}" if person or n % 20 else f"new {n}") is None
    assert median_of(lambda n, person: str(person)) is None


def test_a_flood_of_ids_takes_no_memory() -> None:
    lifetimes, numbers = IdLifetimes(), itertools.count()
    for n in range(100):
        lifetimes.add(tuple(str(next(numbers)) for _ in range(2000)), n * S)
    assert len(lifetimes._last_ns) <= 22_000


def test_stamps_that_begin_again_are_followed() -> None:
    lifetimes = IdLifetimes()
    lifetimes.add(("a",), 1000 * S)
    for n in range(50):
        lifetimes.add((str(n),), n * S // 10)
    assert lifetimes.median_s(1.0) == 0.0
