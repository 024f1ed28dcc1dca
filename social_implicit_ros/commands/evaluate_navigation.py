"""`evaluate_navigation`: drives a robot among recorded people, with each predictor and planner."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from social_implicit_ros.commands import options as opt
from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.evaluation.navigation.crowd import Crowd, crowd_of
from social_implicit_ros.evaluation.navigation.page import write_page
from social_implicit_ros.evaluation.navigation.planners import CHANCE, COSTMAP, EXPECTED
from social_implicit_ros.evaluation.navigation.robot import DT_S, Robot
from social_implicit_ros.evaluation.navigation.study import (
    CONFIDENCES,
    HORIZONS_S,
    PERSON_RADIUS_M,
    PLANNED,
    REACTIVE,
    TIMES,
    Study,
    Trial,
    advice,
)
from social_implicit_ros.evaluation.output_files import write_json, written_beside
from social_implicit_ros.evaluation.request import Request
from social_implicit_ros.evaluation.terminal import output_console, progress_bar, shown_task
from social_implicit_ros.recordings.bag import find_bags
from social_implicit_ros.untrusted_files import printable_text

#: What the numbers mean and what they do not; printed first.
LIMITS = (
    "Limits of the replay: recorded people do not see this robot and never yield, so collisions "
    "are more frequent than on a real robot, and people walk into a robot that only waits. "
    "Intrusions into personal space have no consequence. Walls limit the predictions, not the "
    "robot. Compare predictors and settings on equal episodes; the rates are not those of your "
    "robot."
)
#: The same for the crowd that reacts.
REACTIVE_LIMITS = (
    "In the crowd that reacts, people follow their recorded paths and avoid predicted collisions "
    "by one law: some with each other and the robot, the others only with each other. It shows "
    "whether a robot waits although people would let it pass, and how close to them it drives. It "
    "does not show how real people react, who hesitate, stop, look or play. There are fewer "
    "collisions than in the replay because people prevent them."
)
#: Remarks on the robot of a recording, such as that its position is unknown, are about the replay.
SIMULATED_ROBOT = (
    "in the crowd that reacts, people are predicted with the simulated robot's position"
)
#: Metric -> heading, factor and format, of those on the terminal; results.json has all metrics.
_COLUMNS = {
    "collision": ("collisions", 100.0, "{:.1f}"),
    "time": ("time", 1.0, "{:.2f}"),
    "standing_hit": ("standing", 100.0, "{:.1f}"),
    "frozen": ("frozen", 100.0, "{:.1f}"),
    "intrusion": ("near", 100.0, "{:.1f}"),
}
_HEADINGS = [heading for heading, _, _ in _COLUMNS.values()]
#: Metrics that are printed with their interval.
_WITH_INTERVAL = ("collision", "time")


@reports_errors("evaluate_navigation")
def main(arguments: Sequence[str] | None = None) -> None:
    """Drives the robot, prints the tables and writes the report."""
    _evaluate(parse(arguments), Console(stderr=True))


def _evaluate(options: argparse.Namespace, console: Console) -> None:
    paths = find_bags(options.recordings)
    request = _request(options, paths)
    trial = replace(_trial(options), shows_plan=request.settings.robot != "none")
    opt.make_folder(options.out)
    with progress_bar(console) as progress:
        crowds = [_crowd(path, request, trial, options, progress) for path in paths]
        with shown_task(progress, "episodes", every=1) as show:
            study = Study(crowds, trial)
            planners = study.results(show)
    results: dict[str, Any] = {
        "limits": LIMITS if trial.attentive is None else f"{LIMITS} {REACTIVE_LIMITS}",
        "recordings": [
            {"path": str(path), "seconds": crowd.n_ticks * crowd.period_s, "notes": crowd.notes}
            for path, crowd in zip(paths, crowds, strict=True)
        ],
        "trial": asdict(trial),
        "faults": str(request.faults) if request.faults else None,
        "planners": planners,
    }
    results["advice"] = advice(results["planners"], request.models[0])
    with (
        written_beside(options.out / "results.json") as numbers,
        written_beside(options.out / "report.html") as page,
    ):
        write_json(results, numbers, indent=1)
        write_page(page, results, study)
    _print(results, output_console(), trial, request.models[0])


def _crowd(
    path: Path, request: Request, trial: Trial, options: argparse.Namespace, progress: Progress
) -> Crowd:
    source = request.opened(path).part(options.start, options.duration)
    with shown_task(progress, path.name) as show:
        crowd = crowd_of(source, request, show)
    if trial.shows_plan and trial.attentive is not None:
        crowd = replace(crowd, notes=(*crowd.notes, SIMULATED_ROBOT))
    opt.print_notes("evaluate_navigation", path, crowd.notes)
    return crowd


def _print(results: Mapping[str, Any], console: Console, trial: Trial, model: str) -> None:
    console.print(LIMITS, highlight=False)
    for planner, predictors in results["planners"].items():
        title = (
            f"{planner} planner: {trial.n_episodes} test episodes in each recording "
            f"({len(results['recordings'])}), settings chosen on as many others"
        )
        console.print(_chosen(title, predictors, "test"))
        console.print(_frontier(planner, predictors))
        if trial.attentive is not None:
            title = (
                f"{planner} planner: the same episodes and settings in a crowd that reacts, "
                f"{trial.attentive:.0%} of it to the robot"
            )
            console.print(_chosen(title, predictors, REACTIVE))
        if trial.attentive is not None and trial.shows_plan:
            console.print(_planned(planner, predictors))
        if len(results["recordings"]) > 1:
            console.print(_by_recording(planner, predictors, results["recordings"]))
        regions = f"{model}, regions"
        title = f"{planner} planner: settings with {regions}, tuning episodes"
        table = _table(title, "", "setting", *_HEADINGS)
        for entry in predictors[regions]["frontier"]:
            table.add_row("", entry["setting"].partition(", ")[2], *_cells(entry["tuning"]))
        console.print(table)
    console.print(
        "All but time in %. time: relative to the straight line. standing: collisions of a robot "
        "that stands. frozen: share of the time below 0.05 m/s. near: share of the time within "
        "0.45 m. against cv: collisions minus those of constant velocity on the same episodes. In "
        "brackets: 95 % interval. The report has more metrics.",
        highlight=False,
    )
    if trial.attentive is not None:
        console.print(REACTIVE_LIMITS, highlight=False)
    console.print(results["advice"], highlight=False)


def _chosen(title: str, predictors: Mapping[str, Any], kind: str) -> Table:
    """Metrics at the chosen settings in the test episodes; `kind` is `test` or `REACTIVE`."""
    table = _table(title, "predictor", "setting", *_HEADINGS, "against cv")
    for name, row in predictors.items():
        metrics, compared = row[kind], row if kind == "test" else row[kind]
        if metrics is not None:
            against = compared["collision_against_constant_velocity"]
            setting = row["chosen"].partition(", ")[2]
            table.add_row(name, setting, *_cells(metrics), _cell(against, 100.0, "{:+.1f}"))
    return table


def _planned(planner: str, predictors: Mapping[str, Any]) -> Table:
    """The crowd that reacts, with the robot's plan and minus without."""
    title = (
        f"{planner} planner: the crowd that reacts, where predictions know the robot's plan; "
        "below, the difference to its position alone, with 95 % intervals"
    )
    columns = {key: _COLUMNS[key] for key in ("collision", "time", "frozen")}
    table = _table(title, "predictor", *(heading for heading, _, _ in columns.values()))
    for name, row in predictors.items():
        if row[PLANNED] is not None:
            for label, values in ((name, row[PLANNED]["with"]), ("", row[PLANNED]["difference"])):
                sign = "" if label else "+"
                cells = (
                    _cell(values[key], factor, form.replace(":", f":{sign}"))
                    for key, (_, factor, form) in columns.items()
                )
                table.add_row(label, *cells)
    return table


