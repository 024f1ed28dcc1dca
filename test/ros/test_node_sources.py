"""Trackers as they are: without stamps, without ids, with a slash before the frame; over DDS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import PointCloud2
from support.ros import NodeUnderTest
from visualization_msgs.msg import Marker, MarkerArray

from social_implicit_ros.evaluation.published import prediction_from_point_cloud
from social_implicit_ros.ros.messages import stamp_to_msg
from social_implicit_ros.tracks.messages.agent_ids import agent_number

S = 1_000_000_000
SPEED_M_S = 1.2

Start = Callable[..., NodeUnderTest]


def first_prediction(
    node: NodeUnderTest, message_class: type, build: Callable[[int, float], Any], topic: str
) -> PointCloud2:
    """Publishes a person that walks along x, four tenths of a second a message."""
    publisher = node.publisher(message_class, topic)
    clouds = node.collect(PointCloud2, "/predictor/predictions")
    steps = iter(range(1, 10_000))

    def predicted() -> PointCloud2 | None:
        seconds = 0.4 * next(steps)
        publisher.publish(build(round(seconds * S), SPEED_M_S * seconds))
        return next((cloud for cloud in clouds if cloud.width), None)

    return node.wait_for(predicted, "a prediction")


def marker(number: int, stamp: Time, x_m: float, frame_id: str = "odom") -> Marker:
    message = Marker(ns="p", id=number)
    message.header.stamp, message.header.frame_id = stamp, frame_id
    message.pose.position.x = x_m
    return message


def test_a_tracker_that_never_stamps_is_predicted_at_the_time_of_arrival(restart: Start) -> None:
    node = restart(stamp_source="arrival")

    def unstamped(stamp_ns: int, x_m: float) -> MarkerArray:
        # Slower than the limit of speed, whatever the time between two arrivals.
        return MarkerArray(markers=[marker(1, Time(), 1e-3 * x_m)])

    cloud = first_prediction(node, MarkerArray, unstamped, "/predictor/tracks")
    assert prediction_from_point_cloud(cloud).stamp_ns > 1_000 * S


def test_markers_with_stamps_of_their_own_and_a_slash_are_predicted(restart: Start) -> None:
    node = restart(fixed_frame="/odom")

    def spread(stamp_ns: int, x_m: float) -> MarkerArray:
        stamps = [stamp_to_msg(stamp_ns + late_ns) for late_ns in (0, 20_000, 40_000_000)]
        return MarkerArray(
            markers=[marker(n, stamp, x_m, "/odom") for n, stamp in enumerate(stamps)]
        )

    cloud = first_prediction(node, MarkerArray, spread, "/predictor/tracks")
    assert cloud.header.frame_id == "odom"
    agents = set(prediction_from_point_cloud(cloud).agents.tolist())
    assert agents == {agent_number(f"p/{n}") for n in range(3)}
    assert node.process.output.count("frame /odom is read as odom") == 1


def test_the_most_probable_class_counts_and_entries_without_id_are_skipped(restart: Start) -> None:
    messages = pytest.importorskip("vision_msgs.msg")
    node = restart(tracker="vision_detections@/detections")

    def detection(track_id: str, x_m: float, *classes: tuple[str, float]) -> Any:
        results = []
        for name, score in classes:
            result = messages.ObjectHypothesisWithPose()
            result.hypothesis.class_id, result.hypothesis.score = name, score
            results.append(result)
        found = messages.Detection3D(id=track_id, results=results)
        found.bbox.center.position.x = x_m
        return found

    def detections(stamp_ns: int, x_m: float) -> Any:
        message = messages.Detection3DArray()
        message.header.stamp, message.header.frame_id = stamp_to_msg(stamp_ns), "odom"
        message.detections = [
            detection("1", x_m, ("car", 0.1), ("Human", 0.9)),
            detection("2", x_m, ("person", 0.1), ("car", 0.9)),
            detection("-1", x_m, ("person", 0.9)),
        ]
        return message

    cloud = first_prediction(node, messages.Detection3DArray, detections, "/detections")
    assert prediction_from_point_cloud(cloud).agents.tolist() == [1]


def test_a_person_seen_by_two_trackers_is_predicted_once(restart: Start) -> None:
    node = restart(tracker="marker_array@/one, marker_array@/two", merge_distance_m=0.5)
    publishers = [node.publisher(MarkerArray, topic) for topic in ("/one", "/two")]
    clouds = node.collect(PointCloud2, "/predictor/predictions")
    steps = iter(range(1, 10_000))
    n_predicted: list[int] = []

    def is_merged() -> bool:
        seconds = 0.4 * next(steps)
        for number, publisher in enumerate(publishers):
            stamp = stamp_to_msg(round(seconds * S) + number * S // 10)
            shown = [marker(1, stamp, SPEED_M_S * (seconds + 0.1 * number) + 0.1 * number)]
            # Somebody whom only one of them sees.
            shown += [marker(2, stamp, SPEED_M_S * seconds + 5.0)] * (1 - number)
            publisher.publish(MarkerArray(markers=shown))
        if clouds:
            n_predicted.append(len(set(prediction_from_point_cloud(clouds[-1]).agents.tolist())))
        return 3 in n_predicted and n_predicted[-1] == 2

    node.wait_for(is_merged, "one prediction of each person")
    published = set(prediction_from_point_cloud(clouds[-1]).agents.tolist())
    # Whichever tracker was heard first.
    both = {agent_number("0/marker_array/p/1"), agent_number("1/marker_array/p/1")}
    assert len(published & both) == 1
    assert published - both == {agent_number("0/marker_array/p/2")}
