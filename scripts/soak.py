"""`make soak`: the real node for hours, with a crowd that comes and goes; what it lost and grew.

    python scripts/soak.py [--minutes M] [--out soak.json]

A tracker sends 50 people at 30 Hz, of whom somebody leaves and somebody comes all the time; every
output has a subscriber; parameters change every few seconds. Ends with a table and a JSON file,
with status 1 where a target was missed.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import math
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from scipy.stats import linregress

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "test"))

from support.outputs import installed_outputs
from support.processes import n_file_descriptors, n_threads, resident_bytes
from support.ros import LOSSLESS, NodeUnderTest, start_predictor
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.ros.messages import stamp_to_msg
from social_implicit_ros.ros.tracks_messages import ENCODERS
from social_implicit_ros.types import Tracks

RATE_HZ, N_AGENTS, LIFE_S = 30.0, 50, 12.0
TOGGLED = (
    {"n_samples": 40},
    {"confidence_levels": [0.5, 0.9, 0.99]},
    {"min_observations": 4},
    {"markers.alpha": 0.6},
    {"n_samples": 20},
    {"confidence_levels": [0.5, 0.95]},
    {"min_observations": 2},
    {"markers.alpha": 0.35},
    {"n_samples": 0},  # refused
)
TOGGLE_PERIOD_S = 5.0
#: File descriptors and threads are counted from this share of the time on.
WARM_UP_SHARE = 0.3
#: Memory settles within half an hour, in steps: what is allocated stays the same, but the places of
#: freed arrays do not suit the next ones until enough are there. Its slope is judged from then on,
#: over so many minutes at least: a shorter run would take a step for a slope.
SETTLED_S, LEAST_JUDGED_S = 1800.0, 900.0
#: Memory is averaged over so long, seconds, as it goes up and down with every tick.
BLOCK_S = 10.0

#: How it is printed that a target was met, was missed, cannot be judged.
MET = {True: "yes", False: "NO", None: "-"}
MAX_MISSED_SHARE = 0.005
MAX_SLOPE_MB_H = 1.0


class Crowd:
    """People who walk through a square; each for some seconds, then another comes."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._number = itertools.count()
        self._ids: list[str] = []
        self._ends_s = np.zeros(0)
        self._place_m, self._velocity_m_s = np.zeros((0, 2)), np.zeros((0, 2))
        self._now_s = 0.0
        self.n_came = 0

    def at(self, now_s: float, stamp_ns: int) -> MarkerArray:
        """The tracker's message."""
        elapsed_s, self._now_s = now_s - self._now_s, now_s
        self._place_m = self._place_m + elapsed_s * self._velocity_m_s
        self._replace(now_s)
        noise_m = self._random.normal(0.0, 0.02, self._place_m.shape)
        tracks = Tracks(stamp_ns, tuple(self._ids), self._place_m + noise_m)
        message: MarkerArray = ENCODERS["marker_array"][1](tracks, "odom")
        return message

    def _replace(self, now_s: float) -> None:
        stays = self._ends_s > now_s
        self._ids = [agent for agent, keep in zip(self._ids, stays, strict=True) if keep]
        n_new = N_AGENTS - len(self._ids)
        self.n_came += n_new
        self._ids += [f"people/{next(self._number)}" for _ in range(n_new)]
        lives_s = self._random.uniform(0.2, 1.8, n_new) * LIFE_S
        self._ends_s = np.concatenate([self._ends_s[stays], now_s + lives_s])
        angle_rad = self._random.uniform(0.0, 2.0 * math.pi, n_new)
        speed_m_s = self._random.uniform(0.3, 1.8, n_new)
        velocity = speed_m_s[:, None] * np.stack([np.cos(angle_rad), np.sin(angle_rad)], axis=1)
        self._velocity_m_s = np.concatenate([self._velocity_m_s[stays], velocity])
        place_m = self._random.uniform(-10.0, 10.0, (n_new, 2))
        self._place_m = np.concatenate([self._place_m[stays], place_m])


class Watch:
    """What is seen of the node from outside."""

    def __init__(self, node: NodeUnderTest) -> None:
        self.pid = node.process.process.pid
        self.ticks: list[tuple[float, int]] = []  # (seconds, ticks so far)
        self.memory: list[tuple[float, int]] = []  # (seconds, bytes)

    def on_report(self, message: DiagnosticArray) -> None:
        """Takes how many ticks there were by the stamp of a report."""
        stamp_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        for status in message.status:
            ticks = {entry.key: entry.value for entry in status.values}.get("ticks")
            if ticks is not None:
                self.ticks.append((stamp_s, int(ticks)))

    def look(self, now_s: float) -> None:
        """Takes the memory that the node holds now."""
        self.memory.append((now_s, resident_bytes(self.pid)))

    def handles(self) -> tuple[int, int]:
        """Open file descriptors, and threads."""
        return n_file_descriptors(self.pid), n_threads(self.pid)

    def cpu_s(self) -> float:
        """Seconds of processor time that the node has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waited_s(self) -> float:
        """Seconds for which the thread that ticks was ready and had no core to run on."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) * 1e-9


