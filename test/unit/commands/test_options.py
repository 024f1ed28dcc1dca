"""Options that several commands share."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from social_implicit_ros.commands import evaluate_bag, evaluate_navigation
from social_implicit_ros.commands.options import (
    DATA_VARIABLE,
    add_data_option,
    add_old_name,
    add_seed_option,
    positive_int,
    text_format,
)
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.text_formats.text import TextFormat


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="command")
    add_data_option(parser, "eth_ucy/")
    add_seed_option(parser, "of the draws")
    parser.add_argument("--k", type=positive_int, default=1)
    return parser


def test_the_environment_names_the_data_where_the_command_line_does_not(monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, "/there")

    assert parser().parse_args([]).data == Path("/there")
    assert parser().parse_args(["--data", "here"]).data == Path("here")


def test_without_either_the_data_is_asked_for(monkeypatch, capsys):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)

    with pytest.raises(SystemExit):
        parser().parse_args([])

    assert "--data" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--k", "0"], ["--seed", "one"]])
def test_a_number_out_of_range_is_refused(arguments, monkeypatch, capsys):
    monkeypatch.setenv(DATA_VARIABLE, "/there")

    with pytest.raises(SystemExit):
        parser().parse_args(arguments)

    assert arguments[0] in capsys.readouterr().err


def test_the_former_name_of_an_option_is_accepted_and_named(capsys):
    command = argparse.ArgumentParser(prog="command")
    command.add_argument("--fixed-frame", default="odom")
    add_old_name(command, "--frame", "--fixed-frame")

    assert command.parse_args([]).fixed_frame == "odom"
    assert capsys.readouterr().err == ""
    assert command.parse_args(["--frame", "map"]).fixed_frame == "map"
    assert "command: --frame is called --fixed-frame now" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate_bag", "train_model"])
def test_options_of_recordings_have_one_name(command, tmp_path):
    if command == "train_model":
        pytest.importorskip("torch", reason="torch comes with `make test-training`")
    bags = ["--bags"] if command == "train_model" else []
    options = import_module(f"social_implicit_ros.commands.{command}").parse(
        [
            *(*bags, "x.csv", "--out", str(tmp_path), "--tracks", "/t", "--tracker", "people"),
            *("--fixed-frame", "map", "--frames-per-second", "15", "--columns", "a,b,c,d"),
        ]
    )

    assert (options.tracks, options.tracker, options.fixed_frame) == ("/t", "people", "map")
    assert text_format(options) == TextFormat(15.0, False, ("a", "b", "c", "d"))


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


@pytest.mark.parametrize("rate_hz", [float("nan"), 0.0, -1.0, 1e-300, 1e300])
def test_a_frame_rate_out_of_bounds_is_refused(rate_hz: float) -> None:
    with pytest.raises(RecordingError, match=r"expected 0\.001 to 100000"):
        TextFormat(frames_per_second=rate_hz)
