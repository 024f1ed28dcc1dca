"""Prints the coverage of the ellipses as shipped and with adaptive calibration.

Replays recordings through the node's pipeline, once with the model as shipped and once with
adaptive calibration, which starts as at a new site. Each prediction is evaluated with the ellipses
that were published with it. Each test recording of the benchmark is replayed with the model that
was not trained on it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from social_implicit_ros.commands import options as opt
from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.evaluation.benchmark.calibration import (
    BAND,
    CONFIDENCE,
    EARLY_S,
    MIN_POSITIONS,
    WINDOW_S,
    Case,
    benchmark_cases,
    compare_calibrations,
    recording_cases,
)
from social_implicit_ros.evaluation.output_files import write_json
from social_implicit_ros.evaluation.terminal import output_console
from social_implicit_ros.recordings.bag import find_bags
from social_implicit_ros.settings import PredictorConfig

#: From this many recordings on, the median and the worst are printed too.
_MANY = 3


class _Column(NamedTuple):
    """Heading and format of a metric; `badness` is higher for worse values."""

    heading: str
    form: str
    badness: Callable[[float], float]


_COLUMNS = {
    "coverage": _Column("coverage", "{:.1%}", lambda share: abs(share - CONFIDENCE)),
    "coverage_at_60_s": _Column("at 60 s", "{:.1%}", lambda share: abs(share - CONFIDENCE)),
    "seconds_to_band": _Column("s to band", "{:.1f}", lambda seconds: seconds),
    "time_in_band": _Column("in band", "{:.0%}", lambda share: -share),
    "r_avg": _Column("R_avg", "{:.1%}", lambda share: -share),
    "r_min": _Column("R_min", "{:.1%}", lambda share: -share),
    "area_m2": _Column("area m^2", "{:.2f}", lambda area: area),
    "positions": _Column("positions", "{:.0f}", lambda number: -number),
}


@reports_errors("evaluate_calibration")
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    options = parse(arguments)
    unused = ("tick_rate_hz", "confidence")
    settings = opt.settings_of("evaluate_calibration", options, unused=unused)
    cases = _cases(options, settings)
    results = compare_calibrations(cases, settings, Console(stderr=True))
    write_json({"confidence": CONFIDENCE, "band": BAND, "models": results}, options.json)
    _print(results, output_console())


def _cases(options: argparse.Namespace, settings: PredictorConfig) -> list[Case]:
    if not options.recordings:
        return benchmark_cases(options.data, options.split or (), options.model or ())
    paths = find_bags(options.recordings)
    request = opt.request_of(options, paths, settings)
    return recording_cases(paths, request)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with code 2 and a message if it is invalid."""
    parser = argparse.ArgumentParser(
        prog="evaluate_calibration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    text = "recordings, evaluated with the default model or those of --model"
    text = f"{text}: {opt.BAG_HELP} (default: the recordings of the benchmark, in --data)"
    parser.add_argument("recordings", nargs="*", metavar="BAG", help=text)
    opt.add(parser, "--params", *opt.OF_BAGS, *opt.OF_TEXT, "--split", "--json")
    opt.add_map_options(parser)
    opt.add_data_option(parser, "eth_ucy/all_data", required=False)
    parser.add_argument("--model", action="append", metavar="NAME", help=opt.FAMILY_HELP)
    options = parser.parse_args(arguments)
    if options.recordings and options.split:
        parser.error("--split applies to the benchmark: leave out --split or BAG")
    names = ("--params", "--map", "--no-map", *opt.OF_TEXT, *opt.OF_BAGS)
    given = opt.given_options(options, names)
    if given and not options.recordings:
        parser.error(f"{', '.join(given)}: only with BAG, not with the benchmark's recordings")
    if not options.recordings and options.data is None:
        parser.error("nothing to replay: give BAG, or --data with the benchmark's recordings")
    return options


def _print(results: Mapping[str, Any], console: Console) -> None:
    for model, recordings in results.items():
        table = Table(title=f"{model}: {CONFIDENCE:.0%} ellipses, as shipped and adaptive")
        table.add_column("recording", overflow="fold")
        table.add_column("ellipses", no_wrap=True)
        for column in _COLUMNS.values():
            table.add_column(column.heading, justify="right", no_wrap=True)
        for name, row in recordings.items():
            _add_rows(table, name, row)
        if len(recordings) >= _MANY:
            table.rows[-1].end_section = True  # the rich of ROS Humble has no add_section
            _add_rows(table, f"median of {len(recordings)}", _summary(recordings))
            _add_rows(table, f"worst of {len(recordings)}", _summary(recordings, worst=True))
        console.print(table)
    console.print(
        f"coverage: share of all evaluated positions inside the ellipse; at {EARLY_S:g} s: the "
        f"same over the first {EARLY_S:g} s; s to band: time until the running coverage is within "
        f"{BAND:.0%} of {CONFIDENCE:.0%}, with at least {MIN_POSITIONS} positions; in band: share "
        f"of the time in which the coverage of the last {WINDOW_S:g} s is within it; area: "
        "geometric mean.",
        highlight=False,
    )


def _add_rows(table: Table, name: str, row: Mapping[str, Mapping[str, float]]) -> None:
    for way, metrics in row.items():
        cells = (_cell(metrics[key], column.form) for key, column in _COLUMNS.items())
        table.add_row(name, way.replace("_", " "), *cells)
        name = ""


def _summary(
    recordings: Mapping[str, Mapping[str, Mapping[str, float]]], *, worst: bool = False
) -> dict[str, dict[str, float]]:
    """Median or worst of each metric over the recordings that have a value."""
    rows = list(recordings.values())

    def summarised(way: str, key: str) -> float:
        known = [row[way][key] for row in rows if not np.isnan(row[way][key])]
        if worst and known:
            return max(known, key=_COLUMNS[key].badness)
        return float(np.median(known)) if known else float("nan")

    return {way: {key: summarised(way, key) for key in _COLUMNS} for way in rows[0]}


def _cell(value: float, form: str) -> str:
    return form.format(value) if np.isfinite(value) else "never" if np.isinf(value) else "-"


if __name__ == "__main__":
    sys.exit(main())