def main() -> int:
    """Returns 0 where every target was met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0, help="default: %(default)g")
    parser.add_argument("--out", type=Path, default=Path("soak.json"))
    parser.add_argument("--outputs", nargs="+", help="default: all that can be made")
    arguments = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    outputs = arguments.outputs or installed_outputs()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = start_predictor(
            stack,
            folder,
            tick_rate_hz=RATE_HZ,
            outputs=f"[{','.join(outputs)}]",
            robot="odometry",
        )
        figures = soak(node, outputs, 60.0 * arguments.minutes)
        figures["exit_status"] = node.process.stop()
        figures["tracebacks"] = node.process.output.count("Traceback")
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n")
    return show(figures)


def soak(node: NodeUnderTest, outputs: list[str], duration_s: float) -> dict[str, Any]:
    """Runs, and returns the figures."""
    tracks = node.publisher(MarkerArray, "/predictor/tracks")
    odometry = node.publisher(Odometry, "/predictor/odometry")
    watch, crowd = Watch(node), Crowd()
    listened = listen(node, watch, len(outputs))
    # Both sides know of each other, and everybody is predicted.
    began_s = time.monotonic()
    while len(watch.ticks) < 3:
        tell(tracks, odometry, crowd, time.monotonic() - began_s)
        spin_until(node, time.monotonic() + 1.0 / RATE_HZ)
    watch.ticks.clear()
    began_s = time.monotonic()
    cpu_before_s, waited_before_s = watch.cpu_s(), watch.waited_s()
    load_before = os.getloadavg()[0]
    warm_s = WARM_UP_SHARE * duration_s
    handles_before: tuple[int, int] | None = None
    next_tell_s, next_look_s, next_toggle_s = 0.0, 0.0, TOGGLE_PERIOD_S
    n_toggled, pending = 0, itertools.cycle(TOGGLED)
    while (now_s := time.monotonic() - began_s) < duration_s:
        if now_s >= next_tell_s:
            tell(tracks, odometry, crowd, now_s)
            next_tell_s = max(next_tell_s + 1.0 / RATE_HZ, now_s)
        if now_s >= next_look_s:
            watch.look(now_s)
            next_look_s += 1.0
        if now_s >= next_toggle_s:
            values = next(pending)
            accepted = node.set_parameters(
                **{name.replace(".", "__"): value for name, value in values.items()}
            ).successful
            assert accepted == (values != {"n_samples": 0}), values
            n_toggled += 1
            next_toggle_s += TOGGLE_PERIOD_S
        if handles_before is None and now_s >= warm_s:
            handles_before = watch.handles()
        spin_until(node, began_s + min(next_tell_s, next_look_s, next_toggle_s))
    assert handles_before is not None
    return {
        "duration_s": round(time.monotonic() - began_s, 1),
        "outputs": outputs,
        "agents": N_AGENTS,
        "agents_came": crowd.n_came,
        "parameters_set": n_toggled,
        "messages_of": listened(),
        **ticks(watch.ticks),
        **memory(watch.memory),
        "file_descriptors": [handles_before[0], watch.handles()[0]],
        "threads": [handles_before[1], watch.handles()[1]],
        "cpu_share": round((watch.cpu_s() - cpu_before_s) / duration_s, 3),
        "waited_for_a_core_share": round((watch.waited_s() - waited_before_s) / duration_s, 3),
        "load_average": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python "
        f"{platform.python_version()}",
    }


def listen(node: NodeUnderTest, watch: Watch, n_outputs: int) -> Any:
    """Subscribes to everything that the node publishes; messages stay bytes."""
    counts: dict[str, int] = {}

    def on_message(topic: str, data: bytes) -> None:
        counts[topic] = counts.get(topic, 0) + 1

    peer = node.peer.node
    node.wait_for(lambda: "predictor" in peer.get_node_names(), "discovery of the node")

    def topics() -> dict[str, str]:
        return {
            topic: kinds[0]
            for topic, kinds in peer.get_publisher_names_and_types_by_node("predictor", "/")
            if topic.startswith("/predictor/") and "transition_event" not in topic
        }

    # The node's judgement of itself, `metrics`, is no output, but has a topic.
    node.wait_for(lambda: len(topics()) == n_outputs + 1, "discovery of its outputs")
    for topic, kind in topics().items():
        package, _, name = kind.split("/")
        message_class = getattr(importlib.import_module(f"{package}.msg"), name)
        peer.create_subscription(
            message_class,
            topic,
            lambda data, topic=topic: on_message(topic, data),
            LOSSLESS,
            raw=True,
        )
    peer.create_subscription(DiagnosticArray, "/diagnostics", watch.on_report, LOSSLESS)
    return lambda: dict(sorted(counts.items()))


def tell(tracks: Any, odometry: Any, crowd: Crowd, now_s: float) -> None:
    """Publishes people and the robot."""
    stamp_ns = time.time_ns()
    tracks.publish(crowd.at(now_s, stamp_ns))
    robot = Odometry()
    robot.header.stamp, robot.header.frame_id = stamp_to_msg(stamp_ns), "odom"
    robot.pose.pose.position.x = math.cos(0.1 * now_s)
    odometry.publish(robot)


def spin_until(node: NodeUnderTest, deadline_s: float) -> None:
    """Takes in what arrives until a steady time."""
    while (left_s := deadline_s - time.monotonic()) > 0.0:
        node.peer.spin_once(left_s)


def ticks(reports: list[tuple[float, int]]) -> dict[str, Any]:
    """How many ticks there were from the first report to the last, and how many were missed."""
    (first_s, before), (last_s, after) = reports[0], reports[-1]
    made, asked = after - before, round((last_s - first_s) * RATE_HZ)
    return {
        "ticks": made,
        "ticks_missed": max(asked - made, 0),
        "ticks_missed_share": round(max(asked - made, 0) / asked, 5),
    }


def memory(samples: list[tuple[float, int]]) -> dict[str, Any]:
    """What is held, and the slope of it once it has settled, with two standard errors."""
    times_s, held = np.array(samples).T
    # Means of blocks, as neighbouring samples say nearly the same.
    blocks = (times_s // BLOCK_S).astype(int)
    parts = [blocks == block for block in np.unique(blocks)]
    moments_s = np.array([times_s[rows].mean() for rows in parts])
    means = np.array([held[rows].mean() for rows in parts])
    figures: dict[str, Any] = {
        "memory_mb": [round(held[0] / 1e6, 2), round(held[-1] / 1e6, 2)],
        "memory_mb_of_each_10_s": [round(mean / 1e6, 2) for mean in means.tolist()],
        "memory_slope_mb_h": None,
    }
    if times_s[-1] >= SETTLED_S + LEAST_JUDGED_S - BLOCK_S:
        settled = moments_s >= SETTLED_S
        fit = linregress(moments_s[settled], means[settled])
        to_mb_h = 3600.0 / 1e6
        figures["memory_slope_mb_h"] = round(fit.slope * to_mb_h, 2)
        figures["memory_slope_2_sigma_mb_h"] = round(2.0 * fit.stderr * to_mb_h, 2)
    return figures


def show(figures: dict[str, Any]) -> int:
    """Prints the table; 1 where a target was missed."""
    slope = figures["memory_slope_mb_h"]
    error = figures.get("memory_slope_2_sigma_mb_h")
    rows = [
        (
            "missed ticks",
            f"{100 * figures['ticks_missed_share']:.2f} % "
            f"({figures['ticks_missed']} of {figures['ticks'] + figures['ticks_missed']})",
            "at most 0.5 %",
            figures["ticks_missed_share"] <= MAX_MISSED_SHARE,
        ),
        (
            "memory slope",
            "too short to tell" if slope is None else f"{slope} ± {error} MB/h",
            "under 1 MB/h",
            None if slope is None else slope < MAX_SLOPE_MB_H,
        ),
        *(
            (
                name.replace("_", " "),
                "{} -> {}".format(*figures[name]),
                "no growth",
                figures[name][1] <= figures[name][0],
            )
            for name in ("file_descriptors", "threads")
        ),
        ("exit status", str(figures["exit_status"]), "0", figures["exit_status"] == 0),
        ("tracebacks", str(figures["tracebacks"]), "0", figures["tracebacks"] == 0),
    ]
    for key in (
        "duration_s",
        "agents_came",
        "parameters_set",
        "cpu_share",
        "waited_for_a_core_share",
        "load_average",
    ):
        print(f"{key:24}{figures[key]}")
    print(f"{'':18}{'measured':28}{'target':16}met")
    for name, measured, target, met in rows:
        print(f"{name:18}{measured:28}{target:16}{MET[met]}")
    return 1 if any(met is False for *_, met in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
