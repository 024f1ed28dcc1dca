"""`~/costmap`, read as the static layer of Nav2 reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from support.forecasts import S, random_forecast, walking_forecast

from social_implicit_ros.parameter_spec import ParameterError
from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.ros.outputs.costmap import Costmap
from social_implicit_ros.settings import PARAMETERS, NodeConfig
from social_implicit_ros.types import FloatArray

NAV2 = Path(__file__).parents[3] / "docs" / "nav2.md"
DEFAULTS: dict[str, Any] = {spec.name: spec.default for spec in PARAMETERS}
#: Costs of a layered costmap.
FREE, LETHAL = 0, 254


def output_of(**options: Any) -> Costmap:
    changes = {f"costmap.{name}": value for name, value in options.items()}
    return Costmap(NodeConfig.from_values(changes))


def sent(message: OccupancyGrid) -> OccupancyGrid:
    return deserialize_message(serialize_message(message), OccupancyGrid)


class StaticLayer:
    """What Nav2's StaticLayer does with a map, with `trinary_costmap: false`."""

    lethal_threshold = 100

    def __init__(self, message: OccupancyGrid) -> None:
        info = message.info
        assert info.resolution >= 1e-3, "Received map message is malformed"
        assert info.height > 0 < info.width
        assert len(message.data) == info.width * info.height
        assert info.origin.orientation.w == 1.0
        self.size_x, self.size_y = info.width, info.height
        self.resolution = info.resolution
        self.origin_x, self.origin_y = info.origin.position.x, info.origin.position.y
        self.costs = [self.interpret(value % 256) for value in message.data]

    def interpret(self, value: int) -> int:
        if value == 255:
            return FREE
        if value >= self.lethal_threshold:
            return LETHAL
        return int(value / self.lethal_threshold * LETHAL)

    def cost(self, x_m: float, y_m: float) -> int | None:
        if x_m < self.origin_x or y_m < self.origin_y:
            return None
        column = int((x_m - self.origin_x) / self.resolution)
        row = int((y_m - self.origin_y) / self.resolution)
        if column < self.size_x and row < self.size_y:
            return self.costs[row * self.size_x + column]
        return None


def walker(position_m: tuple[float, float], **options: Any) -> Forecast:
    return walking_forecast(np.array([position_m]), np.array([[1.2, 0.0]]), **options)


def test_the_present_position_is_lethal_and_the_predicted_path_graded() -> None:
    layer = StaticLayer(sent(output_of().render(walker((1.0, 2.0)))))
    assert layer.cost(1.0, 2.0) == LETHAL
    ahead = [layer.cost(1.0 + 1.2 * time_s, 2.0) for time_s in (0.5, 1.0, 1.5, 2.0)]
    assert ahead == sorted(ahead, reverse=True)
    assert 50 < ahead[-1] < ahead[1] < ahead[0]
    beside = [layer.cost(2.2, 2.0 + offset_m) for offset_m in (0.0, 0.2, 0.4, 0.6, 1.5)]
    assert beside == sorted(beside, reverse=True)
    assert beside[-1] == FREE
    # Cells behind the person and beyond the window are free.
    assert layer.cost(0.2, 2.0) == FREE
    assert layer.cost(5.0, 2.0) == FREE


def test_values_are_percent_and_nothing_is_unknown() -> None:
    forecast = random_forecast(("1", "2", "3"))
    forecast = replace(forecast, robot_m=forecast.present_m.mean(axis=0))
    values = np.array(sent(output_of().render(forecast)).data)
    assert values.min() == 0
    assert 0 < values.max() <= 100


def test_a_later_window_leaves_the_present_free() -> None:
    layer = StaticLayer(output_of(start_s=1.0, end_s=2.0).render(walker((1.0, 2.0))))
    assert layer.cost(1.0, 2.0) == FREE
    assert layer.cost(2.8, 2.0) > 50


@pytest.mark.parametrize(
    ("size_m", "resolution_m", "n_cells"), [(20.0, 0.1, 200), (6.0, 0.05, 120), (10.0, 0.3, 33)]
)
def test_size_and_resolution_are_those_of_the_parameters(
    size_m: float, resolution_m: float, n_cells: int
) -> None:
    output = output_of(size_m=size_m, resolution_m=resolution_m)
    info = sent(output.render(walker((1.0, 2.0)))).info
    assert (info.width, info.height) == (n_cells, n_cells)
    assert info.resolution == pytest.approx(resolution_m)


def origin_of(message: OccupancyGrid) -> tuple[float, float]:
    return message.info.origin.position.x, message.info.origin.position.y


