#!/usr/bin/env python3
"""Compares the results of two checkouts, to show that a refactoring changes no result.

    .venv/bin/python scripts/compare_checkouts.py OLD NEW [--data DIR] [--quick] [--keep DIR]

Each checkout evaluates the shared recordings with the commands in its own `.venv/bin` (`make test`
makes it): the leave-one-out table, the bag reports with every tick, the adaptive calibration, and
the messages of every output of the node. Only commands, topics and files are used, so modules may
move between the two. Prints a table. The exit status is 1 if a result differs by more than the
tolerance, or if values are missing or extra.
"""

from __future__ import annotations

import argparse
import filecmp
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: Values that differ between any two runs: timings of the machine and paths of files.
EXCLUDED = re.compile(r"latency_ms|\bwindow_ms$|\bmodel_ms$|\bpath$|\bbag$")
#: Floats that differ by less than this are equal.
ABSOLUTE_TOLERANCE = 1e-12
#: The files to compare, below the folder of a checkout's results.
RESULTS = ("*.json", "*/results.json", "*/per_tick.parquet", "*/*.npz", "*/calibration.json")
#: Maximum number of missing and extra values that are listed for each comparison.
MAX_LISTED = 10

HOTEL = "eth_ucy/all_data/biwi_hotel.txt"
TEXTS = (HOTEL, "eth_ucy/all_data/crowds_zara01.txt", "eth_true_rate/seq_eth.txt")
#: Bag -> text recording below the data folder, and options of `tracks_to_bag`.
BAGS = {
    "hotel": (HOTEL, "--type", "marker_array"),
    "lcas": ("robot/lcas/minerva.txt", "--type", "point_cloud", "--frames-per-second", "1000"),
    "kitti": ("robot/kitti_det/0019.txt", "--type", "point_cloud", "--frames-per-second", "1000"),
}
#: Parameters other than the defaults, for the node and for `evaluate_bag --params`.
SETTINGS: dict[str, Any] = {
    "model": "social_implicit",
    "n_samples": 30,
    "seed": 3,
    "time_step_s": 0.5,
    "horizon_s": 3.0,
    "min_observations": 3,
    "track_timeout_s": 0.6,
    "max_speed_m_s": 4.0,
    "add_tracker_covariance": True,
    "confidence": 0.8,
    "confidence_levels": [0.3, 0.6, 0.9],
}

