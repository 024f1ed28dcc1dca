"""`make soak`: runs the node for a long time with a changing crowd.

Measures missed ticks, and the growth of memory, threads and file descriptors.

    python scripts/soak.py [--minutes M] [--out soak.json]

A tracker sends 50 people at 30 Hz, who leave and arrive all the time. Every output has a
subscriber. Parameters change every few seconds. Prints a table, writes a JSON file, and exits with
1 if a target is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections import Counter
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

from social_implicit_ros.recordings.bag_writer import serialised_tracks
from social_implicit_ros.ros.messages import stamp_to_msg
from social_implicit_ros.ros.trackers import import_message
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
    {"n_samples": 0},  # rejected
)
TOGGLE_PERIOD_S = 5.0
#: Share of the time after which file descriptors and threads are counted.
WARM_UP_SHARE = 0.3
#: Memory grows in steps for half an hour, until the allocator has enough blocks of all sizes. The
#: slope is fitted from then on, over a minimum time: in a shorter run one step looks like a slope.
SETTLED_S, MIN_FIT_S = 1800.0, 900.0
#: Memory is averaged over this time, as it changes with every tick.
BLOCK_S = 10.0

#: Printed for a target that is met, missed, or not evaluated.
MET = {True: "yes", False: "NO", None: "-"}
MAX_MISSED_SHARE = 0.005
MAX_SLOPE_MB_H = 1.0


class Crowd:
    """People who walk in a square; each leaves after some seconds and another one arrives."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._number = itertools.count()
        self._ids: list[str] = []
        self._ends_s = np.zeros(0)
        self._place_m, self._velocity_m_s = np.zeros((0, 2)), np.zeros((0, 2))
        self._now_s = 0.0
        self.n_arrived = 0

    def at(self, now_s: float, stamp_ns: int) -> bytes:
        """The tracker's message, serialised."""
        elapsed_s, self._now_s = now_s - self._now_s, now_s
        self._place_m = self._place_m + elapsed_s * self._velocity_m_s
        self._replace(now_s)
        noise_m = self._random.normal(0.0, 0.02, self._place_m.shape)
        tracks = Tracks(stamp_ns, tuple(self._ids), self._place_m + noise_m)
        return serialised_tracks(tracks, "marker_array", "odom")

    def _replace(self, now_s: float) -> None:
        stays = self._ends_s > now_s
        self._ids = [agent for agent, keep in zip(self._ids, stays, strict=True) if keep]
        n_new = N_AGENTS - len(self._ids)
        self.n_arrived += n_new
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
    """Ticks and resources of the node, observed from outside."""

    def __init__(self, node: NodeUnderTest) -> None:
        self.pid = node.process.process.pid
        self.ticks: list[tuple[float, int]] = []  # (seconds, ticks so far)
        self.memory: list[tuple[float, int]] = []  # (seconds, bytes)

    def on_report(self, message: DiagnosticArray) -> None:
        """Records the number of ticks at the stamp of a report."""
        stamp_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        for status in message.status:
            ticks = {entry.key: entry.value for entry in status.values}.get("ticks")
            if ticks is not None:
                self.ticks.append((stamp_s, int(ticks)))

    def sample_memory(self, now_s: float) -> None:
        """Records the resident memory of the node."""
        self.memory.append((now_s, resident_bytes(self.pid)))

    def handles(self) -> tuple[int, int]:
        """The numbers of open file descriptors and of threads."""
        return n_file_descriptors(self.pid), n_threads(self.pid)

    def cpu_s(self) -> float:
        """CPU time of the node, seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waited_s(self) -> float:
        """Time for which the main thread was ready to run but had no core, seconds."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) * 1e-9


