"""The demonstration (`make demo`): the node predicts a replayed crowd and is evaluated.

Node and replay are processes that communicate over DDS on this machine. This process scores and
draws the predictions. At the end it evaluates the same part as `evaluate_bag` does, with adaptive
regions too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from types import FrameType

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from social_implicit_ros.commands import options as opt
from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.evaluation.benchmark.calibration import (
    compare_calibrations,
    recording_cases,
)
from social_implicit_ros.evaluation.published import (
    PublishedPrediction,
    ScoredPrediction,
    ScoreSummary,
    excerpt,
    longest_seen,
    most_complete,
    prediction_from_point_cloud,
    score_published,
    summarise,
)
from social_implicit_ros.evaluation.request import Request
from social_implicit_ros.evaluation.results import report_on
from social_implicit_ros.evaluation.runner import default_models
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.replay_settings import NODE_NAME, load_settings
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.recordings.arrivals import recorded_tracks
from social_implicit_ros.recordings.bag import DEFAULT_FRAME
from social_implicit_ros.recordings.floor_plan import floor_plan_of
from social_implicit_ros.recordings.track_source import TrackSource, open_source
from social_implicit_ros.ros.processes.demo_processes import (
    Listener,
    isolate,
    listening,
    running,
    tail,
)
from social_implicit_ros.ros.processes.domains import NoDomainError
from social_implicit_ros.ros.processes.signals import take_over

#: Below the data folder (SOCIAL_IMPLICIT_DATA): the recording replayed instead of the shipped one.
HOTEL = Path("eth_ucy/all_data/biwi_hotel.txt")
#: Recorded seconds per second. The regions need about a minute with people to adapt, which is too
#: long to wait for at the recorded speed.
RATE = 3.0

#: Timeout of the first prediction, seconds.
TIMEOUT_S = 15.0
#: Time after the played part that is read as ground truth of its last predictions, seconds.
GROUND_TRUTH_S = 10.0

#: Share of the predictions after which the regions are drawn: they have adapted by then.
ADAPTED = 1 / 3
#: Exit code if the node or the replay fails.
FAILED = 1
#: Ticks at which the report evaluates distributions, which is slow: the user waits for it.
REPORT_MOMENTS = 10


class DemoError(RuntimeError):
    """The demonstration failed; the message says why."""


@dataclass(frozen=True)
class Show:
    """The played recording.

    Attributes:
        start_s: where in the recording it begins, seconds.
        duration_s: played part of the recording, seconds.
        floor_plan: walls to draw.
    """

    recording: TrackSource
    description: str
    start_s: float
    duration_s: float
    floor_plan: FloorPlan | None


@reports_errors("social_implicit_demo")
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demonstration; returns 1 if a valid request fails."""
    arguments = _parser().parse_args(argv)
    console = Console()
    # The end of this process also ends the processes that it started.
    take_over(_interrupt)
    show = choose_show(os.environ.get("SOCIAL_IMPLICIT_DATA"), arguments.duration)
    load_model(arguments.model or "default")
    opt.make_folder(arguments.out)
    try:
        isolate()
        with listening(prediction_from_point_cloud) as listener:
            _perform(show, listener, arguments, console)
        _report(show, listener, arguments, console)
    except (DemoError, NoDomainError) as error:
        console.print(f"[bold red]The demo failed:[/] {escape(str(error))}")
        return FAILED
    return 0


def choose_show(data_folder: str | None, duration_s: float) -> Show:
    """The hotel recording in a folder of the ETH/UCY recordings, else the shipped crowd."""
    part_s = duration_s * RATE
    if data_folder:
        if not (Path(data_folder) / HOTEL).is_file():
            raise ValueError(
                f"{opt.DATA_VARIABLE} is {data_folder}, which has no {HOTEL}: correct it, or unset "
                "it for the simulated crowd"
            )
        recording = open_source(Path(data_folder) / HOTEL)
        return Show(recording, "ETH hotel", busiest_start_s(recording, part_s), part_s, None)
    path = Path(str(resources.files("social_implicit_ros.recordings") / "crowd"))
    return Show(open_source(path), "simulated crowd", 0.0, part_s, floor_plan_of(path))


