"""`replay_tracks` publishes a recording over DDS as a tracker would."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source a ROS distribution, or run make test")

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import PointCloud2
from support.object_decoder import ObjectDecoder
from support.ros import NodeProcess, Peer, running
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.commands import replay_tracks
from social_implicit_ros.commands.replay_tracks import main
from social_implicit_ros.commands.tracks_to_bag import main as tracks_to_bag
from social_implicit_ros.recordings.arrivals import recorded_tracks
from social_implicit_ros.recordings.playback import Playback
from social_implicit_ros.recordings.track_source import open_source
from social_implicit_ros.ros.processes.domains import reserve_domain
from social_implicit_ros.tracks.messages.spec import find_tracker_spec
from social_implicit_ros.tracks.stamps import stamp_ns_of

CROWD = str(resources.files("social_implicit_ros.recordings") / "crowd")
Replay = Callable[..., AbstractContextManager[NodeProcess]]
MARKERS = ObjectDecoder(find_tracker_spec("marker_array"))
CLOUD = ObjectDecoder(find_tracker_spec("point_cloud"))
CLOCK_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)


def test_a_stalled_replay_continues_where_it_was(
    domain: int, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tracker would not publish all missed messages at once either."""
    times_s = iter([100.0, 100.1, 160.0, 160.1, 160.3])
    monkeypatch.setattr(replay_tracks.time, "monotonic", lambda: next(times_s))
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    rclpy.init()
    try:
        node = replay_tracks.ReplayNode(
            Playback(open_source(text)),
            topic="tracks",
            tracker="marker_array",
            frame_id="odom",
            use_clock=True,
            wait=False,
        )
        published = []
        for _ in range(5):
            node._publish_due()
            published.append(node.n_published)
        node.destroy_node()
    finally:
        rclpy.shutdown()
    # An entry each 0.4 s: at 0, 0.1, 0.6, 0.7 and 0.9 s of the replay.
    assert published == [1, 1, 2, 2, 3]


@pytest.fixture
def domain() -> int:
    return reserve_domain()


@pytest.fixture
def peer(domain: int) -> Iterator[Peer]:
    peer = Peer(domain)
    yield peer
    peer.close()


@pytest.fixture
def replay(domain: int, tmp_path: Path) -> Replay:
    """Starts `replay_tracks` with arguments; it begins when the topic has a subscriber."""

    def start(*arguments: str | Path) -> AbstractContextManager[NodeProcess]:
        words = [*map(str, arguments), "--wait"]
        return running("replay_tracks", words, domain=domain, folder=tmp_path)

    return start


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Two people for four seconds, 10 frames apart."""
    path = tmp_path / "walk.txt"
    lines = [f"{f} 1 {f / 20} 0\n{f} 2 {5 - f / 20} {f / 100}\n" for f in range(0, 101, 10)]
    path.write_text("".join(lines))
    return path


def test_text_is_published_message_by_message_with_clock(
    text: Path, peer: Peer, replay: Replay
) -> None:
    arrays = peer.collect(MarkerArray, "/tracks")
    clocks: list[Clock] = []
    peer.node.create_subscription(Clock, "/clock", clocks.append, CLOCK_QOS)
    with replay(text, "--rate", "4") as process:
        peer.wait_for(lambda: process.process.poll() is not None, "the end", None)
        assert process.stop() == 0
    peer.wait_for(lambda: len(arrays) == 11, "the last message", None)

    recorded = list(recorded_tracks(open_source(text)))
    for message, tracks in zip(arrays, recorded, strict=True):
        heard = MARKERS.decode(message).tracks
        assert heard is not None
        assert heard.stamp_ns == tracks.stamp_ns
        assert heard.ids == tuple(f"pedestrian/{agent}" for agent in tracks.ids)
        np.testing.assert_array_equal(heard.positions_m, tracks.positions_m)
    times_ns = [stamp_ns_of(clock.clock) for clock in clocks]
    assert times_ns == sorted(times_ns)
    assert times_ns[-1] >= recorded[-1].stamp_ns
    # Simulated timers need the time between the messages, too.
    assert len(times_ns) > len(arrays)


def test_a_bag_is_published_as_recorded(
    text: Path, tmp_path: Path, peer: Peer, replay: Replay
) -> None:
    assert tracks_to_bag([str(text), str(tmp_path / "bag"), "--type", "point_cloud"]) == 0
    clouds = peer.collect(PointCloud2, "/people")
    options = ("--rate", "20", "--topic", "/people", "--frame", "hall")
    with replay(tmp_path / "bag", *options) as process:
        peer.wait_for(lambda: len(clouds) == 11, "the last message", None)
        peer.wait_for(lambda: process.process.poll() is not None, "the end", None)
    assert {cloud.header.frame_id for cloud in clouds} == {"hall"}
    first = CLOUD.decode(clouds[0]).tracks
    assert first is not None and first.ids == ("1", "2")


def test_without_clock_messages_have_the_current_time(
    text: Path, peer: Peer, replay: Replay
) -> None:
    arrays = peer.collect(MarkerArray, "/tracks")
    begin_ns = time.time_ns()
    with replay(text, "--no-clock", "--duration", "1") as process:
        peer.wait_for(lambda: len(arrays) == 3, "the last message", process)
        topics = dict(peer.node.get_topic_names_and_types())
    stamps_ns = [stamp_ns_of(message.markers[0].header.stamp) for message in arrays]
    assert begin_ns < stamps_ns[0] < stamps_ns[-1] < time.time_ns()
    assert "/clock" not in topics


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_loop_goes_back_in_time_until_it_is_interrupted(
    text: Path, peer: Peer, replay: Replay, number: signal.Signals
) -> None:
    arrays = peer.collect(MarkerArray, "/tracks")
    with replay(text, "--loop", "--rate", "20") as process:
        peer.wait_for(lambda: len(arrays) > 12, "a second round", process)
        assert process.stop(number) == 0
        assert "Traceback" not in process.output
    stamps_ns = [stamp_ns_of(message.markers[0].header.stamp) for message in arrays]
    assert stamps_ns[11] == stamps_ns[0]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere.mcap"], "no recording nowhere.mcap"),
        ([sys.executable], "neither text nor a bag"),
        (["{text}", "--rate", "0"], "rate is 0.0"),
        (["{text}", "--rate", "2", "--no-clock"], "--no-clock plays at rate 1"),
        (["{text}", "--start", "60"], "has no messages from 60 s on"),
        (["{text}", "--topic", "two words"], "two words"),
        ([CROWD, "--tracker", "nobodys"], "no tracker 'nobodys'"),
        (["{text}", "--ros-args", "-p"], "Failed to parse ROS arguments"),
    ],
)
def test_an_invalid_request_is_refused_in_one_line(
    text: Path, arguments: list[str], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(text=text) for argument in arguments]) == 2
    assert reason in capfd.readouterr().err


@pytest.mark.parametrize("option", ["--start=nan", "--duration=1e300"])
def test_a_section_out_of_bounds_is_refused(
    text: Path, option: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(text), option])
    assert "is not a number from" in capfd.readouterr().err