def _frontier(planner: str, predictors: Mapping[str, Any]) -> Table:
    title = (
        f"{planner} planner: collisions % / time of the test episodes at the setting with the "
        "fewest collisions of those that took at most this time in the tuning episodes"
    )
    times = [f"{most:g}" for most in TIMES]
    table = _table(title, "predictor", *times)
    for name, row in predictors.items():
        found = map(row["within"].get, times)
        table.add_row(name, *("" if cell is None else _point(cell) for cell in found))
    return table


def _point(metrics: Mapping[str, Any]) -> str:
    collisions = _cell(metrics["collision"], 100.0, "{:.1f}")
    return f"{collisions} / {metrics['time'][0]:.2f}"


def _by_recording(
    planner: str, predictors: Mapping[str, Any], recordings: Sequence[Mapping[str, Any]]
) -> Table:
    table = Table(title=f"{planner} planner: collisions % / time by recording, test episodes")
    table.add_column("predictor", overflow="fold", min_width=15)
    for recording in recordings:
        table.add_column(escape(printable_text(Path(recording["path"]).stem)), justify="right")
    for name, row in predictors.items():
        means = (f"{100 * r['collision']:.1f} / {r['time']:.2f}" for r in row["recordings"])
        table.add_row(name, *means)
    return table


def _table(title: str, first: str, *headings: str) -> Table:
    """A table whose first column may wrap."""
    table = Table(title=title)
    table.add_column(first, overflow="fold", min_width=15 if first else 0)
    for heading in headings:
        table.add_column(heading, justify="right" if heading != "setting" else "left", no_wrap=True)
    return table


