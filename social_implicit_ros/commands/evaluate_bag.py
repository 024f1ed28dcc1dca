"""`evaluate_bag`: evaluates models on your own recordings; writes metrics and a report page."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from social_implicit_ros.commands.options import (
    BAG_HELP,
    add_faults_option,
    add_text_options,
    add_tracks_options,
    faults_of,
    non_negative_float,
    non_negative_int,
    positive_int,
    text_format,
)
from social_implicit_ros.evaluation.distribution import MOMENTS
from social_implicit_ros.evaluation.recording import Request
from social_implicit_ros.evaluation.report.tables import print_failures, print_results
from social_implicit_ros.evaluation.report.tracker_tables import print_tracker
from social_implicit_ros.evaluation.results import write_results
from social_implicit_ros.evaluation.runner import (
    Job,
    default_models,
    jobs_of,
    locked,
    remove_unfinished,
    run_jobs,
)
from social_implicit_ros.models.registry import BASELINES, load_model
from social_implicit_ros.prediction.replay_settings import (
    TICK_RATE_HZ,
    load_choices,
    load_settings,
    with_options,
)
from social_implicit_ros.prediction.resample import Steps
from social_implicit_ros.recordings.compressed import (
    DEFAULT_LIMIT_GB,
    LIMIT_VARIABLE,
    MAX_RATIO,
)
from social_implicit_ros.recordings.find import find_bags
from social_implicit_ros.recordings.truncated import remove_abandoned_copies
from social_implicit_ros.untrusted_files import printable_text

#: Exit codes: nothing could be evaluated; invalid request or output folder; some recordings failed;
#: Ctrl-C.
NOTHING, WRONG, SOME_FAILED, INTERRUPTED = 1, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluates and writes; returns the exit code."""
    options = parse(arguments)
    if options.max_unpacked_gb is not None:
        os.environ[LIMIT_VARIABLE] = str(options.max_unpacked_gb)
    try:
        jobs = _prepared(options)
        with locked(options.out):
            return _evaluated(jobs, options, Console(stderr=True, emoji=False))
    except (ValueError, OSError) as error:
        print(f"evaluate_bag: {printable_text(str(error))}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print(
            "evaluate_bag: interrupted; --resume evaluates the missing recordings", file=sys.stderr
        )
        return INTERRUPTED


