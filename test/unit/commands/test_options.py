"""Options that several commands share."""

from __future__ import annotations

import argparse
import errno
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from support.bags import (
    START_NS,
    TF_MESSAGE,
    Recorded,
    people_messages,
    transform_message,
    walkers,
    write_bag,
)

from social_implicit_ros.commands import evaluate_bag, evaluate_navigation
from social_implicit_ros.commands.options import (
    DATA_VARIABLE,
    add,
    add_data_option,
    add_old_name,
    make_folder,
    positive_int,
    recording_choices,
    settings_of,
)
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.text_formats.text import TextFormat
from social_implicit_ros.recordings.track_source import SourceChoices
from social_implicit_ros.untrusted_files import error_text


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="command")
    add_data_option(parser, "eth_ucy/")
    add(parser, "--seed")
    parser.add_argument("--k", type=positive_int, default=1)
    return parser


def test_the_data_folder_is_that_of_the_environment_unless_given(monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, "/there")

    assert parser().parse_args([]).data == Path("/there")
    assert parser().parse_args(["--data", "here"]).data == Path("here")


def test_without_either_the_data_folder_is_required(monkeypatch, capsys):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)

    with pytest.raises(SystemExit):
        parser().parse_args([])

    assert "--data" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--k", "0"], ["--seed", "one"]])
def test_a_number_out_of_range_is_refused(arguments, monkeypatch, capsys):
    monkeypatch.setenv(DATA_VARIABLE, "/there")

    with pytest.raises(SystemExit):
        parser().parse_args(arguments)

    said = capsys.readouterr().err
    assert arguments[0] in said and f"'{arguments[1]}' is not an integer from" in said


def test_the_former_name_of_an_option_is_accepted_and_the_new_one_printed(capsys):
    command = argparse.ArgumentParser(prog="command")
    command.add_argument("--fixed-frame", default="odom")
    add_old_name(command, "--frame", "--fixed-frame")

    assert command.parse_args([]).fixed_frame == "odom"
    assert capsys.readouterr().err == ""
    assert command.parse_args(["--frame", "map"]).fixed_frame == "map"
    assert "command: --frame is called --fixed-frame now" in capsys.readouterr().err


#: Commands that read recordings -> arguments that they need.
READERS: dict[str, list[str]] = {
    "evaluate_bag": ["--out", "{out}", "{recording}"],
    "evaluate_navigation": ["--out", "{out}", "{recording}"],
    "evaluate_calibration": ["{recording}"],
    "train_model": ["--out", "{out}", "--bags", "{recording}"],
    "tracks_to_bag": ["--out", "{out}", "{recording}"],
    "replay_tracks": ["{recording}"],
}


def module_of(command: str) -> ModuleType:
    """The module of a command; skips the test where a library that it needs is missing."""
    needed = {"train_model": "torch", "replay_tracks": "rclpy"}
    if command in needed:
        pytest.importorskip(needed[command])
    return import_module(f"social_implicit_ros.commands.{command}")


def run(command: str, recording: Path, *given: str) -> int:
    """The exit code of a command that reads a recording."""
    out = recording.parent / "out"
    needed = (entry.format(out=out, recording=recording) for entry in READERS[command])
    code: int = module_of(command).main([*needed, *given])
    return code


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("option", [["--seconds"], ["--columns", "a,b,c,d"]])
def test_an_option_of_text_is_refused_for_bags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, option: list[str]
) -> None:
    bag = write_bag(tmp_path / "bag", people_messages(walkers(duration_s=0.5)))
    assert run(command, bag, *option) != 0
    assert f"{option[0]}: only for recordings that are text" in capsys.readouterr().err


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("option", [["--tracks", "/people"], ["--tracker", "people"]])
def test_an_option_of_bags_is_refused_for_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, option: list[str]
) -> None:
    (tmp_path / "walk.txt").write_text("0 1 0 0\n10 1 0 0\n")
    assert run(command, tmp_path / "walk.txt", *option) != 0
    assert f"{option[0]}: only for recordings that are bags" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted({*READERS} - {"replay_tracks", "train_model"}))
