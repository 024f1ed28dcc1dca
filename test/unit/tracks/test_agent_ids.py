"""Every agent of a tick has a unique number and keeps it."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from social_implicit_ros.tracks.messages.agent_ids import AgentNumbers, agent_number, marker_id

#: Two strings with the same CRC-32.
COLLIDING = ("plumless", "buckeroo")
#: Texts of few characters: hypothesis needs seconds to list all of Unicode.
TEXTS = st.text("ab7-/ \0\u00e9\u0667\u4f60\U0001f6b6")
#: Those that are not empty.
WORDS = TEXTS.filter(bool)


@pytest.mark.parametrize("number", [0, 7, 2**32 - 1])
def test_a_numeric_id_is_kept_as_number(number: int) -> None:
    assert agent_number(str(number)) == number


@pytest.mark.parametrize(
    "other", ["007", "-7", "7.0", "people/7", "\u0667", str(2**32), "1" * 5000, ""]
)
def test_other_ids_are_hashed(other: str) -> None:
    assert 0 <= agent_number(other) < 2**32
    assert agent_number(other) != 7


def test_hashed_numbers_are_the_same_everywhere() -> None:
    # CRC-32 of the UTF-8 bytes, so that recordings of other machines match.
    assert agent_number("people/7") == 2244062441


def test_the_example_does_collide() -> None:
    assert zlib.crc32(COLLIDING[0].encode()) == zlib.crc32(COLLIDING[1].encode())


def test_numbers_are_the_trackers_own_or_the_hash() -> None:
    numbers = AgentNumbers().assign(("12", "people/12", "007"))
    assert numbers.tolist() == [12, zlib.crc32(b"people/12"), zlib.crc32(b"007")]


def test_of_two_colliding_ids_the_first_keeps_its_number_while_present() -> None:
    numbers = AgentNumbers()
    shared = agent_number(COLLIDING[0])
    assert numbers.assign(COLLIDING[:1]).tolist() == [shared]
    assert numbers.assign((COLLIDING[1], COLLIDING[0])).tolist() == [shared + 1, shared]
    assert numbers.assign(COLLIDING[1:]).tolist() == [shared + 1]


@given(st.lists(WORDS, unique=True, max_size=10))
def test_numbers_of_a_tick_are_unique(ids: list[str]) -> None:
    numbers = AgentNumbers().assign(ids)
    assert len(set(numbers.tolist())) == len(ids)


@given(namespace=WORDS, number=st.integers(0, 2**31 - 1))
def test_an_id_from_a_marker_maps_back_to_it(namespace: str, number: int) -> None:
    assert marker_id(f"{namespace}/{number}") == (namespace, number)


@given(agent_id=TEXTS)
def test_every_id_fits_into_a_marker(agent_id: str) -> None:
    namespace, number = marker_id(agent_id)
    assert namespace
    assert 0 <= number < 2**31
