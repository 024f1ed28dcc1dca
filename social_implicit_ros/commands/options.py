"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import Any, TypeVar

from social_implicit_ros.evaluation.faulty_tracker.tracker_faults import (
    PRESETS,
    TrackerFaults,
    parse_faults,
)
from social_implicit_ros.evaluation.request import Request
from social_implicit_ros.parameter_spec import ParameterError
from social_implicit_ros.prediction.replay_settings import (
    changed_names,
    load_choices,
    load_settings,
    unknown_names,
)
from social_implicit_ros.recordings.bag import DEFAULT_FRAME, is_bag
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT
from social_implicit_ros.recordings.text_formats.text import FRAMES_PER_SECOND, TextFormat
from social_implicit_ros.recordings.track_source import TrackSource, open_source
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.untrusted_files import printable_text, short_text

#: Largest number that an option takes, such as a duration in seconds.
LARGEST = 1e9
#: Environment variable with the folder of the recordings, where --data is left out.
DATA_VARIABLE = "SOCIAL_IMPLICIT_DATA"

#: Help of the argument BAG.
BAG_HELP = (
    "rosbag2 folder, .mcap or .db3 file (or such a file compressed: .zstd), a folder of such, a "
    "pattern, or trajectories as ETH/UCY text, CSV, TrajNet++ ndjson, .npy or .npz"
)
#: Options of commands that only bags read.
OF_BAGS = ("tracks", "tracker", "fixed_frame", "odometry")
#: Exit codes: an invalid request, and Ctrl-C.
INVALID, INTERRUPTED = 2, 130

_Number = TypeVar("_Number", int, float)
_Main = Callable[[Sequence[str] | None], int | None]


def reports_errors(
    command: str, *, failure: int = INVALID, interrupted: str = "interrupted"
) -> Callable[[_Main], Callable[..., int]]:
    """Makes a `main` print an error in one line, and return an exit code in any case."""

    def decorate(main: _Main) -> Callable[..., int]:
        @wraps(main)
        def run(arguments: Sequence[str] | None = None) -> int:
            try:
                return main(arguments) or 0
            except (ValueError, FloatingPointError, OSError) as error:
                print(f"{command}: {printable_text(error_text(error))}", file=sys.stderr)
                return failure
            except KeyboardInterrupt:
                print(f"{command}: {interrupted}", file=sys.stderr)
                return INTERRUPTED

        return run

    return decorate


def error_text(error: Exception) -> str:
    """What went wrong and where, and how to fix an error of the system."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    where = f"{error.filename}: " if error.filename is not None else ""
    fixes = {
        (errno.ENOSPC, errno.EDQUOT): f"make room there and in {gettempdir()}",
        (errno.EACCES, errno.EPERM, errno.EROFS): "change its permissions, or give another path",
        (errno.ENOENT, errno.ENOTDIR): "give another path",
    }
    fix = next((f"; {text}" for numbers, text in fixes.items() if error.errno in numbers), "")
    return f"{where}{error.strerror}{fix}"


def add_tracks_options(parser: argparse.ArgumentParser, default: str = "by type") -> None:
    """Adds --tracks, the topic, and --tracker, the mapping of its messages, with its default."""
    text = "topic of the tracks; may be left out if only one topic qualifies"
    parser.add_argument("--tracks", metavar="TOPIC", help=text)
    text = f"tracker mapping, as the node's parameter tracker (default: {default})"
    parser.add_argument("--tracker", metavar="NAME|FILE", help=text)


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """Adds --frames-per-second, --seconds and --columns, of recordings that are no bags."""
    text = (
        "rate of frame numbers in text, CSV and arrays (default: what the file says, else "
        f"{FRAMES_PER_SECOND:g}, as in ETH/UCY files, where 10 frames are 0.4 s; seq_eth has 15; "
        "2.5 for the steps of an array)"
    )
    parser.add_argument("--frames-per-second", type=float, metavar="HZ", help=text)
    text = "text has seconds in place of frame numbers"
    parser.add_argument("--seconds", action="store_true", help=text)
    text = (
        "columns of text or CSV with frame or time, id, x and y: names in the header, or numbers "
        "from 1 on, such as 1,2,3,5"
    )
    parser.add_argument("--columns", metavar="T,ID,X,Y", help=text)


def given_options(options: argparse.Namespace, names: Iterable[str]) -> list[str]:
    """Those of some options that have a value, as they are written."""
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name, None)]


def recording_choices(
    options: argparse.Namespace, recordings: Sequence[Path], of_bags: Sequence[str] = OF_BAGS
) -> dict[str, Any]:
    """The arguments of `open_source` that topics, text and --params say, but the settings.

    Raises:
        ValueError: an invalid choice, or all recordings are of a kind that does not read an option:
            those of text if they are bags, those of `of_bags` if none is.
        ParameterError: the file of --params cannot be used.
    """
    kinds = {is_bag(path) for path in recordings}
    for is_of_bags, names, what in (
        (False, ("frames_per_second", "seconds", "columns"), "text, CSV or arrays, not bags"),
        (True, of_bags, "bags, not text, CSV or arrays"),
    ):
        given = given_options(options, names)
        if given and kinds == {not is_of_bags}:
            raise ValueError(f"{', '.join(given)}: only for recordings that are {what}")
    node = load_choices(getattr(options, "params", None), options.tracker)
    columns = tuple(options.columns.split(",")) if options.columns else ()
    return {
        "topic": options.tracks or node.topic,
        "tracker": node.tracker,
        "text": TextFormat(options.frames_per_second, options.seconds, columns),
    }


def request_of(
    options: argparse.Namespace,
    recordings: Sequence[Path],
    models: Iterable[str],
    settings: PredictorConfig,
    **own: Any,
) -> Request:
    """What the options of an evaluation of recordings ask for, and what is its own; raises as
    `recording_choices`.
    """
    return Request(
        models=tuple(dict.fromkeys(models)),
        settings=settings,
        odometry=options.odometry,
        map_file=options.map,
        uses_map=not options.no_map,
        **recording_choices(options, recordings),
        **own,
    )


def add_out_option(parser: argparse.ArgumentParser, text: str = "output folder") -> None:
    """Adds --out, which is required."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=text)