def busiest_start_s(recording: TrackSource, duration_s: float) -> float:
    """Start of the part with the most observations, seconds into the recording."""
    entries = [(tracks.stamp_ns, len(tracks.ids)) for tracks in recorded_tracks(recording)]
    stamps_ns, counts = np.array(entries, dtype=np.int64).T
    before = np.concatenate([[0], np.cumsum(counts)])
    ends = np.searchsorted(stamps_ns, stamps_ns + round(duration_s * 1e9), side="right")
    busiest = int(np.argmax(before[ends] - before[:-1]))
    return float((stamps_ns[busiest] - recording.start_ns) * 1e-9)


def _perform(
    show: Show,
    listener: Listener[PublishedPrediction],
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Starts node and replay, and receives predictions until the replay ends."""
    frame_id = show.recording.frame_id or DEFAULT_FRAME
    node_log, replay_log = (arguments.out / f"{name}.log" for name in ("node", "replay"))
    started_s = time.monotonic()
    console.print(
        f"Playing [bold]{show.description}[/]: {show.duration_s:g} s from {show.start_s:.1f} s on, "
        f"at rate {RATE:g}"
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    has_map = show.floor_plan is not None
    node_arguments = _node_arguments(frame_id, arguments.model, has_map=has_map)
    with (
        running("predictor_node", node_arguments, node_log) as node,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task("starting", total=show.duration_s)
        # Messages published before discovery are lost.
        while not listener.hears_node():
            _listen(listener, node, node_log, started_s)
        with running("replay_tracks", _replay_arguments(show, frame_id), replay_log) as replay:
            while replay.poll() is None:
                _listen(listener, node, node_log, started_s)
                seen_s, description = _state(listener)
                progress.update(task, completed=seen_s, description=description)
        if replay.returncode != 0:
            raise DemoError(f"the replay ended with {replay.returncode}:\n{tail(replay_log)}")
        listener.listen(0.5)
        progress.update(task, completed=show.duration_s)


def _node_arguments(frame_id: str, model: str | None, *, has_map: bool) -> list[str]:
    parameters = {
        "use_sim_time": "true",
        "tracker": "point_cloud",
        "fixed_frame": frame_id,
        "use_map": str(has_map).lower(),
        **({"model": model} if model else {}),
    }
    settings = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    remaps = ["-r", f"__node:={NODE_NAME}", "-r", "~/tracks:=/tracks", "-r", "~/map:=/map"]
    return ["--ros-args", *remaps, *settings]


def _replay_arguments(show: Show, frame_id: str) -> list[str]:
    return [
        *(str(show.recording.path), "--wait", "--topic", "/tracks", "--type", "point_cloud"),
        *("--fixed-frame", frame_id, "--rate", str(RATE)),
        *("--start", str(show.start_s), "--duration", str(show.duration_s)),
    ]


def _listen(
    listener: Listener[PublishedPrediction], node: subprocess.Popen, log: Path, started_s: float
) -> None:
    """Receives messages for 0.1 s; raises DemoError if the node fails."""
    listener.listen(0.1)
    if node.poll() is not None:
        raise DemoError(f"the node ended with {node.returncode}:\n{tail(log)}")
    if listener.problem:
        raise DemoError(f"the node reports: {listener.problem}")
    if not listener.predictions and time.monotonic() - started_s > TIMEOUT_S:
        raise DemoError(f"no prediction within {TIMEOUT_S:g} s; the node says:\n{tail(log)}")


def _state(listener: Listener[PublishedPrediction]) -> tuple[float, str]:
    """Recorded seconds predicted so far, and the text of the progress bar."""
    if not listener.predictions:
        return 0.0, "waiting for the first prediction"
    first, last = listener.predictions[0], listener.predictions[-1]
    description = f"{len(last.agents):3d} people, {len(listener.predictions):4d} ticks"
    return (last.stamp_ns - first.stamp_ns) * 1e-9, description


def _report(
    show: Show,
    listener: Listener[PublishedPrediction],
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Prints the scores, draws picture and animation, and writes the report."""
    predictions, out = listener.predictions, arguments.out
    if len(predictions) < 2:
        log = tail(out / "node.log")
        raise DemoError(f"{len(predictions)} predictions arrived; the node says:\n{log}")
    others = default_models()
    request = Request(
        models=tuple(dict.fromkeys((arguments.model or others[0], *others))),
        settings=replace(load_settings(), tick_rate_hz=10.0),  # the node's
        n_moments=REPORT_MOMENTS,
        start_s=show.start_s,
        duration_s=show.duration_s + GROUND_TRUTH_S,
        is_adaptive=True,
    )
    source = show.recording.part(request.start_s, request.duration_s)
    scored = score_published(predictions, recorded_tracks(source))
    summary = summarise(scored)
    # The regions as shipped and adaptive, as `evaluate_calibration` prints them.
    model = request.models[0]
    cases = recording_cases([source.path], replace(request, models=(model,)))
    ways = compare_calibrations(cases, request.settings, console)[model][str(source.path)]
    console.print(_table(summary, ways, len(predictions), listener.diagnostics))
    with console.status("drawing"):
        files = _draw(scored, summary, show, listener.diagnostics.get("model"), out)
    console.print("Written: {} and {}".format(*files))
    report_on(show.recording.path, request, out, console)
    console.print(f"Written: {out / 'report.html'}, to look at in a browser")


def _draw(
    scored: Sequence[ScoredPrediction],
    summary: ScoreSummary,
    show: Show,
    model: str | None,
    out: Path,
) -> tuple[Path, Path]:
    """Draws the most complete prediction, and an animation of the time around it."""
    # Imported here: matplotlib takes longer than everything else before the first prediction.
    from social_implicit_ros.evaluation.report.picture import (
        view_of,
        write_animation,
        write_picture,
    )

    view = view_of(
        scored,
        title=f"Where people will be in the next {summary.horizon_s:.1f} s",
        subtitle="  ·  ".join(filter(None, (show.description, model))),
        floor_plan=show.floor_plan,
    )
    adapted = scored[int(ADAPTED * len(scored)) :]
    best = most_complete(adapted)
    shown = excerpt(adapted, best)
    picture, animation = out / "prediction.png", out / "prediction.gif"
    write_picture(picture, adapted[best], view)
    write_animation(animation, shown, replace(view, highlighted=longest_seen(shown)))
    return picture, animation


def _table(
    summary: ScoreSummary,
    ways: Mapping[str, Mapping[str, float]],
    n_ticks: int,
    diagnostics: dict[str, str],
) -> Table:
    """The scores of the published predictions, and of the regions with and without adapting."""
    tick_ms = [diagnostics.get(f"tick_ms_{name}") for name in ("median", "p99")]
    rows = {
        "people predicted": f"{summary.n_agents}",
        "predictions": f"{summary.n_predictions} trajectories in {n_ticks} ticks",
        "of these scored": f"{summary.n_scored}, with ground truth up to {summary.horizon_s:.1f} s",
        "ADE / FDE of the mean trajectory": f"{summary.ade_m:.2f} m / {summary.fde_m:.2f} m",
        "ground truth inside the 95% region": f"{summary.inside:.1%}",
        "tick time, median / p99": "{} ms / {} ms (the node's /diagnostics)".format(*tick_ms)
        if all(tick_ms)
        else "unknown: the node reported none on /diagnostics",
    }
    for way, metrics in ways.items():
        rows[f"regions {way.replace('_', ' ')}"] = (
            f"R_avg / R_min {metrics['r_avg']:.0%} / {metrics['r_min']:.0%}, "
            f"95% region {metrics['area_m2']:.1f} m^2, covers {metrics['coverage']:.1%}"
        )
    table = Table(title="Predictions against ground truth", show_header=False)
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", value)
    return table


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="social_implicit_demo",
        description="Predicts a replayed crowd with the node, prints the scores, and draws them. "
        "Replays the ETH hotel recording if SOCIAL_IMPLICIT_DATA is the folder of the ETH/UCY "
        "recordings, else a simulated crowd.",
    )
    out = Path("demo_output")
    text = "output folder (default: %(default)s)"
    parser.add_argument("--out", type=Path, default=out, metavar="DIR", help=text)
    opt.add_old_name(parser, "--output", "--out")
    text = "duration of the replay in seconds (default: %(default)s)"
    parser.add_argument("--duration", type=opt.duration_s, default=20.0, metavar="S", help=text)
    text = "as the node's parameter model (default: default)"
    parser.add_argument("--model", metavar="NAME|FILE", help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