def _cells(metrics: Mapping[str, Sequence[float]]) -> list[str]:
    return [
        _cell(metrics[key][: 3 if key in _WITH_INTERVAL else 1], factor, form)
        for key, (_, factor, form) in _COLUMNS.items()
    ]


def _cell(values: Sequence[float], factor: float, form: str) -> str:
    mean, *ends = (form.format(factor * value) for value in values)
    return f"{mean} \\[{','.join(ends)}]" if ends else mean


def _request(options: argparse.Namespace, paths: Sequence[Path]) -> Request:
    own: dict[str, Any] = {"tick_rate_hz": options.rate, "time_step_s": DT_S, "horizon_s": 0.0}
    settings = replace(opt.settings_of("evaluate_navigation", options, unused=own), **own)
    faults = opt.faults_of(options.tracker_faults)
    return opt.request_of(options, paths, settings, faults=faults)


def _trial(options: argparse.Namespace) -> Trial:
    robot = Robot(
        radius_m=options.robot_radius,
        speed_m_s=options.speed,
        acceleration_m_s2=options.acceleration,
        is_holonomic=options.holonomic,
    )
    planners = tuple(dict.fromkeys(options.planner or (CHANCE, EXPECTED)))
    return Trial(
        robot,
        options.person_radius,
        options.episodes,
        options.seed,
        planners,
        tuple(sorted(options.confidence or CONFIDENCES)),
        tuple(sorted(options.horizon or HORIZONS_S)),
        options.brake,
        options.reactive,
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with code 2 and a message if it is invalid."""
    parser = argparse.ArgumentParser(
        prog="evaluate_navigation",
        description="Drives a simulated robot through recorded people with each predictor and "
        "several settings of each planner, and writes report.html and results.json. Needs no ROS.",
        epilog=LIMITS,
    )
    add = parser.add_argument
    add("recordings", nargs="+", metavar="RECORDING", help=opt.BAG_HELP)
    opt.add(parser, *opt.OF_RECORDINGS)
    text = (
        "a shipped model or an .onnx file; may be repeated; {split} stands for the split of the "
        "benchmark that holds the recording out (default: that of --params, else default)"
    )
    add("--model", action="append", metavar="NAME", help=text)
    opt.add(parser, "--tracker-faults", "--out", "--seed")
    opt.add_map_options(parser)
    text = (
        "chance constraints as in mpc_planner, expected cost, or a costmap without time; may be "
        "repeated (default: chance and expected)"
    )
    add("--planner", action="append", choices=(CHANCE, EXPECTED, COSTMAP), help=text)
    text = "episodes in each half of a recording: tuning, test (default: %(default)s)"
    add("--episodes", type=opt.positive_int, default=100, metavar="N", help=text)
    for name, values, what in (
        ("--confidence", CONFIDENCES, "confidence level of the regions"),
        ("--horizon", HORIZONS_S, "seconds within which people are considered"),
    ):
        known = ", ".join(map(str, values))
        text = f"{what}, a setting to try; may be repeated (default: {known})"
        add(name, type=float, action="append", metavar="X", help=text)
    text = "the robot moves sideways, too (default: a unicycle)"
    add("--holonomic", action="store_true", help=text)
    text = (
        "drive the chosen settings in a simulated crowd, too, in which this share of the people "
        "makes way for the robot (default without a value: 0.5)"
    )
    add("--reactive", type=float, nargs="?", const=0.5, metavar="SHARE", help=text)
    text = (
        "if no motion is feasible, the chance planner brakes, as planners without a slack variable "
        "do (default: it takes the motion that violates the constraints least)"
    )
    add("--brake", action="store_true", help=text)
    robot = Robot()
    for name, default, what in (
        ("--robot-radius", robot.radius_m, "radius of the robot, metres"),
        ("--person-radius", PERSON_RADIUS_M, "radius of a person, metres"),
        ("--speed", robot.speed_m_s, "maximum and preferred speed of the robot, m/s"),
        ("--acceleration", robot.acceleration_m_s2, "maximum acceleration, m/s^2"),
        ("--rate", 2.5, "plans per second; 2.5 or 5"),
    ):
        text = f"{what} (default: %(default)s)"
        add(name, type=float, default=default, metavar="X", help=text)
    options = parser.parse_args(arguments)
    if options.rate not in (2.5, 5.0):
        parser.error("--rate must be 2.5 or 5: a plan has steps of 0.2 s")
    if options.brake and CHANCE not in (options.planner or (CHANCE,)):
        parser.error(f"--brake needs --planner {CHANCE}")
    if options.reactive is not None and options.tracker_faults:
        parser.error("--reactive has a perfect tracker: leave out --tracker-faults")
    return options


if __name__ == "__main__":
    sys.exit(main())