def make_folder(out: Path) -> None:
    """Creates the folder of --out and tries it, before anything that takes long.

    Raises:
        ValueError: it is a file.
        OSError: nothing can be written there.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is no folder: give another path")
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=out):
        pass


def add_params_options(parser: argparse.ArgumentParser, *, sees_robot: bool = True) -> None:
    """Adds --params, --fixed-frame and, where the robot is seen, --odometry; see `settings_of`."""
    text = "the node's parameter file (default: shipped)"
    parser.add_argument("--params", type=Path, metavar="FILE", help=text)
    text = "frame to predict in (default: that of --params, else odom or the root of /tf)"
    parser.add_argument("--fixed-frame", metavar="FRAME", help=text)
    if sees_robot:
        text = "the robot's odometry, if --params sets robot to odometry; may be left out if unique"
        parser.add_argument("--odometry", metavar="TOPIC", help=text)


def add_publishing_options(parser: argparse.ArgumentParser) -> None:
    """Adds --params and --fixed-frame, of commands that publish or write what they read."""
    text = "the node's parameter file: tracker, stamp_source, fixed_frame (default: shipped)"
    parser.add_argument("--params", type=Path, metavar="FILE", help=text)
    text = (
        "frame to transform tracks into (default: odom or the root of /tf); where no transform "
        f"leads to it, and for text, a name only (default for text: {DEFAULT_FRAME})"
    )
    parser.add_argument("--fixed-frame", metavar="FRAME", help=text)


def opened_to_publish(
    command: str, options: argparse.Namespace
) -> tuple[TrackSource, PredictorConfig]:
    """The recording of a command that publishes or writes it, and how to read its tracks.

    Raises:
        ValueError: an invalid choice, or nothing that can be read.
    """
    settings = settings_of(command, options)
    recording = open_source(
        options.file,
        **recording_choices(options, [options.file], ("tracks", "tracker")),
        fixed_frame=settings.fixed_frame,
        names_frame=True,
        stamp_spread_s=settings.stamp_spread_s,
    )
    return recording, settings


def add_section_options(parser: argparse.ArgumentParser, of_what: str = "") -> None:
    """Adds --start and --duration, bounded: what is beyond is no section of any recording."""
    text = f"seconds to skip{of_what} (default: %(default)s)"
    parser.add_argument("--start", type=non_negative_float, default=0.0, metavar="S", help=text)
    text = "seconds from there (default: all)"
    parser.add_argument("--duration", type=duration_s, metavar="S", help=text)


def add_map_options(parser: argparse.ArgumentParser) -> None:
    """Adds --map and --no-map: walls that predictions keep out of."""
    walls = parser.add_mutually_exclusive_group()
    text = (
        "YAML file of a map server, in the fixed frame, whose walls predictions keep out of "
        "(default: the map in the recording, if there is one)"
    )
    walls.add_argument("--map", type=Path, metavar="FILE", help=text)
    text = "predict without walls, even if there is a map"
    walls.add_argument("--no-map", action="store_true", help=text)


def settings_of(
    command: str, options: argparse.Namespace, *, unused: Collection[str] = ()
) -> PredictorConfig:
    """The choice of `add_params_options`; prints what of the file has no effect.

    Names that are no parameter have none, and those that the command sets itself: `unused`.

    Raises:
        ParameterError: as `load_settings`.
        ValueError: --odometry without a robot.
    """
    for line in unknown_names(options.params):
        print(f"{command}: {options.params}: {printable_text(line)}", file=sys.stderr)
    for name in sorted(changed_names(options.params).intersection(unused)):
        print(f"{command}: {options.params}: {name} has no effect here", file=sys.stderr)
    settings = load_settings(options.params)
    if getattr(options, "odometry", None) and settings.robot != "odometry":
        raise ValueError(
            "--odometry needs `robot: odometry` in a --params file: set it, or leave --odometry out"
        )
    if options.fixed_frame:
        settings = replace(settings, fixed_frame=options.fixed_frame)
    return settings


def print_notes(command: str, recording: Path, notes: Iterable[str]) -> None:
    """Prints remarks on a recording, such as what of it is left out."""
    for note in notes:
        print(f"{command}: {printable_text(f'{recording}: {note}')}", file=sys.stderr)


def add_old_name(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Accepts the former name of an option, and says what it is called now."""

    class OldName(argparse.Action):
        def __call__(self, parser: argparse.ArgumentParser, options: Any, *given: Any) -> None:
            print(f"{parser.prog}: {old} is called {new} now", file=sys.stderr)
            setattr(options, new.strip("-").replace("-", "_"), given[0])

    kind: Any = next(entry.type for entry in parser._actions if new in entry.option_strings)
    hidden = argparse.SUPPRESS
    parser.add_argument(old, action=OldName, type=kind, help=hidden, default=hidden)


