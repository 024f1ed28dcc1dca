"""A recording is predicted as in the node, and scored against the ground truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bags import (
    START_NS,
    STORE,
    TF_MESSAGE,
    Recorded,
    S,
    header,
    people_messages,
    transform_message,
    walkers,
    write_bag,
)

from social_implicit_ros.evaluation.errors import ScoredTick, measure
from social_implicit_ros.evaluation.replay import BagReplay
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.forecast import forecast_from_tick
from social_implicit_ros.prediction.pipeline import PipelineConfig, PredictionPipeline
from social_implicit_ros.prediction.replay_settings import load_settings
from social_implicit_ros.prediction.resample import Steps
from social_implicit_ros.prediction.robot_plan import PATH
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.bag_writer import zero_message
from social_implicit_ros.recordings.track_source import SourceChoices, open_source
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.messages.agent_ids import AgentNumbers
from social_implicit_ros.tracks.messages.decoder import ODOMETRY
from social_implicit_ros.types import ROBOT_ID, SkipReason, Tracks

#: The node's tick rate.
NODE = replace(load_settings(), tick_rate_hz=10.0)
#: The same for positions without noise.
EXACT = replace(NODE, pipeline=PipelineConfig(position_noise_m=0.0))
MODELS = {
    "plain": ConstantVelocity(),
    "drawn": ConstantVelocity(heading_sigma_rad=0.4),
    "short": ConstantVelocity(n_observed=3, n_predicted=4),
}


def wanderers(*, duration_s: float = 8.0, rate_hz: float = 10.0, n_agents: int = 4) -> list[Tracks]:
    """People who change direction continuously."""
    generator = np.random.default_rng(5)
    n_steps = round(duration_s * rate_hz) + 1
    heading = generator.uniform(0, 6.28, n_agents) + generator.normal(
        0, 0.15, (n_steps, n_agents)
    ).cumsum(axis=0)
    steps = 1.2 / rate_hz * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    places = generator.uniform(-5, 5, (n_agents, 2)) + steps.cumsum(axis=0)
    ids = tuple(f"p{agent}" for agent in range(n_agents))
    return [
        Tracks(START_NS + round(index / rate_hz * S), ids, places[index])
        for index in range(n_steps)
    ]


def replay(
    bag: Path, models: dict | None = None, settings: PredictorConfig | None = None
) -> tuple[BagReplay, list[dict[str, ScoredTick]]]:
    played = BagReplay(open_source(bag), models or MODELS, settings or NODE)
    return played, list(played.ticks())


def bag_of(tmp_path: Path, recording: list[Tracks], **options: float) -> Path:
    return write_bag(tmp_path / "bag", people_messages(recording, **options))


@pytest.mark.parametrize("latency_s", [0.0, 0.13])
def test_predictions_equal_those_of_a_pipeline_with_the_same_messages(tmp_path, latency_s):
    recording = wanderers()
    _, ticks = replay(bag_of(tmp_path, recording, latency_s=latency_s))

    assert len(ticks) > 60
    for name, model in MODELS.items():
        pipeline = PredictionPipeline(model, PipelineConfig())
        steps = Steps.within(model.step_s, model.n_predicted)
        waiting = list(recording)
        for scored in ticks:
            forecast = scored[name].forecast
            while waiting and waiting[0].stamp_ns + round(latency_s * S) <= forecast.stamp_ns:
                pipeline.history.insert(waiting.pop(0))
            expected = forecast_from_tick(
                pipeline.tick(forecast.stamp_ns), AgentNumbers(), steps, "map"
            )
            assert forecast.ids == expected.ids
            np.testing.assert_array_equal(forecast.prediction.samples, expected.prediction.samples)
            np.testing.assert_array_equal(forecast.past_m, expected.past_m)


def test_the_ground_truth_is_the_later_positions_and_nan_after_the_end(tmp_path):
    _, ticks = replay(bag_of(tmp_path, walkers(duration_s=8.0, n_agents=1)))

    for scored in ticks:
        tick = scored["plain"]
        seconds = (tick.forecast.stamp_ns - START_NS) / S + tick.forecast.times_s
        expected = np.stack([seconds, np.full_like(seconds, 4.0)], axis=-1)
        known = seconds <= 8.0 + 1e-6
        np.testing.assert_allclose(tick.ground_truth[0][known], expected[known], atol=1e-6)
        assert np.isnan(tick.ground_truth[0][~known]).all()


def test_ticks_come_at_the_set_rate_or_with_every_message(tmp_path):
    bag = bag_of(tmp_path, walkers(duration_s=6.0, rate_hz=8.0))

    def periods(rate_hz: float) -> set[float]:
        _, ticks = replay(bag, settings=replace(load_settings(), tick_rate_hz=rate_hz))
        return set(np.diff([scored["plain"].forecast.stamp_ns for scored in ticks]).tolist())

    assert periods(10.0) == {S // 10}
    assert periods(2.0) == {S // 2}
    assert periods(0.0) == {S // 8}


def test_steps_and_horizon_are_those_of_the_settings(tmp_path):
    settings = replace(load_settings(), tick_rate_hz=10.0, time_step_s=0.2, horizon_s=1.0)

    _, ticks = replay(bag_of(tmp_path, walkers()), settings=settings)

    np.testing.assert_allclose(ticks[-1]["plain"].forecast.times_s, [0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks[20]["plain"].ground_truth.shape == (3, 5, 2)


def test_another_person_with_the_same_id_is_not_the_ground_truth(tmp_path):
    before, after = walkers(duration_s=4.0, n_agents=1), []
    for tracks in walkers(duration_s=8.0, n_agents=1)[41:]:
        after.append(Tracks(tracks.stamp_ns, tracks.ids, tracks.positions_m + 30.0))

    bag = bag_of(tmp_path, before + after)
    _, ticks = replay(bag, {"plain": ConstantVelocity()}, settings=EXACT)

    for scored in ticks:
        tick = scored["plain"]
        error = tick.forecast.prediction.mean - tick.ground_truth
        assert not (np.abs(error) > 1e-6).any()


def test_others_nearby_are_counted(tmp_path):
    places = np.array([[0.0, 0.0], [2.0, 0.0], [4.5, 0.0], [40.0, 0.0]])
    recording = [
        Tracks(START_NS + index * S // 10, ("a", "b", "c", "d"), places) for index in range(80)
    ]

    _, ticks = replay(bag_of(tmp_path, recording))

    context = measure([ticks[20]["plain"]]).context
    assert context["crowd"].tolist() == [1, 2, 1, 0]
    assert context["speed"].tolist() == [0.0] * 4


def played_twice(tmp_path: Path, recording: list[Tracks]) -> Path:
    """A bag in which the stamps jump back to the first one."""
    once, again = (people_messages(recording, clock_offset_s=100.0) for _ in range(2))
    duration_ns = recording[-1].stamp_ns - recording[0].stamp_ns + S // 10
    for message in again:
        message.recorded_ns += duration_ns
    return write_bag(tmp_path / "bag", [*once, *again])


def test_histories_restart_when_time_jumps_back(tmp_path):
    bag = played_twice(tmp_path, walkers(duration_s=7.0))

    played, ticks = replay(bag, settings=EXACT)

    assert played.counts.resets == 1
    stamps_ns = [scored["plain"].forecast.stamp_ns for scored in ticks]
    assert (np.diff(stamps_ns) < 0).sum() == 1
    errors = [
        scored["plain"].forecast.prediction.mean - scored["plain"].ground_truth for scored in ticks
    ]
    assert np.nanmax(np.abs(np.concatenate(errors))) < 1e-6


def test_messages_that_the_node_refuses_are_counted(tmp_path):
    recording = walkers(duration_s=7.0, n_agents=2)
    messages = people_messages(recording)
    # Stamped two seconds ahead of their recording.
    for message in messages[30:33]:
        message.message.header.stamp.sec += 2

    played, _ = replay(write_bag(tmp_path / "bag", messages))

    assert played.counts.skipped[SkipReason.FUTURE_STAMP] == 6
    assert played.counts.messages == len(recording)


def test_there_are_no_ticks_during_a_long_gap(tmp_path):
    first, second = walkers(duration_s=6.0), walkers(duration_s=6.0, start_ns=START_NS + 3600 * S)

    _, ticks = replay(bag_of(tmp_path, first + second))

    # Tracks end after track_timeout_s.
    assert len(ticks) < 2 * 60 + 2 * 12


@pytest.mark.slow
@pytest.mark.parametrize("n_messages, with_one", [(1, True), (10, False)])
def test_one_is_scored_while_hundreds_come_and_go(tmp_path, n_messages, with_one):
    """Agents that left are dropped in bulk; those still tracked are not affected."""
    recording = []
    for index in range(240):
        places = {"one": (0.05 * index, 0.0)}
        crowd, since = divmod(index + 36, 40)
        if crowd and since < n_messages:
            others = {f"{crowd}/{agent}": (0.5 * agent, 5.0) for agent in range(150)}
            places = others | (places if with_one else {})
        stamp_ns = START_NS + index * S // 10
        recording.append(Tracks(stamp_ns, tuple(places), np.array(list(places.values()))))

    _, ticks = replay(bag_of(tmp_path, recording), {"plain": ConstantVelocity()})

    scored = [tick["plain"] for tick in ticks if "one" in tick["plain"].forecast.ids]
    # A person who is missed while others are observed is not predicted.
    assert len(scored) > 170
    if with_one:
        for tick in scored[:-60]:
            row = tick.forecast.ids.index("one")
            assert np.isfinite(tick.ground_truth[row]).all()


class TestRobot:
    """A robot that drives along the x axis at 0.5 m/s, observed 20 times a second."""

    RECORDING = wanderers(duration_s=8.0)

    def place_m(self, stamp_ns: int) -> float:
        return 0.5 * (stamp_ns - START_NS) / S

    def stamps_ns(self) -> list[int]:
        return [START_NS + index * S // 20 for index in range(161)]

    def odometry(self, topic: str = "/odom") -> list[Recorded]:
        messages = []
        for stamp_ns in self.stamps_ns():
            message = zero_message(STORE, ODOMETRY)
            message.header = header(stamp_ns, "map")
            message.pose.pose.position.x = self.place_m(stamp_ns)
            messages.append(Recorded(topic, ODOMETRY, message, stamp_ns))
        return messages

    def transforms(self) -> list[Recorded]:
        def moved(stamp_ns: int) -> Any:
            place = (self.place_m(stamp_ns), 0.0, 0.0)
            return transform_message("map", "base_link", stamp_ns, xyz=place)

        return [Recorded("/tf", TF_MESSAGE, moved(stamp), stamp) for stamp in self.stamps_ns()]

    def bag(self, tmp_path: Path, *others: Recorded) -> Path:
        return write_bag(tmp_path / "bag", [*people_messages(self.RECORDING), *others])

    @pytest.mark.slow
    @pytest.mark.parametrize("robot", ["odometry", "tf"])
    def test_people_are_predicted_with_the_robot_among_them(self, tmp_path, robot):
        others = self.odometry() if robot == "odometry" else self.transforms()
        settings = replace(load_settings(), tick_rate_hz=10.0, robot=robot)
        source = open_source(self.bag(tmp_path, *others), replace(settings, fixed_frame="map"))

        ticks = list(BagReplay(source, MODELS, settings).ticks())

        assert source.notes == ()
        assert len(ticks) > 60
        for models in ticks[5:]:
            scored = models["plain"]
            assert ROBOT_ID in scored.tick.window.ids
            assert ROBOT_ID not in scored.forecast.ids
            expected_m = self.place_m(scored.forecast.stamp_ns)
            np.testing.assert_allclose(scored.forecast.robot_m, [expected_m, 0.0], atol=1e-6)

    def test_windows_equal_those_of_a_pipeline_with_the_same_messages(self, tmp_path):
        settings = replace(load_settings(), tick_rate_hz=10.0, robot="odometry")
        source = open_source(self.bag(tmp_path, *self.odometry()), settings)
        ticks = list(BagReplay(source, {"plain": MODELS["plain"]}, settings).ticks())

        pipeline = PredictionPipeline(MODELS["plain"], PipelineConfig())
        entries = [
            *self.RECORDING,
            *(
                Tracks(stamp_ns, (ROBOT_ID,), np.array([[self.place_m(stamp_ns), 0.0]]))
                for stamp_ns in self.stamps_ns()
            ),
        ]
        waiting = sorted(entries, key=lambda tracks: tracks.stamp_ns)
        for scored in ticks:
            while waiting and waiting[0].stamp_ns <= scored["plain"].forecast.stamp_ns:
                pipeline.history.insert(waiting.pop(0))
            expected = pipeline.tick(scored["plain"].forecast.stamp_ns).window
            window = scored["plain"].tick.window
            rows = [expected.ids.index(agent) for agent in window.ids]
            np.testing.assert_allclose(window.positions_m, expected.positions_m[rows], atol=1e-9)

    def plans(self, frame_id: str = "map") -> list[Recorded]:
        """It drives to 10 m, and says so every second."""
        messages = []
        for stamp_ns in self.stamps_ns()[::20]:
            message = zero_message(STORE, PATH)
            message.header = header(stamp_ns, frame_id)
            for x_m in (0.0, 10.0):
                pose = zero_message(STORE, "geometry_msgs/msg/PoseStamped")
                pose.pose.position.x = x_m
                message.poses.append(pose)
            messages.append(Recorded("/plan", PATH, message, stamp_ns))
        return messages

    def test_the_plan_of_the_bag_is_its_future(self, tmp_path):
        settings = replace(load_settings(), tick_rate_hz=10.0, robot="odometry")
        bag = self.bag(tmp_path, *self.odometry(), *self.plans())
        source = open_source(bag, settings)
        replay = BagReplay(source, {"default": load_model("default")}, settings)

        ticks = [scored["default"].tick for scored in replay.ticks()]

        assert replay.counts.others == {}
        for tick in ticks[10:]:
            robot = tick.window.ids.index(ROBOT_ID)
            expected_m = tick.present_m[robot] + 0.5 * 0.4 * np.arange(1, 13)[:, None] * [1.0, 0.0]
            np.testing.assert_allclose(tick.prediction.mean[robot], expected_m, atol=0.02)

    def test_a_plan_without_a_transform_is_not_used_and_counted(self, tmp_path):
        settings = replace(load_settings(), tick_rate_hz=10.0, robot="odometry")
        bag = self.bag(tmp_path, *self.odometry(), *self.plans("elsewhere"))
        replay = BagReplay(open_source(bag, settings), MODELS, settings)

        assert len(list(replay.ticks())) > 60
        assert "without the robot's plan" in replay.counts.others["plan"][1]

    def test_the_robot_is_left_out_unless_it_is_requested(self, tmp_path):
        _, ticks = replay(self.bag(tmp_path, *self.odometry()))

        assert all(scored["plain"].forecast.robot_m is None for scored in ticks)

    def test_without_odometry_or_with_two_topics_there_is_no_robot_and_a_note(self, tmp_path):
        settings = replace(load_settings(), robot="odometry")
        none = open_source(self.bag(tmp_path / "a"), settings)
        two = self.bag(tmp_path / "b", *self.odometry(), *self.odometry("/wheels"))

        assert none.robot is None and "has none" in none.notes[-1]
        assert "2 topics" in open_source(two, settings).notes[-1]
        wheels, legs = SourceChoices(odometry="/wheels"), SourceChoices(odometry="/legs")
        assert open_source(two, settings, wheels).robot.topic == "/wheels"
        with pytest.raises(RecordingError, match=r"no odometry on topic '/legs'.*/odom, /wheels"):
            open_source(two, settings, legs)


@pytest.mark.slow
def test_ticks_before_the_damage_are_scored(tmp_path):
    bag = bag_of(tmp_path, walkers(duration_s=60.0, n_agents=30))
    (file,) = bag.glob("*.mcap")
    content = bytearray(file.read_bytes())
    # In the second chunk; each has 1 MiB.
    content[1_200_000:1_210_000] = bytes(10_000)
    file.write_bytes(content)
    played = BagReplay(open_source(bag), {"plain": ConstantVelocity()}, NODE)

    ticks = []
    with pytest.raises(RecordingError, match="damaged"):
        for scored in played.ticks():
            ticks.append(scored["plain"])

    assert 100 < played.counts.messages < 601
    # The last ticks before the damage are included, scored with the ground truth known so far.
    assert len(ticks) > played.counts.messages - 5
    assert np.isnan(ticks[-1].ground_truth).any()


@pytest.mark.slow
def test_regions_of_each_model_adapt_separately_and_without_stored_state(tmp_path):
    source = open_source(played_twice(tmp_path, wanderers(duration_s=10.0)))

    def covariances(models: dict, *, is_adaptive: bool) -> list[np.ndarray]:
        played = BagReplay(source, models, NODE, is_adaptive=is_adaptive)
        return [tick["drawn"].forecast.prediction.covariance for tick in played.ticks()]

    drawn = {"drawn": MODELS["drawn"]}
    shipped, alone, among_others = (
        covariances(models, is_adaptive=is_adaptive)
        for models, is_adaptive in ((drawn, False), (drawn, True), (MODELS, True))
    )

    first, last = (
        alone[index][:, -1, 0, 0] / shipped[index][:, -1, 0, 0] for index in (0, len(shipped) - 1)
    )
    # At an unknown site 95 % regions start larger by this factor.
    np.testing.assert_allclose(first, 1.17**2, rtol=0.05)
    assert (np.abs(last - 1.0) > 0.2).all()
    for one, other in zip(alone, among_others, strict=True):
        np.testing.assert_array_equal(one, other)
