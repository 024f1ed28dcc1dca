"""Tracks and marker ids map to each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from social_implicit_ros.tracks.messages.markers import marker_id


@given(namespace=st.text(min_size=1), number=st.integers(0, 2**31 - 1))
def test_an_id_from_a_marker_maps_back_to_it(namespace: str, number: int) -> None:
    assert marker_id(f"{namespace}/{number}") == (namespace, number)


@given(agent_id=st.text())
def test_every_id_fits_into_a_marker(agent_id: str) -> None:
    namespace, number = marker_id(agent_id)
    assert namespace
    assert 0 <= number < 2**31
