"""`evaluate_bag`: evaluates models on your own recordings; writes metrics and a report page."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from social_implicit_ros.commands import options as opt
from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.evaluation.distribution import MOMENTS
from social_implicit_ros.evaluation.report.tables import (
    print_failures,
    print_results,
    print_tracker,
)
from social_implicit_ros.evaluation.results import write_results
from social_implicit_ros.evaluation.runner import (
    Job,
    default_models,
    jobs_of,
    locked,
    remove_unfinished,
    run_jobs,
)
from social_implicit_ros.evaluation.terminal import output_console
from social_implicit_ros.models.registry import BASELINES, load_model
from social_implicit_ros.prediction.predictor import steps_of
from social_implicit_ros.prediction.replay_settings import TICK_RATE_HZ, load_choices
from social_implicit_ros.recordings.bag import find_bags
from social_implicit_ros.recordings.compressed import DEFAULT_LIMIT_GB, LIMIT_VARIABLE, MAX_RATIO
from social_implicit_ros.recordings.truncated import remove_abandoned_copies
from social_implicit_ros.untrusted_files import printable_text

#: Stamps are integer nanoseconds of 64 bits.
_MAX_SHIFT_S = 1e9
#: Exit codes: nothing could be evaluated; some recordings failed.
NOTHING, SOME_FAILED = 1, 3


@reports_errors(
    "evaluate_bag", interrupted="interrupted; --resume evaluates the missing recordings"
)
def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluates and writes; returns the exit code."""
    options = parse(arguments)
    if options.max_unpacked_gb is not None:
        os.environ[LIMIT_VARIABLE] = str(options.max_unpacked_gb)
    jobs = _prepared(options)
    with locked(options.out):
        return _evaluated(jobs, options, Console(stderr=True, emoji=False))


def _evaluated(jobs: Sequence[Job], options: argparse.Namespace, console: Console) -> int:
    """Evaluates and writes; returns the exit code."""
    started_s = time.perf_counter()
    todo = [job for job in jobs if not (options.resume and job.is_done())]
    if len(todo) < len(jobs):
        console.print(f"{len(jobs) - len(todo)} of {len(jobs)} recordings are already evaluated")
    try:
        reasons = run_jobs(todo, options.jobs, options.scheduler, console=console)
    finally:
        remove_unfinished(options.out)
        remove_abandoned_copies()
    failed = [
        {"path": str(job.path), "reason": reasons[job.path]} for job in jobs if job.path in reasons
    ]
    done = [job for job in jobs if job.path not in reasons]
    if not done:
        print_failures(failed, console)
        print("evaluate_bag: nothing could be evaluated", file=sys.stderr)
        return NOTHING
    results = write_results(done, failed, options.out)
    print_results(results, output_console())
    print_tracker(results, output_console())
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
    add = parser.add_argument
    add("bags", nargs="+", metavar="BAG", help=opt.BAG_HELP)
    opt.add(parser, *opt.OF_RECORDINGS)
    text = (
        "a shipped model, a baseline or an .onnx file; may be repeated; the first one is the "
        f"report's primary model (default: that of --params, {', '.join(default_models())})"
    )
    add("--model", action="append", metavar="NAME", help=text)
    text = f"predictions per second; 0: at every message (default: --params, else {TICK_RATE_HZ:g})"
    add("--tick-rate", type=float, metavar="HZ", help=text)
    opt.add(parser, "--tracker-faults")
    text = (
        "recording of the ground truth, or a folder with one of the same name for each BAG "
        "(default: each recording is its own ground truth)"
    )
    add("--ground-truth", type=Path, metavar="PATH", help=text)
    text = "seconds added to the stamps of --ground-truth, if its clock differs"
    add("--ground-truth-shift", type=float, default=0.0, metavar="S", help=text)
    opt.add(parser, "--out")
    add("--resume", action="store_true", help="keep the results of an earlier run in DIR")
    text = "processes, one recording each (default: one per core)"
    add("--jobs", type=opt.positive_int, default=os.cpu_count() or 1, help=text)
    text = "dask: distribute recordings over a cluster whose workers see the same files"
    add("--backend", choices=("local", "dask"), default="local", help=text)
    text = "address of the dask scheduler, such as tcp://host:8786"
    add("--scheduler", metavar="ADDRESS", help=text)
    text = (
        "number of moments of each recording at which the slow metrics are computed: AMD, KDE, "
        "energy and collisions (default: %(default)s)"
    )
    add("--moments", type=opt.non_negative_int, default=MOMENTS, metavar="N", help=text)
    text = (
        f"maximum size of an unpacked recording (default: ${LIMIT_VARIABLE}, else "
        f"{DEFAULT_LIMIT_GB:g}); more than {MAX_RATIO} times the compressed size (and 64 MiB) is "
        "refused, too"
    )
    add("--max-unpacked-gb", type=opt.non_negative_float, metavar="GB", help=text)
    text = (
        "adapt regions and mean trajectories of every model during each recording, as the node "
        "does at its first start (default: adaptive_calibration of --params, which is true); "
        "--no-adaptive evaluates models as shipped"
    )
    add("--adaptive", action=argparse.BooleanOptionalAction, help=text)
    opt.add_map_options(parser)
    options = parser.parse_args(arguments)
    if (options.backend == "dask") != (options.scheduler is not None):
        parser.error(
            "--backend dask needs --scheduler ADDRESS, and --scheduler needs --backend dask"
        )
    return options


def _prepared(options: argparse.Namespace) -> list[Job]:
    """Checks the request before any recording is read; creates the folder of --out."""
    settings = opt.settings_of("evaluate_bag", options)
    if options.tick_rate is not None:
        settings = replace(settings, tick_rate_hz=options.tick_rate)
    if options.tracker_faults is not None and options.ground_truth is not None:
        raise ValueError(
            "--tracker-faults takes the recording as ground truth: leave out --ground-truth"
        )
    if options.ground_truth is not None and not options.ground_truth.exists():
        raise ValueError(f"--ground-truth {options.ground_truth}: no such file or folder")
    shift_s = options.ground_truth_shift
    if shift_s and options.ground_truth is None:
        raise ValueError("--ground-truth-shift needs --ground-truth")
    if not abs(shift_s) <= _MAX_SHIFT_S:
        raise ValueError(f"--ground-truth-shift is {shift_s}, expected at most {_MAX_SHIFT_S:g}")
    node = load_choices(options.params, options.tracker)
    has_ground_truth = options.tracker_faults is not None or options.ground_truth is not None
    compared = [
        name for name in default_models() if not (has_ground_truth and name == BASELINES[1])
    ]
    models = options.model or [*filter(None, [node.model]), *compared]
    paths = find_bags(options.bags)
    request = opt.request_of(
        options,
        [],
        settings,
        models,
        n_moments=options.moments,
        start_s=options.start,
        duration_s=options.duration,
        faults=opt.faults_of(options.tracker_faults),
        is_adaptive=node.is_adaptive if options.adaptive is None else options.adaptive,
        ground_truth=options.ground_truth,
        ground_truth_shift_s=shift_s,
    )
    for name in request.models:
        steps_of(load_model(name), settings)
    truths = filter(None, map(request.ground_truth_of, paths))
    request = replace(request, choices=opt.recording_choices(options, [*paths, *truths]))
    opt.make_folder(options.out)
    return jobs_of(paths, request, options.out)


if __name__ == "__main__":
    sys.exit(main())