def add_faults_option(parser: argparse.ArgumentParser) -> None:
    """Adds --tracker-faults; see `faults_of`."""
    names = [spec.name for spec in TrackerFaults.rows()]
    text = (
        "take the recording as ground truth and predict from a simulated tracker that sees it "
        f"with these faults: one of {', '.join(PRESETS)}, or NAME=VALUE,... of "
        f"{', '.join(names)}; see docs/broken_trackers.md"
    )
    parser.add_argument("--tracker-faults", metavar="FAULTS", help=text)


def faults_of(text: str | None) -> TrackerFaults | None:
    """The value of --tracker-faults; raises ParameterError naming the option."""
    try:
        return None if text is None else parse_faults(text)
    except ParameterError as error:
        raise ParameterError(f"--tracker-faults {error}") from error


def add_data_option(
    parser: argparse.ArgumentParser, content: str, *, required: bool = True
) -> None:
    """Adds --data, a folder with some content; an environment variable is its default."""
    known = os.environ.get(DATA_VARIABLE)
    needed = required and known is None
    text = f"folder that holds {content} (default: ${DATA_VARIABLE})"
    add = parser.add_argument
    add("--data", type=Path, default=known, required=needed, metavar="DIR", help=text)


def add_seed_option(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Adds --seed; `purpose` says in the help what is drawn with it."""
    text = f"{purpose} (default: %(default)s)"
    parser.add_argument("--seed", type=non_negative_int, default=0, help=text)


def add_split_option(parser: argparse.ArgumentParser, splits: Sequence[str], help: str) -> None:
    """Adds --split, one of `splits`, which may be repeated."""
    text = f"{help}; may be repeated (default: all)"
    parser.add_argument("--split", action="append", choices=tuple(splits), help=text)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds --split, --model and --json, of the benchmark."""
    add_split_option(parser, tuple(LEAVE_ONE_OUT), "evaluate on this split only")
    text = (
        "a shipped family or model, or an .onnx path in which {split} stands for the split; may be "
        "repeated (default: every shipped family)"
    )
    parser.add_argument("--model", action="append", metavar="NAME", help=text)
    text = "also write the metrics here"
    parser.add_argument("--json", type=output_file, metavar="FILE", help=text)


def add_benchmark_options(parser: argparse.ArgumentParser) -> None:
    """Adds --data, --split, --model, --k, --seed and --json."""
    add_data_option(parser, "eth_ucy/all_data")
    add_model_options(parser)
    text = "samples for ADE and FDE (default: 20)"
    parser.add_argument("--k", type=positive_int, default=20, help=text)
    add_seed_option(parser, "of the samples")


def add_training_options(parser: argparse.ArgumentParser, splits: Sequence[str]) -> None:
    """Adds --data, --split and --seed, of commands that train the shipped models."""
    add_data_option(parser, "eth_ucy/ and eth_true_rate/")
    add_split_option(parser, splits, "train this model only")
    add_seed_option(parser, "of all random numbers")


def output_file(text: str) -> Path:
    """The path of a file that can be written, for argparse: a run may take hours."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder: give a file")
    if path.exists() and not path.is_file():  # such as a pipe
        return path
    folder = path.resolve().parent
    try:
        with TemporaryFile(dir=folder):
            return path
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"{folder} is no folder that can be written to ({error.strerror})"
        ) from error


def positive_int(text: str) -> int:
    """An integer from 1 on, for argparse."""
    return _at_least(1, int(text))


def non_negative_int(text: str) -> int:
    """An integer from 0 on, for argparse."""
    return _at_least(0, int(text))


def non_negative_float(text: str) -> float:
    """A number from 0 on, for argparse."""
    return _at_least(0, float(text))


def duration_s(text: str) -> float:
    """Seconds from a millisecond on, for argparse."""
    return _at_least(0.001, float(text))


def _at_least(minimum: float, value: _Number) -> _Number:
    if not minimum <= value <= LARGEST:
        raise argparse.ArgumentTypeError(
            f"{short_text(value)} is not a number from {minimum} to {LARGEST:g}"
        )
    return value