def test_entries_that_are_left_out_are_printed_with_their_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    walk = walkers(duration_s=20.0)
    nameless = [replace(tracks, ids=("", *tracks.ids[1:])) for tracks in walk[:10]]
    messages = [
        *people_messages([*nameless, *walk[10:]], frame_id="odom"),
        *people_messages(walk[:5], frame_id="nowhere"),
    ]
    mount = transform_message("odom", "lidar", START_NS)
    messages.append(Recorded("/tf_static", TF_MESSAGE, mount, START_NS))
    bag = write_bag(tmp_path / "bag", messages)
    run(command, bag)  # too short for evaluate_navigation, which refuses it
    said = capsys.readouterr()
    text = " ".join((said.out + said.err).split())
    assert "10 of 618 entries are left out, empty id: detections without an id" in text
    assert "15 of 618 entries are left out, no transform: their frame has no transform" in text


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted({*READERS} - {"replay_tracks"}))
def test_a_truncated_recording_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    bag = write_bag(tmp_path / "bag", people_messages(walkers(duration_s=20.0)))
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    run(command, bag)  # too short for evaluate_navigation and train_model, which refuse it
    said = capsys.readouterr()
    assert "bag.mcap is truncated" in " ".join((said.out + said.err).split())


@pytest.mark.parametrize("command", READERS)
def test_options_of_recordings_have_one_name(command: str, tmp_path: Path) -> None:
    needed = (entry.format(out=tmp_path, recording=tmp_path) for entry in READERS[command])
    module = module_of(command)
    options = getattr(module, "parse", None) or module._parser().parse_args
    given = options(
        [
            *needed,
            *("--tracks", "/t", "--tracker", "people", "--fixed-frame", "map"),
            *("--frames-per-second", "15", "--columns", "a,b,c,d"),
        ]
    )
    assert given.fixed_frame == "map"
    text = TextFormat(15.0, False, ("a", "b", "c", "d"))
    assert recording_choices(given, []) == SourceChoices("/t", "people", text=text)


@pytest.mark.parametrize(
    "option",
    [
        *(f"--moments={value}" for value in ("-1", "9" * 400)),
        *(f"--max-unpacked-gb={value}" for value in ("nan", "-1", "1e300")),
    ],
)
def test_numbers_out_of_bounds_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate_bag.parse(["bag", option])
    said = capsys.readouterr().err
    assert option.split("=")[0] in said and len(said) < 5000


@pytest.mark.parametrize("command", [evaluate_bag, evaluate_navigation])
@pytest.mark.parametrize(
    "option",
    [
        *(f"--duration={value}" for value in ("nan", "inf", "-1", "0", "1e300")),
        *(f"--start={value}" for value in ("nan", "inf", "-1", "1e300")),
    ],
)
def test_a_section_out_of_bounds_is_refused_before_anything_is_read(
    command: ModuleType, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.parse(["bag", "--out", "out", option])
    said = capsys.readouterr().err
    assert f"argument {option.split('=')[0]}: " in said and "is not a number from" in said


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EACCES, "No", "/out/a"), "/out/a: No; change its permissions, or give"),
        (OSError(errno.ENOENT, "No such folder", "/a"), "/a: No such folder; give another path"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; free space"),
        (ValueError("no such thing"), "no such thing"),
    ],
)
def test_an_error_of_the_system_names_the_file_and_how_to_fix_it(
    error: Exception, text: str
) -> None:
    assert error_text(error).startswith(text)


def test_parameters_that_a_command_sets_itself_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only if they differ from their defaults, which a copy of the shipped file contains."""
    params = tmp_path / "params.yaml"
    lines = ("tick_rate_hz: 5.0", "horizon_s: 0.0", "confidence: 0.5", "confidnce: 0.5")
    params.write_text("predictor:\n  ros__parameters:\n    " + "\n    ".join(lines))
    options = argparse.Namespace(params=params, fixed_frame=None)

    settings_of("evaluate_it", options, unused=("horizon_s", "tick_rate_hz"))

    said = capsys.readouterr().err
    assert said.count("has no effect here") == 1 and "tick_rate_hz has no effect here" in said
    assert "unknown parameter confidnce" in said


@pytest.mark.parametrize("command", ["evaluate_bag", "evaluate_navigation"])
def test_an_output_folder_that_is_a_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "walk.txt").write_text("0 1 0 0\n10 1 0 0\n")
    (tmp_path / "out").write_text("mine")
    assert run(command, tmp_path / "walk.txt") == 2
    assert "out is not a folder: give another path" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_an_output_folder_without_write_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(dir: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(dir / "tmp123"))

    monkeypatch.setattr("social_implicit_ros.commands.options.TemporaryFile", denied)
    with pytest.raises(PermissionError) as caught:
        make_folder(tmp_path)
    assert error_text(caught.value).startswith(f"{tmp_path}: Permission denied; change its")


@pytest.mark.parametrize("rate_hz", [float("nan"), 0.0, -1.0, 1e-300, 1e300])
def test_a_frame_rate_out_of_bounds_is_refused(rate_hz: float) -> None:
    with pytest.raises(RecordingError, match=r"expected 0\.001 to 100000"):
        TextFormat(frames_per_second=rate_hz)
