"""Predictions that the node publishes at every message of the tracker."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from support.conversation import STEP_NS, Conversation, value_of
from support.ros import NodeUnderTest
from support.tracks import WALKERS, assert_walks_straight, walkers_at
from visualization_msgs.msg import Marker, MarkerArray

from social_implicit_ros.tracks.messages.agent_ids import agent_number
from social_implicit_ros.tracks.stamps import stamp_ns_of


@pytest.fixture(scope="module")
def module_conversation(start_once: Callable[..., NodeUnderTest]) -> Conversation:
    return Conversation(
        start_once(tick_rate_hz=0.0, model="constant_velocity", position_noise_m=0.0)
    )


@pytest.fixture
def talk(module_conversation: Conversation) -> Iterator[Conversation]:
    module_conversation.reset()
    yield module_conversation
    assert "Traceback" not in module_conversation.node.process.output


def test_walkers_are_predicted_where_they_will_be(talk: Conversation) -> None:
    stamps_ns = talk.new_stamps()
    prediction = talk.walk(stamps_ns, 12)
    assert prediction.agents.tolist() == sorted(agent_number(i) for i in WALKERS)
    for agent_id, velocity in WALKERS.items():
        assert_walks_straight(prediction, agent_id, velocity, 1e-3)
    np.testing.assert_allclose(prediction.times_s, 0.4 * np.arange(1, 13), rtol=1e-6)


def test_a_new_track_is_predicted_from_its_second_observation_on(talk: Conversation) -> None:
    stamps_ns = talk.new_stamps()
    assert len(talk.walk(stamps_ns, 1).agents) == 0
    assert len(talk.walk(stamps_ns, 1).agents) == 2


def test_the_cloud_names_its_frame(talk: Conversation) -> None:
    talk.walk(talk.new_stamps(), 2)
    assert {cloud.header.frame_id for cloud in talk.clouds} == {"odom"}


def test_samples_are_off_by_default(talk: Conversation) -> None:
    talk.walk(talk.new_stamps(), 2)
    names = [name for name, _ in talk.node.peer.node.get_topic_names_and_types()]
    assert "/predictor/predictions" in names
    assert "/predictor/samples" not in names


def test_reset_clears_all_histories(talk: Conversation) -> None:
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 5)
    response = talk.reset()
    assert response.success
    assert response.message == "the histories of 2 agents are cleared"
    assert len(talk.walk(stamps_ns, 1).agents) == 0


def test_a_message_a_little_late_fills_the_history_and_is_not_answered(
    talk: Conversation,
) -> None:
    stamps_ns = talk.new_stamps()
    first = talk.walk(stamps_ns, 1)
    late_ns = first.stamp_ns + STEP_NS // 2
    talk.walk(stamps_ns, 1)
    talk.tell(walkers_at(late_ns))
    talk.walk(stamps_ns, 1)
    assert late_ns not in [stamp_ns_of(cloud.header.stamp) for cloud in talk.clouds]


def test_tracks_without_a_stamp_are_refused_counted_and_logged(talk: Conversation) -> None:
    before = talk.n_skipped("no_stamp")
    talk.tell(walkers_at(0))
    status = talk.report_since(lambda s: "header.stamp" in s.message)
    assert int(value_of(status, "skipped.no_stamp")) == before + 2


def test_a_marker_older_than_its_message_is_skipped_and_the_others_are_predicted(
    talk: Conversation,
) -> None:
    before = talk.n_skipped("other_stamp")
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 3)
    old, message = walkers_at(next(stamps_ns)), walkers_at(stamp_ns := next(stamps_ns))
    message.markers[1] = old.markers[1]
    talk.tell(message)
    assert len(talk.answer_at(stamp_ns).agents) == 2
    assert talk.n_skipped("other_stamp") == before + 1


def test_bad_positions_and_deletions_are_left_out_and_the_others_predicted(
    talk: Conversation,
) -> None:
    before = talk.n_skipped("not_finite")
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 3)
    stamp_ns = next(stamps_ns)
    message = walkers_at(stamp_ns, {**WALKERS, "people/3": (float("nan"), 0.0)})
    message.markers.append(Marker(action=Marker.DELETEALL))
    talk.tell(message)
    assert len(talk.answer_at(stamp_ns).agents) == 2
    assert talk.n_skipped("not_finite") == before + 1


def test_an_empty_message_starts_no_tick_and_changes_nothing(talk: Conversation) -> None:
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 3)
    n_answers = len(talk.clouds)
    talk.tell(MarkerArray())
    assert len(talk.walk(stamps_ns, 1).agents) == 2
    assert len(talk.clouds) == n_answers + 1


def test_a_recording_that_restarts_clears_histories_with_one_warning(
    talk: Conversation,
) -> None:
    warning = "time jumped back"
    before = talk.node.process.output.count(warning)
    early_ns, late_ns = talk.new_stamps(), talk.new_stamps()
    talk.walk(late_ns, 5)
    with talk.counting("resets", 1):
        for stamp_ns in itertools.islice(early_ns, 2):
            talk.tell(walkers_at(stamp_ns))
        assert len(talk.walk(early_ns, 1).agents) == 0
    assert len(talk.walk(early_ns, 10).agents) == 2
    assert talk.node.process.output.count(warning) == before + 1


def test_markers_are_drawn_and_those_of_people_who_left_deleted(talk: Conversation) -> None:
    arrays: list[MarkerArray] = talk.node.collect(MarkerArray, "/predictor/markers")
    stamps_ns = talk.new_stamps()

    def told_until(accept: Any, walkers: Any) -> MarkerArray:
        def found() -> MarkerArray | None:
            talk.tell(walkers_at(next(stamps_ns), walkers))
            return next((array for array in arrays if accept(array)), None)

        return talk.node.wait_for(found, "markers")

    def spaces(array: MarkerArray, action: int) -> set[tuple[str, int]]:
        return {(m.ns, m.id) for m in array.markers if m.action == action}

    both = told_until(lambda array: ("past", 1) in spaces(array, Marker.ADD), WALKERS)
    assert {m.ns for m in both.markers} == {
        "person",
        "past",
        "future",
        "ellipse/0.5",
        "ellipse/0.95",
    }
    alone = {"people/2": WALKERS["people/2"]}
    last = told_until(lambda array: spaces(array, Marker.DELETE), alone)
    assert ("past", 0) in spaces(last, Marker.DELETE)
    assert ("past", 1) in spaces(last, Marker.ADD)


def test_accepted_parameters_take_effect_at_the_next_tick(talk: Conversation) -> None:
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 3)
    assert talk.node.set_parameters(min_observations=5).successful
    try:
        assert len(talk.walk(stamps_ns, 1).agents) == 0
        assert len(talk.walk(stamps_ns, 1).agents) == 2
    finally:
        assert talk.node.set_parameters(min_observations=2).successful


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"model": "other"}, "takes effect at configure only"),
        ({"tick_rate_hz": 1.0}, "markers.lifetime_s"),
        ({"confidence_levels": [1.5]}, "expected a value from 0.01 to 0.999"),
        ({"tick_rate_hz": 5}, "tick_rate_hz is 5 of type int, expected float; write 5.0"),
        ({"max_speed_m_s": 1000.0}, "expected a value from 0.1 to 100"),
        ({"tick_rate": 5.0}, "unknown parameter tick_rate is ignored (did you mean tick_rate_hz?)"),
        ({"tracks": "/people"}, "it is a topic, remap ~/tracks"),
        ({"min_observations": 5, "n_samples": 0}, "n_samples"),
    ],
)
def test_refused_parameters_say_why_and_change_nothing(
    talk: Conversation, values: dict[str, Any], reason: str
) -> None:
    result = talk.node.set_parameters(**values)
    assert not result.successful
    assert reason in result.reason
    assert len(talk.walk(talk.new_stamps(), 2).agents) == 2


def test_diagnostics_have_model_and_agents(talk: Conversation) -> None:
    stamps_ns = talk.new_stamps()

    def is_well(status: DiagnosticStatus) -> bool:
        talk.tell(walkers_at(next(stamps_ns)))
        return status.message == "predicting 2 of 2 agents"

    talk.walk(stamps_ns, 2)
    status = talk.report(is_well)
    assert status.level == DiagnosticStatus.OK
    assert status.name == "predictor: prediction"
    assert value_of(status, "model") == "constant_velocity"
    assert float(value_of(status, "tick_ms_median")) > 0.0
