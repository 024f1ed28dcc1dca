"""The command `replay_tracks`: publishes recorded pedestrians as a tracker does."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import rclpy
from nav_msgs.msg import OccupancyGrid
from rclpy.duration import Duration
from rclpy.exceptions import NameValidationException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock

from social_implicit_ros.commands import options as opt
from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.recordings.bag import DEFAULT_FRAME, RecordingError
from social_implicit_ros.recordings.bag_writer import (
    MESSAGE_TYPES,
    serialised_map,
    serialised_tracks,
)
from social_implicit_ros.recordings.floor_plan import floor_plan_of
from social_implicit_ros.recordings.playback import Playback
from social_implicit_ros.recordings.track_source import TrackSource
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.messages import stamp_to_msg
from social_implicit_ros.ros.processes.signals import catch_stop_signals
from social_implicit_ros.ros.processes.startup import own_arguments, start_ros
from social_implicit_ros.ros.timers import steady_timer
from social_implicit_ros.ros.trackers import import_message
from social_implicit_ros.untrusted_files import printable_text

#: Period of /clock in seconds: the maximum delay of timers in simulated time.
CLOCK_PERIOD_S = 0.01
#: After a longer stall, seconds, such as a suspended machine, the replay resumes where it stopped.
LONGEST_STALL_S = 0.5


class ReplayNode(Node):
    """Publishes the recorded messages that are due, at every call of a steady timer."""

    def __init__(
        self,
        playback: Playback,
        *,
        topic: str,
        tracker: str,
        frame_id: str,
        use_clock: bool,
        wait: bool,
        floor_plan: FloorPlan | None = None,
    ) -> None:
        """The replay starts when the node spins.

        Args:
            playback: the messages to publish, in order of time.
            topic: of the tracks.
            tracker: mapping of the published messages, a key of `MESSAGE_TYPES`.
            frame_id: of the tracks.
            use_clock: publish /clock and keep recorded stamps; else stamp with the node's clock.
            wait: start when the tracks have a subscriber.
            floor_plan: recorded map, to publish on `map`.
        """
        super().__init__("replay_tracks")
        self.n_published = 0
        self._playback = playback
        message_class = import_message(MESSAGE_TYPES[tracker], "replay_tracks")
        self._tracker, self._frame_id = tracker, frame_id
        self._wait, self._began_s, self._seen_s = wait, 0.0, 0.0
        self._tracks: Publisher = self.create_publisher(message_class, topic, qos.replayed_tracks())
        clock = self.create_publisher(Clock, "/clock", qos.clock()) if use_clock else None
        self._clock_topic = clock
        if floor_plan is not None:
            self._map = self.create_publisher(OccupancyGrid, "map", qos.map_())
            self._map.publish(serialised_map(floor_plan, 0, frame_id))
        # Steady: a timer of ROS time would wait for the /clock that this node publishes.
        self._timer = steady_timer(self, CLOCK_PERIOD_S, self._publish_due)

    def finish(self) -> None:
        """Waits until reliable subscribers have all messages, at most one second."""
        self._tracks.wait_for_all_acked(Duration(seconds=1))
        self.get_logger().info(f"published {self.n_published} messages")
        for note in self._playback.left_out.notes():
            self.get_logger().warning(printable_text(note))

    def _publish_due(self) -> None:
        if self._wait and self._tracks.get_subscription_count() == 0:
            return
        now_s = time.monotonic()
        if self._began_s == 0.0:
            self._wait, self._began_s, self._seen_s = False, now_s, now_s
        self._began_s += max(0.0, now_s - self._seen_s - LONGEST_STALL_S)
        self._seen_s = now_s
        now_ns, due = self._playback.advance(now_s - self._began_s)
        if self._clock_topic is not None:
            self._clock_topic.publish(Clock(clock=stamp_to_msg(now_ns)))
        for tracks in due:
            if self._clock_topic is None:
                tracks = replace(tracks, stamp_ns=self.get_clock().now().nanoseconds)
            self._tracks.publish(serialised_tracks(tracks, self._tracker, self._frame_id))
            self.n_published += 1


@reports_errors("replay_tracks")
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with its and ROS arguments."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(own_arguments(argv))
    recording, playback = _open(options)
    try:
        return _play(options, recording, playback, argv)
    except NameValidationException as error:
        raise ValueError(error) from error


def _open(arguments: argparse.Namespace) -> tuple[TrackSource, Playback]:
    if not arguments.clock and arguments.rate != 1.0:
        raise RecordingError(
            f"--no-clock plays at rate 1, not {arguments.rate:g}: tracks are stamped when they are "
            "published, which would change the speed of the people"
        )
    recording, settings = opt.opened_to_publish("replay_tracks", arguments)
    arguments.fixed_frame = settings.fixed_frame
    return recording, Playback(
        recording,
        rate=arguments.rate,
        start_s=arguments.start,
        duration_s=arguments.duration,
        loop=arguments.loop,
        settings=settings,
    )


def _play(
    arguments: argparse.Namespace, recording: TrackSource, playback: Playback, argv: list[str]
) -> int:
    is_stopping = catch_stop_signals()
    if is_stopping():
        return 0
    start_ros("replay_tracks", ["replay_tracks", *argv])
    try:
        node = ReplayNode(
            playback,
            topic=arguments.topic,
            tracker=arguments.type or _tracker_of(recording),
            frame_id=arguments.fixed_frame or recording.fixed_frame or DEFAULT_FRAME,
            use_clock=arguments.clock,
            wait=arguments.wait,
            floor_plan=None if arguments.no_map else floor_plan_of(recording.path),
        )
        node.get_logger().info(
            f"playing {recording.path} ({recording.duration_s:.1f} s) at rate {arguments.rate:g}"
        )
        for note in recording.remarks:
            node.get_logger().info(printable_text(note))
        _spin(node, until=lambda: playback.is_done or is_stopping())
    finally:
        rclpy.try_shutdown()
    return 0


def _spin(node: ReplayNode, *, until: Callable[[], bool]) -> None:
    executor = SingleThreadedExecutor()
    try:
        executor.add_node(node)
        while not until():
            executor.spin_once(timeout_sec=CLOCK_PERIOD_S)
        node.finish()
    finally:
        executor.shutdown()
        node.destroy_node()


def _tracker_of(recording: TrackSource) -> str:
    """The recorded type if it can be published: the node then needs no other mapping."""
    names = (name for name, kind in MESSAGE_TYPES.items() if kind == recording.message_type)
    return next(names, "marker_array")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="replay_tracks",
        description="Publishes recorded pedestrians as a tracker does, with /clock.",
    )
    add = parser.add_argument
    text = (
        "a rosbag2 folder, an .mcap or .db3 file, or trajectories as text, CSV, TrajNet++ ndjson, "
        ".npy or .npz"
    )
    add("file", type=Path, metavar="FILE", help=text)
    add("--rate", type=float, default=1.0, help="recorded seconds per second, default: %(default)s")
    add("--topic", default="tracks", help="topic to publish on, default: %(default)s")
    text = "type to publish, default: as recorded; marker_array for text"
    add("--type", choices=sorted(MESSAGE_TYPES), help=text)
    opt.add_publishing_options(parser)
    add("--loop", action="store_true", help="restart at the end")
    text = (
        "publish /clock and keep the recorded stamps (for nodes with use_sim_time); with "
        "--no-clock the tracks have the current time, as those of a live tracker"
    )
    add("--clock", action=argparse.BooleanOptionalAction, default=True, help=text)
    add("--wait", action="store_true", help="start when the tracks have a subscriber")
    add("--no-map", action="store_true", help="do not publish the map in the recording")
    opt.add(parser, "--start", "--duration")
    opt.add_old_name(parser, "--recorded-topic", "--tracks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