def _evaluated(jobs: Sequence[Job], options: argparse.Namespace, console: Console) -> int:
    """Evaluates and writes; returns the exit code.

    Raises:
        RecordingError: the cluster cannot be reached.
        OSError: results cannot be written.
    """
    started_s = time.perf_counter()
    todo = [job for job in jobs if not (options.resume and job.is_done())]
    if len(todo) < len(jobs):
        console.print(f"{len(jobs) - len(todo)} of {len(jobs)} recordings are already evaluated")
    try:
        outcomes = run_jobs(
            todo, n_processes=options.jobs, scheduler=options.scheduler, console=console
        )
    finally:
        remove_unfinished(options.out)
        remove_abandoned_copies()
    reasons = {outcome.job.path: outcome.reason for outcome in outcomes if outcome.reason}
    failed = [
        {"path": str(job.path), "reason": reasons[job.path]} for job in jobs if job.path in reasons
    ]
    done = [job for job in jobs if job.path not in reasons]
    if not done:
        print_failures(failed, console)
        print("evaluate_bag: nothing could be evaluated", file=sys.stderr)
        return NOTHING
    results = write_results(done, failed, options.out)
    print_results(results, Console(emoji=False))
    print_tracker(results, Console(emoji=False))
    elapsed_s = time.perf_counter() - started_s
    seconds = sum(bag["duration_s"] for bag in results["bags"])
    console.print(
        f"{seconds:.0f} s of recordings in {elapsed_s:.1f} s; written: "
        f"{escape(printable_text(str(options.out)))}/report.html",
        highlight=False,
        soft_wrap=True,
    )
    return SOME_FAILED if failed else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with code 2 and a message if it is invalid."""
    parser = argparse.ArgumentParser(
        prog="evaluate_bag",
        description="Replays recordings through the node's pipeline, compares every prediction "
        "with the ground truth, and writes report.html, results.json and per_tick.parquet. "
        "Needs no ROS.",
        epilog="Exit codes: 0 all evaluated, 1 nothing could be evaluated, 2 invalid request or "
        "results that cannot be written, 3 some recordings failed, 130 interrupted.",
    )
    parser.add_argument("bags", nargs="+", metavar="BAG", help=BAG_HELP)
    add_tracks_options(parser, "that of --params, else by type")
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a shipped model, a baseline or an .onnx file; may be repeated; the first one is "
        f"the report's primary model (default: that of --params, {', '.join(default_models())})",
    )
    parser.add_argument(
        "--params", type=Path, metavar="FILE", help="the node's parameter file (default: shipped)"
    )
    parser.add_argument(
        "--tick-rate",
        type=float,
        metavar="HZ",
        help=f"predictions per second; 0 predicts at every message (default: that of --params, "
        f"else {TICK_RATE_HZ:g})",
    )
    parser.add_argument(
        "--fixed-frame",
        metavar="FRAME",
        help="frame to predict in (default: that of --params, else odom or the root of /tf)",
    )
    parser.add_argument(
        "--odometry",
        metavar="TOPIC",
        help="topic of the robot's odometry, if --params sets robot to odometry; may be left out "
        "if there is only one",
    )
    add_faults_option(parser)
    parser.add_argument(
        "--ground-truth",
        type=Path,
        metavar="PATH",
        help="recording by which predictions are judged, or a folder with one of the same name for "
        "each BAG (default: each recording by itself)",
    )
    parser.add_argument(
        "--start", type=float, default=0.0, metavar="S", help="seconds to skip of each recording"
    )
    parser.add_argument(
        "--duration", type=float, metavar="S", help="seconds to evaluate from there (default: all)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument(
        "--resume", action="store_true", help="keep the results of an earlier run in DIR"
    )
    parser.add_argument(
        "--jobs",
        type=positive_int,
        default=os.cpu_count() or 1,
        help="processes, one recording each (default: one per core)",
    )
    parser.add_argument(
        "--backend",
        choices=("local", "dask"),
        default="local",
        help="dask distributes recordings over a cluster whose workers see the same files",
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of the cluster: tcp://host:8786")
    parser.add_argument(
        "--moments",
        type=non_negative_int,
        default=MOMENTS,
        metavar="N",
        help="moments of each recording at which AMD, KDE, energy and collisions are computed, "
        "which is slow (default: %(default)s)",
    )
    parser.add_argument(
        "--max-unpacked-gb",
        type=non_negative_float,
        metavar="GB",
        help=f"maximum size of an unpacked recording (default: ${LIMIT_VARIABLE}, else "
        f"{DEFAULT_LIMIT_GB:g}); whatever exceeds {MAX_RATIO} times its compressed size is refused",
    )
    parser.add_argument(
        "--adaptive",
        action="store_true",
        help="adapt the regions of every model during each recording, as the node does, from "
        "nothing (default: as shipped)",
    )
    walls = parser.add_mutually_exclusive_group()
    walls.add_argument(
        "--map",
        type=Path,
        metavar="FILE",
        help="YAML file of a map server, in the fixed frame, whose walls predictions keep out of "
        "(default: the map in the recording, if there is one)",
    )
    walls.add_argument(
        "--no-map", action="store_true", help="predict without walls, even if there is a map"
    )
    add_text_options(parser)
    options = parser.parse_args(arguments)
    if not 0 <= options.start < math.inf or not (
        options.duration is None or 0 < options.duration < math.inf
    ):
        parser.error("--start must be 0 or more, --duration more than 0 seconds, both finite")
    if (options.backend == "dask") != (options.scheduler is not None):
        parser.error("--backend dask and --scheduler ADDRESS belong together")
    return options


def _prepared(options: argparse.Namespace) -> list[Job]:
    """Checks the request before anything is read."""
    settings = load_settings(options.params)
    given = {"tick_rate_hz": options.tick_rate, "fixed_frame": options.fixed_frame or None}
    settings = with_options(settings, {k: v for k, v in given.items() if v is not None})
    if options.odometry and settings.robot != "odometry":
        raise ValueError(
            "--odometry needs `robot: odometry` in a --params file: set it, or leave --odometry out"
        )
    if options.tracker_faults is not None and options.ground_truth is not None:
        raise ValueError(
            "--tracker-faults takes the recording as ground truth: leave it or --ground-truth out"
        )
    if options.ground_truth is not None and not options.ground_truth.exists():
        raise ValueError(f"--ground-truth {options.ground_truth}: no such file or folder")
    node = load_choices(options.params, options.tracker)
    is_judged = options.tracker_faults is not None or options.ground_truth is not None
    compared = [name for name in default_models() if not (is_judged and name == BASELINES[1])]
    nodes_model = (node.model,) if node.model else ()
    request = Request(
        models=tuple(dict.fromkeys(options.model or (*nodes_model, *compared))),
        topic=options.tracks or node.topic,
        tracker=node.tracker,
        settings=settings,
        n_moments=options.moments,
        text=text_format(options),
        start_s=options.start,
        duration_s=options.duration,
        odometry=options.odometry,
        faults=faults_of(options.tracker_faults),
        map_file=options.map,
        uses_map=not options.no_map,
        is_adaptive=options.adaptive,
        ground_truth=options.ground_truth,
    )
    for name in request.models:
        model = load_model(name)
        Steps.within(
            model.step_s,
            model.n_predicted,
            step_s=settings.time_step_s,
            horizon_s=settings.horizon_s,
        )
    paths = find_bags(options.bags)
    return jobs_of(paths, request, options.out)


if __name__ == "__main__":
    sys.exit(main())
