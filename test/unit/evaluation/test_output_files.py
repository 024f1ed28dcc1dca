"""Output files: JSON without NaN, and files that are replaced only when they are complete."""

from __future__ import annotations

import json
import os
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from social_implicit_ros.commands.options import output_file
from social_implicit_ros.evaluation.output_files import write_json, written_beside


def test_json_contains_null_for_metrics_that_are_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_json({"models": {"m": {"nll": float("inf"), "kde": float("nan"), "ade": 0.5}}}, path)
    assert json.loads(path.read_text())["models"]["m"] == {"nll": None, "kde": None, "ade": 0.5}


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_json({"run": 1}, path)

    def fails() -> None:
        with written_beside(path) as file:
            file.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fails()
    assert json.loads(path.read_text()) == {"run": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    file = tmp_path / "no_folder" / "results.json"
    with pytest.raises(FileNotFoundError) as error:
        write_json({}, file)
    assert error.value.filename == str(file)


def test_a_folder_in_which_no_file_can_be_created_is_refused_at_once() -> None:
    """Its permissions alone do not show it."""
    with pytest.raises(ArgumentTypeError, match="cannot write to the folder"):
        output_file("/proc/results.json")


def test_a_pipe_is_written_to() -> None:
    """As `--json /dev/stdout`, or `--json >(jq .)`."""
    receiver, sender = os.pipe()
    write_json({"run": 1}, output_file(f"/dev/fd/{sender}"))
    os.close(sender)
    with os.fdopen(receiver) as received:
        assert json.load(received) == {"run": 1}


def test_a_symbolic_link_is_kept(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    target, link = tmp_path / "results" / "figures.json", tmp_path / "newest.json"
    link.symlink_to(target)
    for run in (1, 2):
        write_json({"run": run}, link)
        assert link.is_symlink() and json.loads(target.read_text()) == {"run": run}
