"""A subscriber that hangs delays neither ticks nor other subscribers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rclpy
from sensor_msgs.msg import PointCloud2
from support.conversation import Conversation
from support.ros import NodeUnderTest

from social_implicit_ros.ros.processes.startup import send_in_background

Start = Callable[..., NodeUnderTest]
MODE = "RMW_FASTRTPS_PUBLICATION_MODE"
#: Prints a line at the first message.
SUBSCRIBER = """
import rclpy
from sensor_msgs.msg import PointCloud2
rclpy.init(domain_id={domain})
node = rclpy.create_node("hanging")
def hear(message):
    print("heard", flush=True)
node.create_subscription(PointCloud2, "/predictor/samples", hear, 10)
rclpy.spin(node)
"""


@pytest.fixture
def hanging(
    start: Start,
) -> Iterator[tuple[Conversation, list[PointCloud2], NodeUnderTest]]:
    """A node of which one of two subscribers to the samples is stopped by SIGSTOP."""
    node = start(tick_rate_hz=0.0, outputs="[pointcloud,samples]", n_samples=200)
    talk = Conversation(node)
    heard = node.collect(PointCloud2, "/predictor/samples")
    domain = node.peer.node.context.get_domain_id()
    subscriber = subprocess.Popen(
        [sys.executable, "-c", SUBSCRIBER.format(domain=domain)], stdout=subprocess.PIPE
    )
    try:
        assert subscriber.stdout is not None
        os.set_blocking(subscriber.stdout.fileno(), False)
        stamps_ns = talk.new_stamps()

        def is_listening() -> bool:
            talk.walk(stamps_ns, 1)
            return bool(subscriber.stdout and subscriber.stdout.read())

        node.wait_for(is_listening, "a message at the second subscriber")
        subscriber.send_signal(signal.SIGSTOP)
        yield talk, heard, node
    finally:
        subscriber.kill()
        subscriber.wait()


def test_the_others_get_every_prediction_while_one_hangs(
    hanging: tuple[Conversation, list[PointCloud2], NodeUnderTest],
) -> None:
    talk, heard, node = hanging
    stamps_ns = talk.new_stamps()
    before = len(heard)
    # Each is answered before the next is sent.
    talk.walk(stamps_ns, 40)
    node.wait_for(lambda: len(heard) >= before + 40, "samples at the subscriber that listens")


@pytest.mark.skipif(
    rclpy.get_rmw_implementation_identifier() != "rmw_fastrtps_cpp", reason="not Fast DDS"
)
def test_messages_are_sent_by_a_thread_of_their_own(start: Start) -> None:
    node = start()
    tasks = Path(f"/proc/{node.process.process.pid}/task")
    names = [(task / "comm").read_text().strip() for task in tasks.iterdir()]
    if not any(name.startswith("dds.") for name in names):
        pytest.skip("this Fast DDS does not name its threads")
    assert any(name.startswith("dds.asyn") for name in names), names


@pytest.mark.parametrize(("given", "expected"), [(None, "ASYNCHRONOUS"), ("AUTO", "AUTO")])
def test_the_mode_that_a_user_set_is_kept(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    monkeypatch.delenv(MODE, raising=False)
    if given is not None:
        monkeypatch.setenv(MODE, given)
    send_in_background()
    assert os.environ[MODE] == expected
