"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
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
from social_implicit_ros.recordings.track_source import SourceChoices, TrackSource, open_source
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.untrusted_files import printable_text, short_text

#: Largest number that an option takes, such as a duration in seconds.
LARGEST = 1e9
#: Environment variable with the folder of the recordings, where --data is left out.
DATA_VARIABLE = "SOCIAL_IMPLICIT_DATA"

_Number = TypeVar("_Number", int, float)


def _at_least(minimum: float, kind: Callable[[str], _Number], text: str) -> _Number:
    with suppress(ValueError):
        value = kind(text)
        if minimum <= value <= LARGEST:
            return value
    noun = "an integer" if kind is int else "a number"
    raise argparse.ArgumentTypeError(
        f"{short_text(text)} is not {noun} from {minimum} to {LARGEST:g}"
    )


#: Types of options, for argparse: integers of at least 1 or 0, numbers of at least 0, and seconds
#: of at least a millisecond.
positive_int, non_negative_int = partial(_at_least, 1, int), partial(_at_least, 0, int)
non_negative_float, duration_s = partial(_at_least, 0, float), partial(_at_least, 0.001, float)


def output_file(text: str) -> Path:
    """The path of a writable file, for argparse: checked first, as a run may take hours."""
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
            f"cannot write to the folder {folder} ({error.strerror}): give another path"
        ) from error


#: Help of the argument BAG.
BAG_HELP = (
    "rosbag2 folder, .mcap or .db3 file (or such a file compressed: .zstd), a folder of such, a "
    "pattern, or trajectories as ETH/UCY text, CSV, TrajNet++ ndjson, .npy or .npz"
)
#: Help of --model of commands that evaluate on the benchmark.
FAMILY_HELP = (
    "a shipped family or model, or an .onnx path in which {split} stands for the split; may be "
    "repeated (default: every shipped family)"
)
#: Options that several commands have, each with its arguments of `add_argument`; see `add`.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--params": {
        "type": Path,
        "metavar": "FILE",
        "help": "the node's parameter file (default: shipped)",
    },
    "--tracks": {
        "metavar": "TOPIC",
        "help": "topic of the tracks; may be left out if only one topic has tracks",
    },
    "--tracker": {
        "metavar": "NAME|FILE",
        "help": "tracker mapping, as the node's parameter tracker (default: that of --params, else "
        "by message type)",
    },
    "--fixed-frame": {
        "metavar": "FRAME",
        "help": "frame to predict in (default: fixed_frame in --params, else odom or the root of "
        "/tf)",
    },
    "--odometry": {
        "metavar": "TOPIC",
        "help": "topic of the robot's odometry, if --params sets robot to odometry; may be left "
        "out if only one topic has odometry",
    },
    "--frames-per-second": {
        "type": float,
        "metavar": "HZ",
        "help": "frames per second of the frame numbers in text, CSV and arrays (default: the rate "
        f"in the file, else {FRAMES_PER_SECOND:g}, as in ETH/UCY files except seq_eth, which has "
        "15; 2.5 for an array without frame numbers)",
    },
    "--seconds": {
        "action": "store_true",
        "help": "the text contains seconds instead of frame numbers",
    },
    "--columns": {
        "metavar": "T,ID,X,Y",
        "help": "columns of text or CSV with frame or time, id, x and y: names in the header, or "
        "numbers counted from 1, such as 1,2,3,5",
    },
    "--start": {
        "type": non_negative_float,
        "default": 0.0,
        "metavar": "S",
        "help": "seconds to skip of each recording (default: %(default)s)",
    },
    "--duration": {
        "type": duration_s,
        "metavar": "S",
        "help": "seconds to read from there (default: all)",
    },
    "--map": {
        "type": Path,
        "metavar": "FILE",
        "help": "YAML file of a map (map_server) in the fixed frame; predictions keep out of its "
        "walls (default: the map in the recording, if there is one)",
    },
    "--no-map": {"action": "store_true", "help": "predict without walls, even if there is a map"},
    "--tracker-faults": {
        "metavar": "FAULTS",
        "help": "take the recording as ground truth and predict from a simulated tracker that sees "
        f"it with these faults: one of {', '.join(PRESETS)}, or NAME=VALUE,... with the names "
        f"{', '.join(spec.name for spec in TrackerFaults.rows())}; see docs/broken_trackers.md",
    },
    "--out": {"type": Path, "required": True, "metavar": "DIR", "help": "output folder"},
    "--json": {
        "type": output_file,
        "metavar": "FILE",
        "help": "also write the metrics to this file",
    },
    "--seed": {
        "type": non_negative_int,
        "default": 0,
        "help": "seed of all random numbers (default: %(default)s)",
    },
    "--split": {
        "action": "append",
        "choices": tuple(LEAVE_ONE_OUT),
        "help": "this split of the benchmark only; may be repeated (default: all)",
    },
}
#: Options that apply only to text, CSV and arrays, and only to bags.
OF_TEXT = ("--frames-per-second", "--seconds", "--columns")
OF_BAGS = ("--tracks", "--tracker", "--fixed-frame", "--odometry")
#: Options of commands that evaluate recordings.
OF_RECORDINGS = ("--params", *OF_BAGS, *OF_TEXT, "--start", "--duration")


def add(parser: argparse._ActionsContainer, *names: str, **changed: Any) -> None:
    """Adds some of `OPTIONS`, with changed arguments of `add_argument`."""
    for name in names:
        parser.add_argument(name, **{**OPTIONS[name], **changed})


def add_map_options(parser: argparse.ArgumentParser) -> None:
    """Adds --map and --no-map, the walls that predictions keep out of."""
    add(parser.add_mutually_exclusive_group(), "--map", "--no-map")