#: Name -> values. The name locates the values in a file.
Leaves = dict[str, np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """The differences between two results.

    Attributes:
        name: file of the result.
        n_values: numbers and texts that both have; None if the files are the same byte for byte.
        difference: largest difference: relative for floats, absolute for integers, infinite for
            texts.
        where: leaf and index of the largest difference; empty if there is none.
        n_different: number of leaves with any difference.
        missing: leaves that only the old result has.
        extra: leaves that only the new result has.
    """

    name: str
    n_values: int | None
    difference: float
    where: str
    n_different: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    def is_within(self, tolerance: float) -> bool:
        """Whether both results have the same leaves and no difference above the tolerance."""
        return self.difference <= tolerance and not self.missing and not self.extra


def compare(name: str, old: Leaves, new: Leaves, allowed: str | None = None) -> Comparison:
    """Compares two results.

    Args:
        name: file of the results.
        old: leaves of the old result.
        new: leaves of the new result.
        allowed: regular expression; leaves are left out if it matches in `name:leaf`.
    """
    old, new = (
        {
            leaf: values
            for leaf, values in leaves.items()
            if not EXCLUDED.search(leaf) and not (allowed and re.search(allowed, f"{name}:{leaf}"))
        }
        for leaves in (old, new)
    )
    shared = [leaf for leaf in old if leaf in new]
    largest, where, n_different = 0.0, "", 0
    for leaf in shared:
        difference, place = largest_difference(old[leaf], new[leaf])
        n_different += difference > 0.0
        if difference > largest:
            largest, where = difference, leaf + place
    return Comparison(
        name=name,
        n_values=sum(old[leaf].size for leaf in shared),
        difference=largest,
        where=where,
        n_different=n_different,
        missing=tuple(leaf for leaf in old if leaf not in new),
        extra=tuple(leaf for leaf in new if leaf not in old),
    )


def compare_files(old: Path, new: Path, name: str, allowed: str | None = None) -> Comparison:
    """Compares the files with this name in two folders of results; see `compare`."""
    paths = old / name, new / name
    # Messages take long to decode.
    if (
        name.endswith(".npz")
        and all(path.is_file() for path in paths)
        and filecmp.cmp(*paths, shallow=False)
    ):
        return Comparison(name, None, 0.0, "", 0, (), ())
    return compare(name, leaves_of(old / name), leaves_of(new / name), allowed)


def largest_difference(old: np.ndarray, new: np.ndarray) -> tuple[float, str]:
    """The largest difference as in `Comparison`, and where it is: an index, or what has changed.

    NaN equals NaN. A different number of values, or texts instead of numbers, count as infinite.
    """
    old_kind, new_kind = old.dtype.kind, new.dtype.kind
    is_number = old_kind in "biuf"
    if old.shape != new.shape or is_number != (new_kind in "biuf"):
        return np.inf, f": was {old.size} values ({old.dtype}), is {new.size} ({new.dtype})"
    if not is_number:
        differences = np.where(old != new, np.inf, 0.0)
    else:
        a, b = old.astype(np.float64), new.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            if "f" in (old_kind, new_kind):
                equal = np.isclose(a, b, rtol=0.0, atol=ABSOLUTE_TOLERANCE, equal_nan=True)
                sizes = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
            else:
                equal = old == new
                # At least 1, as `a` and `b` are floats, which may be equal for different integers.
                sizes = np.maximum(np.abs(a - b), 1.0)
        differences = np.where(equal, 0.0, np.nan_to_num(sizes, nan=np.inf, posinf=np.inf))
    if not differences.any():
        return 0.0, ""
    index = int(np.argmax(differences))
    return float(differences[index]), f"[{index}]"


def json_leaves(value: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Name and values of every scalar, and of every list of scalars; null is NaN."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from json_leaves(entry, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(entry, (dict, list)) for entry in value):
        for index, entry in enumerate(value):
            yield from json_leaves(entry, f"{name}[{index}]")
    else:
        values = value if isinstance(value, list) else [value]
        yield name, np.array([np.nan if entry is None else entry for entry in values])


def leaves_of(path: Path) -> Leaves:
    """The leaves of a file; none if there is no such file."""
    if not path.is_file():
        return {}
    if path.suffix == ".json":
        return dict(json_leaves(json.loads(path.read_text())))
    if path.suffix == ".parquet":
        from pyarrow import parquet

        table = parquet.read_table(path)
        return {name: np.array(table[name].to_pylist()) for name in table.column_names}
    from record_outputs import recorded_leaves  # needs ROS

    return recorded_leaves(path)


def produce(checkout: Path, data: Path, folder: Path, quick: bool) -> None:
    """Writes all results of a checkout with the recordings in `data`; fewer if `quick`."""

    def run(command: str, *arguments: object) -> str:
        words = [str(checkout / ".venv/bin" / command), *map(str, arguments)]
        started_s = time.monotonic()
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        print(f"{time.monotonic() - started_s:6.1f} s", command, *arguments, file=sys.stderr)
        if done.returncode != 0:
            sys.exit(f"{words[0]} ended with status {done.returncode}:\n{done.stderr[-3000:]}")
        return done.stdout

    package = run("python", "-c", "import social_implicit_ros as p; print(*p.__path__)").strip()
    if Path(package).resolve().parent != checkout:
        sys.exit(f"{checkout}/.venv runs {package}: run `make test` there, and unset PYTHONPATH")
    shipped = next((checkout / "social_implicit_ros").rglob("crowd.mcap")).parent
    shutil.copytree(shipped, folder / "crowd")
    for name, (text, *options) in BAGS.items():
        run("tracks_to_bag", data / text, name, *options)
    # Earlier checkouts evaluate models as shipped.
    as_shipped = {"adaptive_calibration": False}
    for file, settings in (("as_shipped", as_shipped), ("settings", {**SETTINGS, **as_shipped})):
        values = "".join(f"    {key}: {json.dumps(value)}\n" for key, value in settings.items())
        (folder / f"{file}.yaml").write_text(f"/**:\n  ros__parameters:\n{values}")

    bags = ["crowd"] if quick else ["crowd", "lcas", "kitti"]
    split = ["--split", "hotel"] if quick else []
    run("evaluate_dataset", "--data", data, "--json", "leave_one_out.json")
    run("evaluate_calibration", "--data", data, "--json", "adaptive_calibration.json", *split)
    start = ["evaluate_bag", *bags, "--duration", "120"]
    run(*start, "--tick-rate", 0, "--params", "as_shipped.yaml", "--out", "bags_every_message")
    run(*start, "--tick-rate", 10, "--params", "settings.yaml", "--out", "bags_10_hz")
    if not quick:
        texts = [data / text for text in TEXTS]
        run("evaluate_bag", *texts, "--params", "as_shipped.yaml", "--out", "texts")
        for name in ("eth", "hotel"):
            json_option = ["--json", f"all_metrics_{name}.json"]
            run("evaluate_dataset", "--data", data, "--all-metrics", "--split", name, *json_option)
    from record_outputs import record_outputs  # needs ROS

    for name in (*bags, "hotel"):
        # The first messages of a replay are too close to one another for more observations.
        parameters = {**(SETTINGS if name == "hotel" else {}), "min_observations": 2}
        started_s = time.monotonic()
        node, out = checkout / ".venv/bin/predictor_node", folder / f"node_{name}"
        record_outputs(node, folder / name, out, parameters, 100 if quick else 300)
        print(f"{time.monotonic() - started_s:6.1f} s predictor_node on", name, file=sys.stderr)


def kept_or_produced(checkout: Path, data: Path, quick: bool, keep: Path) -> Path:
    """The folder of results in `keep`; produces them unless the same commit's are there."""
    git = ("git", "-C", str(checkout))
    commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    if subprocess.check_output([*git, "status", "--porcelain"]):
        sys.exit(f"{checkout} has uncommitted changes: commit them, or leave --keep out")
    scripts = (Path(__file__), Path(__file__).with_name("record_outputs.py"))
    recipe = hashlib.sha256(b"".join(script.read_bytes() for script in scripts))
    recipe.update(f"{data} {quick}".encode())
    kept = keep / f"{commit[:12]}-{recipe.hexdigest()[:12]}"
    if not kept.is_dir():
        keep.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=keep) as unfinished:
            folder = Path(unfinished) / "results"
            folder.mkdir()
            produce(checkout, data, folder, quick)
            folder.rename(kept)
    return kept


def show(comparisons: list[Comparison], tolerance: float) -> bool:
    """Prints the table; returns whether all results are within the tolerance."""
    width = max(len(one.name) for one in comparisons)
    print(f"{'result':{width}} {'values':>9}  largest difference")
    for one in comparisons:
        where = one.where + (f" (1 of {one.n_different})" if one.n_different > 1 else "")
        status = "" if one.is_within(tolerance) else "  ABOVE TOLERANCE"
        values = "all bytes" if one.n_values is None else one.n_values
        print(f"{one.name:{width}} {values:>9}  {one.difference:<8.2g} {where}{status}")
        for kind, names in (("missing", one.missing), ("extra", one.extra)):
            more = [f"and {len(names) - MAX_LISTED} more"] if len(names) > MAX_LISTED else []
            for line in (*names[:MAX_LISTED], *more):
                print(f"{'':{width}} {kind:>9}  {line}")
    return all(one.is_within(tolerance) for one in comparisons)


def main() -> int:
    """Returns 0 if the results are the same, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, metavar="OLD", help="checkout with a .venv")
    parser.add_argument("new", type=Path, metavar="NEW", help="checkout with a .venv")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("SOCIAL_IMPLICIT_DATA"),
        metavar="DIR",
        help="the shared recordings (default: $SOCIAL_IMPLICIT_DATA)",
    )
    parser.add_argument("--quick", action="store_true", help="fewer recordings")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-9,
        help="relative for floats (default: %(default)g); integers and texts must be equal",
    )
    parser.add_argument(
        "--allow",
        action="append",
        metavar="REGEX",
        help="leave out values that match in RESULT:VALUE, as the table names them; repeatable",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep OLD's results here for the next comparison"
    )
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is required if SOCIAL_IMPLICIT_DATA is not set")
    old, new, data = (path.resolve() for path in (options.old, options.new, options.data))
    for checkout in (old, new):
        if not (checkout / ".venv/bin/predictor_node").exists():
            parser.error(f"{checkout} has no commands in .venv/bin: run `make test` there")
    # ROS messages stay on this machine.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folders = Path(temporary, "old"), Path(temporary, "new")
        if options.keep:
            folders = kept_or_produced(old, data, options.quick, options.keep), folders[1]
        for checkout, folder in zip((old, new), folders, strict=True):
            if not folder.is_dir():
                print(checkout, file=sys.stderr)
                folder.mkdir()
                produce(checkout, data, folder, options.quick)
        names = {
            str(path.relative_to(folder))
            for folder in folders
            for pattern in RESULTS
            for path in folder.glob(pattern)
        }
        allowed = "|".join(options.allow) if options.allow else None
        comparisons = [compare_files(*folders, name, allowed) for name in sorted(names)]
    is_same = show(comparisons, options.tolerance)
    print(f"{'the same' if is_same else 'NOT the same'}, {time.monotonic() - started_s:.0f} s")
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
