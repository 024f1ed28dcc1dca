"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from social_implicit_ros.commands.options import (
    DATA_VARIABLE,
    add_data_option,
    add_seed_option,
    positive_int,
)


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
