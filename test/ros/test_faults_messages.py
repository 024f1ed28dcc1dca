"""Whatever a tracker sends, the node keeps running and its predictions stay correct."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry
from support.conversation import STEP_NS, Conversation, value_of
from support.processes import resident_bytes
from support.ros import NodeUnderTest
from support.tracks import WALKERS, S, assert_walks_straight, positions_at
from visualization_msgs.msg import Marker, MarkerArray

from social_implicit_ros.evaluation.published import prediction_from_point_cloud
from social_implicit_ros.ros.messages import stamp_to_msg
from social_implicit_ros.tracks.messages.agent_ids import agent_number
from social_implicit_ros.types import SkipReason

#: The id is the text of a marker, which may be anything.
DESCRIPTION = """
message_type: visualization_msgs/msg/MarkerArray
list: markers
id: text
position: pose.position
frame: markers[0].header.frame_id
stamp: markers[0].header.stamp
"""
#: Maximum prediction error: people walk straight on.
MAX_ERROR_M = 0.6
#: Reasons that are counted at every tick, not at every message.
TICK_REASONS = (
    SkipReason.TOO_FEW_OBSERVATIONS,
    SkipReason.TOO_YOUNG,
    SkipReason.VANISHED,
    SkipReason.STALE,
)
#: Counters that depend on the messages alone.
EXACT = (
    "messages",
    "messages_refused",
    *(f"skipped.{reason.value}" for reason in SkipReason if reason not in TICK_REASONS),
)

Velocities = Mapping[str, tuple[float, float]]


def crowd_at(stamp_ns: int, walkers: Velocities = WALKERS) -> MarkerArray:
    """Positions of all people at a time, as `support.tracks.walkers_at`."""
    message = MarkerArray()
    for agent_id, velocity in walkers.items():
        ((x, y),) = positions_at([stamp_ns / S], velocity)
        message.markers.append(marker(stamp_ns, agent_id, x, y))
    return message


def marker(stamp_ns: int, agent_id: str, x: float, y: float, z: float = 0.0) -> Marker:
    entry = Marker(text=agent_id)
    entry.header.stamp, entry.header.frame_id = stamp_to_msg(stamp_ns), "odom"
    entry.pose.position.x, entry.pose.position.y, entry.pose.position.z = x, y, z
    return entry


class Trial(Conversation):
    """A conversation that knows what the node must have counted by its end."""

    def __init__(self, node: NodeUnderTest, build: Callable[[int], MarkerArray]) -> None:
        self.expected: Counter[str] = Counter()
        super().__init__(node, build)
        # Twice, as a report may have been on its way.
        self.report()
        self.expected += counts_of(self.report())

    def tell(self, message: MarkerArray) -> None:
        super().tell(message)
        self.expected["messages"] += 1

    def tell_refused(self, message: MarkerArray, reason: str) -> None:
        """Sends a message that is refused as a whole."""
        super().tell(message)
        self.expected["messages_refused"] += 1
        self.expected[f"skipped.{reason}"] += len(message.markers)


def counts_of(status: DiagnosticStatus) -> Counter[str]:
    """The counters of a status whose values are known exactly."""
    return Counter({key: int(value_of(status, key)) for key in EXACT})


@pytest.fixture(scope="module")
def module_talk(
    start_once: Callable[..., NodeUnderTest], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trial]:
    description: Path = tmp_path_factory.mktemp("tracker") / "texts.yaml"
    description.write_text(DESCRIPTION)
    # No message is lost on the way, so that all can be counted.
    lossless = {
        "qos_overrides./predictor/tracks.subscription.reliability": "reliable",
        "qos_overrides./predictor/tracks.subscription.depth": 100,
    }
    node = start_once(
        tick_rate_hz=0.0,
        tracker=str(description),
        robot="odometry",
        position_noise_m=0.0,
        **lossless,
    )
    trial = Trial(node, crowd_at)
    yield trial
    trial.report()
    counts = counts_of(trial.report())
    wrong = {key: (counts[key], trial.expected[key]) for key in EXACT}
    wrong = {key: (n, expected) for key, (n, expected) in wrong.items() if n != expected}
    assert wrong == {}, "counted, and expected"


@pytest.fixture
def talk(module_talk: Trial) -> Iterator[Trial]:
    """A conversation in which all predictions of the walkers were correct."""
    module_talk.reset()
    yield module_talk
    recovered = module_talk.walk(module_talk.new_stamps(), 4)
    assert {agent_number(agent_id) for agent_id in WALKERS} <= set(recovered.agents.tolist())
    assert_correct(module_talk)
    assert "Traceback" not in module_talk.node.process.output


def assert_correct(talk: Trial) -> None:
    for prediction in map(prediction_from_point_cloud, talk.clouds):
        assert np.isfinite(prediction.mean).all()
        assert np.isfinite(prediction.covariance).all()
        assert (np.linalg.eigvalsh(prediction.covariance) >= -1e-6).all()
        seen = prediction.agents.tolist()
        for agent_id, velocity in WALKERS.items():
            if agent_number(agent_id) in seen:
                assert_walks_straight(prediction, agent_id, velocity, MAX_ERROR_M)


def test_messages_late_out_of_order_and_twice(talk: Trial) -> None:
    stamps_ns = list(itertools.islice(talk.new_stamps(), 24))
    talk.walk(iter(stamps_ns[:3]), 3)
    shuffled = np.random.default_rng(1).permutation(np.reshape(stamps_ns[3:21], (3, 6)).T).T
    for stamp_ns in shuffled.ravel().tolist():
        talk.tell(crowd_at(stamp_ns))
        talk.tell(crowd_at(stamp_ns))
    assert len(talk.walk(iter(stamps_ns[21:]), 3).agents) == 2
    talk.expected["skipped.duplicate_stamp"] += 2 * 18


def test_a_message_older_than_the_timeout(talk: Trial) -> None:
    stamps_ns = talk.new_stamps()
    last = talk.walk(stamps_ns, 12)
    talk.report()
    talk.tell_refused(crowd_at(last.stamp_ns - S - S // 20), "out_of_order")
    status = talk.report_since(lambda status: "older than the newest" in status.message)
    assert status.level == DiagnosticStatus.WARN
    # One that is 0.1 s newer is within the timeout.
    talk.tell(crowd_at(last.stamp_ns - S + S // 20))
    assert len(talk.walk(stamps_ns, 3).agents) == 2


@pytest.mark.parametrize(
    ("stamp_ns", "reason"),
    [
        (0, "no_stamp"),
        (-3 * S, "no_stamp"),
        (None, "future_stamp"),
        ((2**31 - 1) * S, "future_stamp"),
    ],
    ids=["zero", "before 1970", "in an hour", "far future"],
)
def test_invalid_stamps(talk: Trial, stamp_ns: int | None, reason: str) -> None:
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 3)
    message = crowd_at(time.time_ns() + 3600 * S if stamp_ns is None else stamp_ns)
    talk.tell_refused(message, reason)
    assert len(talk.walk(stamps_ns, 3).agents) == 2


def test_stamps_that_jump_forward(talk: Trial) -> None:
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 5)
    jumped_ns = (stamp_ns + 300 * S for stamp_ns in stamps_ns)
    with talk.counting("skipped.stale", 2):
        # Somebody else is there by then, so that the two are not observed again.
        stamp_ns = next(jumped_ns)
        talk.tell(crowd_at(stamp_ns, {"people/3": (0.5, 0.5)}))
        assert len(talk.answer_at(stamp_ns).agents) == 0
    assert len(talk.walk(jumped_ns, 1).agents) == 0
    assert len(talk.walk(jumped_ns, 1).agents) == 2


def test_ids_that_are_swapped(talk: Trial) -> None:
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 8)
    one, two = WALKERS
    for stamp_ns in itertools.islice(stamps_ns, 3):
        talk.tell(crowd_at(stamp_ns, {two: WALKERS[one], one: WALKERS[two]}))
        prediction = talk.answer_at(stamp_ns)
        assert len(prediction.agents) == 2
    # Each is predicted on the path of the other, never between the two.
    for agent_id, velocity in ((two, WALKERS[one]), (one, WALKERS[two])):
        assert_walks_straight(prediction, agent_id, velocity, MAX_ERROR_M)
    talk.clouds.clear()


def test_swapped_ids_of_people_who_walk_side_by_side(talk: Trial) -> None:
    start_ns = next(talk.new_stamps())

    def tell(n: int, left: str, right: str) -> tuple[float, ...]:
        stamp_ns = start_ns + n * STEP_NS
        message = crowd_at(stamp_ns)
        message.markers.extend(
            marker(stamp_ns, agent_id, 0.12 * n, y_m)
            for agent_id, y_m in ((left, 0.5), (right, 0.0))
        )
        talk.tell(message)
        prediction = talk.answer_at(stamp_ns)
        if n == 0:
            return ()
        row = prediction.agents.tolist().index(agent_number("left"))
        return tuple(prediction.mean[row, :, 1])

    for n in range(12):
        tell(n, "left", "right")
    with talk.counting("untangled", 1):
        for n in range(12, 22):
            np.testing.assert_allclose(tell(n, "right", "left"), 0.5, atol=MAX_ERROR_M)


def test_a_person_who_returns_under_a_new_id(talk: Trial) -> None:
    stamps_ns = talk.new_stamps()
    one, two = WALKERS
    talk.walk(stamps_ns, 8)
    before = int(value_of(talk.report(), "stitched"))
    for stamp_ns in itertools.islice(stamps_ns, 3):
        talk.tell(crowd_at(stamp_ns, {"again": WALKERS[one], two: WALKERS[two]}))
        prediction = talk.answer_at(stamp_ns)
        # Also at the first message with the new id nobody is predicted twice, or not at all.
        assert sorted(prediction.agents) == sorted(map(agent_number, WALKERS))
    row = prediction.agents.tolist().index(agent_number(one))
    assert prediction.n_observed[row] == 3  # 1 s; the new id alone is 0.2 s old
    talk.report(lambda status: int(value_of(status, "stitched")) == before + 1)


def test_a_person_who_is_gone(talk: Trial) -> None:
    stamps_ns = itertools.count(next(talk.new_stamps()), S // 10)
    talk.walk(stamps_ns, 10)
    _, stays = WALKERS
    before = talk.n_skipped("vanished")
    for stamp_ns in itertools.islice(stamps_ns, 8):
        talk.tell(crowd_at(stamp_ns, {stays: WALKERS[stays]}))
        prediction = talk.answer_at(stamp_ns)
    # Before `track_timeout_s` has passed.
    assert prediction.agents.tolist() == [agent_number(stays)]
    talk.report(lambda status: int(value_of(status, "skipped.vanished")) > before)


def test_an_id_reused_for_another_person(talk: Trial) -> None:
    stamps_ns = talk.new_stamps()
    elsewhere = (0.7, 0.7)
    for stamp_ns in itertools.islice(stamps_ns, 4):
        talk.tell(crowd_at(stamp_ns, {**WALKERS, "recycled": (-0.5, 0.9)}))
        talk.answer_at(stamp_ns)
    for stamp_ns in itertools.islice(stamps_ns, 3):
        talk.tell(crowd_at(stamp_ns, {**WALKERS, "recycled": elsewhere}))
        prediction = talk.answer_at(stamp_ns)
        assert len(prediction.agents) == 3
    assert_walks_straight(prediction, "recycled", elsewhere, MAX_ERROR_M)


def test_one_position_out_of_reach_changes_no_prediction(talk: Trial) -> None:
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 8)
    stamp_ns = next(stamps_ns)
    message = talk.build(stamp_ns)
    message.markers[0].pose.position.y += 4.0
    talk.tell(message)
    seen = [talk.answer_at(stamp_ns), talk.walk(stamps_ns, 1)]
    talk.expected["skipped.outlier"] += 1
    for prediction, (agent_id, velocity) in itertools.product(seen, WALKERS.items()):
        assert_walks_straight(prediction, agent_id, velocity, MAX_ERROR_M)


@pytest.mark.parametrize(
    "agent_id",
    [
        str(2**64 - 1),
        str(-(2**63)),
        "x" * 1000,
        "\N{BLACK HEART SUIT}" * 250,
        "a\nb\t'\"\\",
        "\0robot",
    ],
    ids=["64 bit", "negative", "1000 characters", "not ASCII", "control characters", "NUL"],
)
def test_ids_of_every_kind(talk: Trial, agent_id: str) -> None:
    stamps_ns = talk.new_stamps()
    for stamp_ns in itertools.islice(stamps_ns, 3):
        talk.tell(crowd_at(stamp_ns, {**WALKERS, agent_id: (0.4, 0.4)}))
    agents = talk.answer_at(stamp_ns).agents
    if agent_id.startswith("\0"):
        # DDS ends a text at NUL, so that this id is empty.
        assert len(agents) == 2
        talk.expected["skipped.empty_id"] += 3
    else:
        assert agent_number(agent_id) in agents
        assert len(agents) == 3


def test_an_empty_id(talk: Trial) -> None:
    stamps_ns = talk.new_stamps()
    for stamp_ns in itertools.islice(stamps_ns, 3):
        talk.tell(crowd_at(stamp_ns, {**WALKERS, "": (0.4, 0.4)}))
    assert len(talk.answer_at(stamp_ns).agents) == 2
    talk.expected["skipped.empty_id"] += 3


def test_one_id_twice_in_a_message(talk: Trial) -> None:
    stamps_ns = talk.new_stamps()
    for stamp_ns in itertools.islice(stamps_ns, 3):
        message = crowd_at(stamp_ns)
        message.markers.append(marker(stamp_ns, next(iter(WALKERS)), 3.0, 3.0))
        talk.tell(message)
    assert len(talk.answer_at(stamp_ns).agents) == 2
    talk.expected["skipped.duplicate_id"] += 3


@pytest.mark.parametrize(
    ("xyz", "reason"),
    [
        ((np.nan, 0.0, 0.0), "not_finite"),
        ((0.0, -np.inf, 0.0), "not_finite"),
        ((1e308, -1e308, 0.0), "out_of_range"),
        ((0.0, 1.01e7, 0.0), "out_of_range"),
    ],
)
def test_invalid_positions(talk: Trial, xyz: tuple[float, float, float], reason: str) -> None:
    stamps_ns = talk.new_stamps()
    for stamp_ns in itertools.islice(stamps_ns, 3):
        message = crowd_at(stamp_ns)
        message.markers.append(marker(stamp_ns, "nowhere", *xyz))
        talk.tell(message)
        assert agent_number("nowhere") not in talk.answer_at(stamp_ns).agents
    assert len(talk.answer_at(stamp_ns).agents) == 2
    talk.expected[f"skipped.{reason}"] += 3


@pytest.mark.parametrize("z", [np.nan, np.inf, 1e308])
def test_a_person_without_a_height_is_predicted_at_zero(talk: Trial, z: float) -> None:
    stamps_ns = talk.new_stamps()
    before = int(value_of(talk.report(), "heights_unknown"))
    for stamp_ns in itertools.islice(stamps_ns, 3):
        message = crowd_at(stamp_ns)
        message.markers.append(marker(stamp_ns, "flat", 2.0, 1.0, z))
        # What is not read does not matter either.
        message.markers[-1].pose.orientation.w = message.markers[-1].scale.x = z
        talk.tell(message)
        prediction = talk.answer_at(stamp_ns)
    assert agent_number("flat") in prediction.agents
    talk.report(lambda status: int(value_of(status, "heights_unknown")) == before + 3)


def test_a_track_far_away_does_not_reduce_the_resolution_of_others(talk: Trial) -> None:
    stamps_ns = talk.new_stamps()
    near = talk.walk(stamps_ns, 40)
    for stamp_ns in itertools.islice(stamps_ns, 8):
        message = crowd_at(stamp_ns)
        message.markers.append(marker(stamp_ns, "far", 9e6, -9e6))
        talk.tell(message)
    with_far = talk.answer_at(stamp_ns)
    moved = positions_at([(with_far.stamp_ns - near.stamp_ns) / S], WALKERS["people/1"])
    number = agent_number("people/1")
    np.testing.assert_allclose(
        with_far.mean[with_far.agents.tolist().index(number)],
        near.mean[near.agents.tolist().index(number)] + moved,
        atol=0.02,
    )


@pytest.mark.parametrize(
    ("stamp_ns", "x", "counter"),
    [
        (0, 0.0, "messages_refused"),
        (-S, 0.0, "messages_refused"),
        ((2**31 - 1) * S, 0.0, "messages_refused"),
        (None, np.nan, "skipped.not_finite"),
        (None, -np.inf, "skipped.not_finite"),
        (None, 1e308, "skipped.out_of_range"),
    ],
)
def test_invalid_odometry(talk: Trial, stamp_ns: int | None, x: float, counter: str) -> None:
    odometry = talk.node.publisher(Odometry, "/predictor/odometry")
    before = int(value_of(talk.report(), counter))
    for told_ns in itertools.islice(talk.new_stamps(), 3):
        message = Odometry()
        message.header.frame_id = "odom"
        message.header.stamp = stamp_to_msg(told_ns if stamp_ns is None else stamp_ns)
        message.pose.pose.position.x = x
        odometry.publish(message)
        talk.tell(crowd_at(told_ns))
        prediction = talk.answer_at(told_ns)
    assert len(prediction.agents) == 2
    # Only the latest pose is of interest, so that some may be lost.
    status = talk.report(lambda status: int(value_of(status, counter)) > before)
    talk.expected[counter] += int(value_of(status, counter)) - before
    talk.node.peer.node.destroy_publisher(odometry)


def test_empty_arrays(talk: Trial) -> None:
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 3)
    for _ in range(5):
        talk.tell(MarkerArray())
    assert len(talk.walk(stamps_ns, 1).agents) == 2


def test_of_ten_thousand_agents_in_one_message_the_nearest_are_kept(talk: Trial) -> None:
    stamps_ns = talk.new_stamps()
    stamp_ns = next(stamps_ns)
    flood = MarkerArray()
    flood.markers += [
        marker(stamp_ns, f"flood/{n}", 1e6 + n % 100, n / 100.0) for n in range(9_998)
    ]
    flood.markers += crowd_at(stamp_ns).markers  # the nearest come last
    talk.tell(flood)
    assert len(talk.answer_at(stamp_ns).agents) == 0
    assert len(talk.walk(stamps_ns, 1).agents) == 2
    talk.expected["skipped.over_capacity"] += 9_000
    talk.walk(stamps_ns, 15)


def test_a_topic_at_a_kilohertz(talk: Trial) -> None:
    stamps_ns = talk.new_stamps()
    last = talk.walk(stamps_ns, 15)
    before = resident_bytes(talk.node.process.process.pid)
    for stamp_ns in range(last.stamp_ns + S // 1000, last.stamp_ns + S // 2, S // 1000):
        talk.tell(crowd_at(stamp_ns))
        # So that no message is lost on the way, and few are searched for the answer.
        if (stamp_ns - last.stamp_ns) % (50 * S // 1000) == 0:
            talk.answer_at(stamp_ns)
            assert_correct(talk)
            talk.clouds.clear()
    assert talk.node.state() == "active"
    later_ns = itertools.count(last.stamp_ns + S // 2, STEP_NS)
    prediction = talk.walk(later_ns, 3)
    assert len(prediction.agents) == 2
    assert prediction.n_observed.min() >= 6  # of 2.8 s, not of the last 256 messages
    assert resident_bytes(talk.node.process.process.pid) - before < 20e6
