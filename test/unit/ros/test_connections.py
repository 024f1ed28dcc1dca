"""Hints on topics without messages."""

from __future__ import annotations

import pytest

from social_implicit_ros.ros.reporting.connections import where_to_find

PEOPLE = "people_msgs/msg/People"
NOBODY = f"nobody publishes {PEOPLE} there"


@pytest.mark.parametrize(
    ("topics", "tracker", "hint"),
    [
        ([], "people", NOBODY),
        (
            ["/acme/people"],
            "people",
            f"{NOBODY}; {PEOPLE} is published on /acme/people: remap ~/tracks, or launch with "
            "tracks:=/acme/people",
        ),
        (
            list("abcd"),
            "people@/people",
            f"{NOBODY}; {PEOPLE} is published on a, b, c: name that topic in the parameter tracker",
        ),
    ],
)
def test_topics_that_have_the_type_are_named(topics: list[str], tracker: str, hint: str) -> None:
    assert where_to_find(PEOPLE, topics, tracker) == hint


def test_odometry_has_a_topic_of_its_own() -> None:
    hint = where_to_find("nav_msgs/msg/Odometry", ["/odom"], "people@/people")
    assert hint.endswith("is published on /odom: remap ~/odometry, or launch with odometry:=/odom")