def add_publishing_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of commands that publish or write the tracks of a recording."""
    text = "the node's parameter file: tracker, stamp_source, fixed_frame (default: shipped)"
    add(parser, "--params", help=text)
    add(parser, "--tracks", "--tracker")
    text = (
        "frame to transform tracks into (default: odom or the root of /tf); text, and tracks "
        f"without a transform, only get its name (default for text: {DEFAULT_FRAME})"
    )
    add(parser, "--fixed-frame", help=text)
    add_old_name(parser, "--frame", "--fixed-frame")
    add(parser, *OF_TEXT)


def add_benchmark_options(parser: argparse.ArgumentParser) -> None:
    """Adds --data, --split, --model, --k, --seed and --json."""
    add_data_option(parser, "eth_ucy/all_data")
    add(parser, "--split", "--seed", "--json")
    parser.add_argument("--model", action="append", metavar="NAME", help=FAMILY_HELP)
    text = "samples for ADE and FDE (default: %(default)s)"
    parser.add_argument("--k", type=positive_int, default=20, help=text)


def given_options(options: argparse.Namespace, names: Iterable[str]) -> list[str]:
    """The options among `names` that have a value."""
    return [name for name in names if getattr(options, name[2:].replace("-", "_"), None)]


def recording_choices(
    options: argparse.Namespace, recordings: Sequence[Path], of_bags: Sequence[str] = OF_BAGS
) -> SourceChoices:
    """What the options and --params choose of the recordings.

    Raises:
        ValueError: an invalid choice, or an option that applies to none of the recordings: an
            option of text if all are bags, an option in `of_bags` if none is.
        ParameterError: the file of --params is invalid.
    """
    kinds = {is_bag(path) for path in recordings}
    for is_of_bags, names, what in (
        (False, OF_TEXT, "text, CSV or arrays, not bags"),
        (True, of_bags, "bags, not text, CSV or arrays"),
    ):
        given = given_options(options, names)
        if given and kinds == {not is_of_bags}:
            raise ValueError(f"{', '.join(given)}: only for recordings that are {what}")
    node = load_choices(getattr(options, "params", None), options.tracker)
    columns = tuple(options.columns.split(",")) if options.columns else ()
    return SourceChoices(
        topic=options.tracks or node.topic,
        tracker=node.tracker,
        odometry=getattr(options, "odometry", None),
        text=TextFormat(options.frames_per_second, options.seconds, columns),
    )


def request_of(
    options: argparse.Namespace,
    recordings: Sequence[Path],
    settings: PredictorConfig,
    models: Iterable[str] | None = None,
    **own: Any,
) -> Request:
    """The request of a command that evaluates recordings; raises as `recording_choices`.

    Args:
        options: the parsed command line.
        recordings: paths of the recordings.
        settings: as `settings_of`.
        models: names or files of the models (default: --model, else that of --params, else the
            default model).
        own: further fields of the request.
    """
    if models is None:
        chosen = load_choices(options.params, options.tracker).model
        models = options.model or [chosen or "default"]
    return Request(
        models=tuple(dict.fromkeys(models)),
        settings=settings,
        choices=recording_choices(options, recordings),
        map_file=options.map,
        uses_map=not options.no_map,
        **own,
    )


def make_folder(out: Path) -> None:
    """Creates the folder of --out and checks that it is writable, before any long computation.

    Raises:
        ValueError: it is a file.
        OSError: it cannot be created or is not writable.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is not a folder: give another path")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):
            pass
    except OSError as error:
        error.filename = str(out)  # not the temporary file
        raise


def opened_to_publish(
    command: str, options: argparse.Namespace
) -> tuple[TrackSource, PredictorConfig]:
    """The recording that a command publishes or writes, and the settings for its tracks.

    Raises:
        ValueError: an invalid choice, or an unreadable recording.
    """
    settings = replace(settings_of(command, options), robot="none")
    choices = recording_choices(options, [options.file], ("--tracks", "--tracker"))
    return open_source(options.file, settings, choices, names_frame=True), settings


def settings_of(
    command: str, options: argparse.Namespace, *, unused: Collection[str] = ()
) -> PredictorConfig:
    """The settings from --params and --fixed-frame; prints which lines of the file have no effect.

    These are unknown parameters, and those in `unused`, which the command sets itself.

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
    """Prints notes about a recording, such as the entries that are left out."""
    for note in notes:
        print(f"{command}: {printable_text(f'{recording}: {note}')}", file=sys.stderr)


def add_old_name(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Accepts the former name of an option and prints the new one."""

    class OldName(argparse.Action):
        def __call__(self, parser: argparse.ArgumentParser, options: Any, *given: Any) -> None:
            print(f"{parser.prog}: {old} is called {new} now", file=sys.stderr)
            setattr(options, new.strip("-").replace("-", "_"), given[0])

    kind: Any = next(entry.type for entry in parser._actions if new in entry.option_strings)
    hidden = argparse.SUPPRESS
    parser.add_argument(old, action=OldName, type=kind, help=hidden, default=hidden)


def faults_of(text: str | None) -> TrackerFaults | None:
    """The value of --tracker-faults; raises ParameterError naming the option."""
    try:
        return None if text is None else parse_faults(text)
    except ParameterError as error:
        raise ParameterError(f"--tracker-faults {error}") from error


def add_data_option(
    parser: argparse.ArgumentParser, content: str, *, required: bool = True
) -> None:
    """Adds --data, the folder that holds `content`; an environment variable is its default."""
    known = os.environ.get(DATA_VARIABLE)
    needed = required and known is None
    text = f"folder that holds {content} (default: ${DATA_VARIABLE})"
    add = parser.add_argument
    add("--data", type=Path, default=known, required=needed, metavar="DIR", help=text)
