"""What the node publishes for a real recording is what the predictor computes without ROS."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger
from support.ros import NodeUnderTest
from support.tracks import tracks_to_point_cloud

from social_implicit_ros.evaluation.published import prediction_from_point_cloud
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.recordings.arrivals import recorded_tracks
from social_implicit_ros.recordings.track_source import open_source
from social_implicit_ros.settings import PARAMETERS, PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.messages.agent_ids import agent_number
from social_implicit_ros.tracks.stamps import stamp_ns_of
from social_implicit_ros.types import Tracks
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SOCIAL_IMPLICIT_DATA", ROOT / ".." / "shared" / "data"))
HOTEL = DATA / "eth_ucy" / "all_data" / "biwi_hotel.txt"
#: A sixth of the recording, with people who come, go, stand and meet.
DURATION_S = 80.0
TOLERANCE_M = 1e-3

DEFAULT_MODEL = next(str(spec.default) for spec in PARAMETERS if spec.name == "model")

pytestmark = [
    pytest.mark.benchmark_data,
    pytest.mark.skipif(
        not HOTEL.is_file(),
        reason=f"no recording {HOTEL}; SOCIAL_IMPLICIT_DATA names the data folder",
    ),
]


def replayed(node: NodeUnderTest, recording: list[Tracks]) -> list[PointCloud2]:
    """Sends the recording to the node, each message as soon as the last one was answered."""
    tracks = node.publisher(PointCloud2, "/predictor/tracks")
    clouds: list[PointCloud2] = node.collect(PointCloud2, "/predictor/predictions")

    def heard() -> bool:
        # Until both sides know of each other, messages are lost.
        tracks.publish(tracks_to_point_cloud(recording[0], "odom"))
        return bool(clouds)

    node.wait_for(heard, "an answer to a first message")
    node.call(Trigger, "/predictor/reset", Trigger.Request())
    answers = []
    for entry in recording:
        clouds.clear()
        tracks.publish(tracks_to_point_cloud(entry, "odom"))

        def answer(stamp_ns: int = entry.stamp_ns) -> PointCloud2 | None:
            return next((c for c in clouds if stamp_ns_of(c.header.stamp) == stamp_ns), None)

        answers.append(node.wait_for(answer, f"a prediction stamped {entry.stamp_ns}"))
    return answers


@pytest.mark.parametrize("model", sorted({"sampled_constant_velocity", DEFAULT_MODEL}))
def test_hotel_published_equals_hotel_computed(
    start: Callable[..., NodeUnderTest], model: str
) -> None:
    recording = list(recorded_tracks(open_source(HOTEL).part(0.0, DURATION_S)))
    node: Any = start(model=model, tick_rate_hz=0.0, tracker="point_cloud")

    answers = replayed(node, recording)

    loaded = load_model(model)
    # As the node does, it scores itself on the way and adapts its ellipses.
    adaptive = AdaptiveCalibration(loaded.n_predicted)
    config = PredictorConfig(tick_rate_hz=0.0)
    predictor = Predictor(loaded, config, TransformBuffer(), adaptive=adaptive)
    n_compared = 0
    for entry, answer in zip(recording, answers, strict=True):
        update = predictor.add_tracks(entry, "odom", entry.stamp_ns)
        assert update.tick_ns == entry.stamp_ns
        predictor.tick(entry.stamp_ns)
        tick = predictor.last_tick
        assert tick is not None
        predictor.evaluate()
        published = prediction_from_point_cloud(answer)
        numbers = np.array([agent_number(agent_id) for agent_id in tick.window.ids], dtype=np.int64)
        order = np.argsort(numbers)
        assert published.agents.tolist() == numbers[order].tolist()
        if len(order) == 0:
            continue
        computed = tick.prediction
        np.testing.assert_allclose(published.mean, computed.mean[order], atol=TOLERANCE_M)
        np.testing.assert_allclose(
            published.covariance, computed.covariance[order], atol=TOLERANCE_M, rtol=1e-5
        )
        assert published.n_observed.tolist() == tick.window.n_observed[order].tolist()
        n_compared += len(order)
    assert n_compared > 500
    assert adaptive.learnt.seconds.max() > 0.5 * DURATION_S