def main() -> int:
    """Returns 0 if all targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0, help="default: %(default)g")
    parser.add_argument("--out", type=Path, default=Path("soak.json"))
    parser.add_argument("--outputs", nargs="+", help="default: all whose messages are installed")
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
        results = soak(node, outputs, 60.0 * arguments.minutes)
        results["exit_status"] = node.process.stop()
        results["tracebacks"] = node.process.output.count("Traceback")
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    return show(results)


def soak(node: NodeUnderTest, outputs: list[str], duration_s: float) -> dict[str, Any]:
    """Runs the crowd and returns the results."""
    tracks = node.publisher(MarkerArray, "/predictor/tracks")
    odometry = node.publisher(Odometry, "/predictor/odometry")
    watch, crowd = Watch(node), Crowd()
    listened = listen(node, watch, len(outputs))
    # Wait until both sides have discovered each other and the node predicts.
    began_s = time.monotonic()
    while len(watch.ticks) < 3:
        publish(tracks, odometry, crowd, time.monotonic() - began_s)
        spin_until(node, time.monotonic() + 1.0 / RATE_HZ)
    watch.ticks.clear()
    began_s = time.monotonic()
    cpu_before_s, waited_before_s = watch.cpu_s(), watch.waited_s()
    load_before = os.getloadavg()[0]
    warm_s = WARM_UP_SHARE * duration_s
    handles_before: tuple[int, int] | None = None
    next_publish_s, next_sample_s, next_toggle_s = 0.0, 0.0, TOGGLE_PERIOD_S
    n_toggled, pending = 0, itertools.cycle(TOGGLED)
    while (now_s := time.monotonic() - began_s) < duration_s:
        if now_s >= next_publish_s:
            publish(tracks, odometry, crowd, now_s)
            next_publish_s = max(next_publish_s + 1.0 / RATE_HZ, now_s)
        if now_s >= next_sample_s:
            watch.sample_memory(now_s)
            next_sample_s += 1.0
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
        spin_until(node, began_s + min(next_publish_s, next_sample_s, next_toggle_s))
    assert handles_before is not None
    return {
        "duration_s": round(time.monotonic() - began_s, 1),
        "outputs": outputs,
        "agents": N_AGENTS,
        "agents_arrived": crowd.n_arrived,
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
    """Subscribes to all topics of the node, with serialised messages; returns their counts."""
    counts: Counter[str] = Counter()
    peer = node.peer.node
    # The topic `metrics` of the self-evaluation is not an output.
    for topic, kind in node.peer.predictor_topics(n_outputs + 1, node.process).items():
        message_class = import_message(kind, "soak")
        peer.create_subscription(
            message_class,
            topic,
            lambda data, topic=topic: counts.update([topic]),
            LOSSLESS,
            raw=True,
        )
    peer.create_subscription(DiagnosticArray, "/diagnostics", watch.on_report, LOSSLESS)
    return lambda: dict(sorted(counts.items()))


def publish(tracks: Any, odometry: Any, crowd: Crowd, now_s: float) -> None:
    """Publishes the people and the robot's odometry."""
    stamp_ns = time.time_ns()
    tracks.publish(crowd.at(now_s, stamp_ns))
    robot = Odometry()
    robot.header.stamp, robot.header.frame_id = stamp_to_msg(stamp_ns), "odom"
    robot.pose.pose.position.x = math.cos(0.1 * now_s)
    odometry.publish(robot)


def spin_until(node: NodeUnderTest, deadline_s: float) -> None:
    """Handles events until a monotonic time."""
    while (left_s := deadline_s - time.monotonic()) > 0.0:
        node.peer.spin_once(left_s)


def ticks(reports: list[tuple[float, int]]) -> dict[str, Any]:
    """Counts the ticks between the first report and the last, and the missed ones."""
    (first_s, before), (last_s, after) = reports[0], reports[-1]
    made, expected = after - before, round((last_s - first_s) * RATE_HZ)
    return {
        "ticks": made,
        "ticks_missed": max(expected - made, 0),
        "ticks_missed_share": round(max(expected - made, 0) / expected, 5),
    }


def memory(samples: list[tuple[float, int]]) -> dict[str, Any]:
    """Resident memory, and its slope once settled, with two standard errors."""
    times_s, resident = np.array(samples).T
    # Means of blocks: neighbouring samples are correlated.
    blocks = (times_s // BLOCK_S).astype(int)
    rows_of_blocks = [blocks == block for block in np.unique(blocks)]
    centres_s = np.array([times_s[rows].mean() for rows in rows_of_blocks])
    means = np.array([resident[rows].mean() for rows in rows_of_blocks])
    results: dict[str, Any] = {
        "memory_mb": [round(resident[0] / 1e6, 2), round(resident[-1] / 1e6, 2)],
        "memory_mb_of_each_10_s": [round(mean / 1e6, 2) for mean in means.tolist()],
        "memory_slope_mb_h": None,
    }
    if times_s[-1] >= SETTLED_S + MIN_FIT_S - BLOCK_S:
        settled = centres_s >= SETTLED_S
        fit = linregress(centres_s[settled], means[settled])
        to_mb_h = 3600.0 / 1e6
        results["memory_slope_mb_h"] = round(fit.slope * to_mb_h, 2)
        results["memory_slope_2_sigma_mb_h"] = round(2.0 * fit.stderr * to_mb_h, 2)
    return results


def show(results: dict[str, Any]) -> int:
    """Prints the table; returns 1 if a target is missed."""
    slope = results["memory_slope_mb_h"]
    error = results.get("memory_slope_2_sigma_mb_h")
    rows = [
        (
            "missed ticks",
            f"{100 * results['ticks_missed_share']:.2f} % "
            f"({results['ticks_missed']} of {results['ticks'] + results['ticks_missed']})",
            "at most 0.5 %",
            results["ticks_missed_share"] <= MAX_MISSED_SHARE,
        ),
        (
            "memory slope",
            "run too short" if slope is None else f"{slope} ± {error} MB/h",
            "under 1 MB/h",
            None if slope is None else slope < MAX_SLOPE_MB_H,
        ),
        *(
            (
                name.replace("_", " "),
                "{} -> {}".format(*results[name]),
                "no growth",
                results[name][1] <= results[name][0],
            )
            for name in ("file_descriptors", "threads")
        ),
        ("exit status", str(results["exit_status"]), "0", results["exit_status"] == 0),
        ("tracebacks", str(results["tracebacks"]), "0", results["tracebacks"] == 0),
    ]
    for key in (
        "duration_s",
        "agents_arrived",
        "parameters_set",
        "cpu_share",
        "waited_for_a_core_share",
        "load_average",
    ):
        print(f"{key:24}{results[key]}")
    print(f"{'':18}{'measured':28}{'target':16}met")
    for name, measured, target, met in rows:
        print(f"{name:18}{measured:28}{target:16}{MET[met]}")
    return 1 if any(met is False for *_, met in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