def test_the_grid_is_around_the_robot_and_moves_by_whole_cells() -> None:
    output = output_of()
    robots_m = np.random.default_rng(0).uniform(-50, 50, (20, 2))
    origins = []
    for robot_m in robots_m:
        origin = origin_of(output.render(walker((1.0, 2.0), robot_m=robot_m)))
        assert np.abs(np.array(origin) + 10.0 - robot_m).max() <= 1.0
        origins.append(origin)
    in_cells = np.array(origins) / 0.1
    np.testing.assert_allclose(in_cells, np.round(in_cells), atol=1e-6)


def test_the_grid_stays_while_the_robot_is_near_its_middle() -> None:
    output = output_of(recentre_m=0.5)
    steps_m = 0.11 * np.arange(30)
    origins = [
        origin_of(output.render(walker((1.0, 2.0), robot_m=np.array([x_m, 0.0]))))
        for x_m in steps_m
    ]
    # The geometry must be identical while it stays, or the layer resets.
    assert 3 <= len(set(origins)) <= 8
    middles_m = np.array(origins)[:, 0] + 10.0
    assert np.abs(middles_m - steps_m).max() <= 0.5 + 1e-9


def test_while_the_robot_is_lost_the_grid_stays() -> None:
    output = output_of()
    at_robot = output.render(walker((1.0, 2.0), robot_m=np.array([30.0, 5.0])))
    far_people = walking_forecast(np.array([[100.0, 0.0], [104.0, 6.0]]), np.zeros((2, 2)))
    for lost in (far_people, walker((30.0, 5.0)), random_forecast(())):
        assert origin_of(output.render(lost)) == origin_of(at_robot)


def test_without_a_source_of_the_robots_position_the_costmap_is_refused() -> None:
    outputs = {"outputs": ("markers", "costmap")}
    with pytest.raises(ParameterError, match="robot is none: set robot to tf"):
        NodeConfig.from_values(outputs)
    for robot in ("tf", "odometry"):
        assert NodeConfig.from_values({**outputs, "robot": robot}).predictor.robot == robot


def test_without_people_and_when_cleared_the_grid_is_free() -> None:
    output = output_of()
    before = origin_of(output.render(walker((30.0, 2.0))))
    for message in (output.render(random_forecast(())), output.clear(5 * S)):
        layer = StaticLayer(sent(message))
        assert not any(layer.costs)
        assert origin_of(message) == before
        assert message.header.frame_id == "odom"


def test_the_stamp_is_that_of_the_forecast() -> None:
    message = output_of().render(walker((1.0, 2.0)))
    for stamp in (message.header.stamp, message.info.map_load_time):
        assert (stamp.sec, stamp.nanosec) == (12, 345)


def test_the_qos_matches_the_static_layer() -> None:
    profile = output_of().qos()
    assert profile.durability is DurabilityPolicy.TRANSIENT_LOCAL
    assert profile.reliability is ReliabilityPolicy.RELIABLE
    assert profile.depth == 1


def test_a_larger_person_takes_more_room() -> None:
    def occupied(radius_m: float) -> FloatArray:
        config = NodeConfig.from_values({"person_radius_m": radius_m})
        return np.array(Costmap(config).render(walker((1.0, 2.0))).data)

    assert (occupied(0.6) >= occupied(0.3)).all()
    assert occupied(0.6).sum() > 1.5 * occupied(0.3).sum()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"costmap.start_s": 3.0}, "costmap.end_s is 2.0, expected no less than costmap.start_s"),
        ({"costmap.size_m": 200.0, "costmap.resolution_m": 0.02}, "at most 4000 cells"),
    ],
)
def test_an_impossible_window_or_size_is_refused(changes: dict[str, Any], message: str) -> None:
    published = {"outputs": ["costmap"], "robot": "tf"}
    with pytest.raises(ParameterError, match=message):
        NodeConfig.from_values({**published, **changes})
    NodeConfig.from_values(changes)  # accepted, as the costmap is not published


def test_the_nav2_example_sets_the_layers_parameters() -> None:
    snippet = yaml.safe_load(NAV2.read_text().split("```yaml\n")[1].split("```")[0])
    costmap = snippet["local_costmap"]["local_costmap"]["ros__parameters"]
    # Parameters of the costmap, which its static layers share.
    assert costmap["trinary_costmap"] is False
    assert costmap["use_maximum"] is True
    assert costmap["rolling_window"] is True
    assert costmap["global_frame"] == DEFAULTS["fixed_frame"]
    assert costmap["update_frequency"] >= DEFAULTS["tick_rate_hz"]
    layer = costmap["people_layer"]
    assert "people_layer" in costmap["plugins"]
    assert layer["plugin"] == "nav2_costmap_2d::StaticLayer"
    assert layer["map_topic"] == Costmap.topic.replace("~", "/predictor")
    assert layer["map_subscribe_transient_local"] is True
    covered_m = DEFAULTS["costmap.size_m"] - 2 * DEFAULTS["costmap.recentre_m"]
    assert max(costmap["width"], costmap["height"]) <= covered_m
