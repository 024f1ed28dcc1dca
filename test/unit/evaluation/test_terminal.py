"""Progress of an evaluation, on a terminal and in a log."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from support.bags import people_messages, walkers, write_bag

from social_implicit_ros.commands import evaluate_bag
from social_implicit_ros.evaluation.terminal import progress_bar


def shown(file: io.StringIO) -> str:
    """Text of the last drawing."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    return plain.rsplit("\r", 1)[-1].strip()


def test_a_terminal_shows_the_progress_and_clears_it_at_the_end() -> None:
    file = io.StringIO()
    with progress_bar(Console(file=file, force_terminal=True, width=100)) as progress:
        task = progress.add_task("hall", start=False)
        progress.update(task, total=6000)
        progress.start_task(task)
        progress.update(task, completed=3000)
        progress.refresh()
        assert shown(file).startswith("hall") and "50%" in shown(file)
        progress.remove_task(task)
    assert shown(file) == ""


def test_without_a_terminal_nothing_is_written() -> None:
    file = io.StringIO()
    with progress_bar(Console(file=file)) as progress:
        task = progress.add_task("hall", total=10)
        for n_messages in range(10):
            progress.update(task, completed=n_messages)
            progress.refresh()
    assert file.getvalue() == ""


@pytest.fixture(
    params=[
        pytest.param(1, id="one process"),
        pytest.param(2, id="two processes", marks=pytest.mark.slow),
    ]
)
def command(tmp_path: Path, request: pytest.FixtureRequest) -> list[str]:
    """Arguments of `evaluate_bag`: one recording, or two in parallel."""
    bags = [
        str(write_bag(tmp_path / f"hall_{index}", people_messages(walkers(duration_s=9.0))))
        for index in range(request.param)
    ]
    options = ["--model", "constant_velocity", "--moments", "0", "--jobs", "2"]
    return [*bags, "--out", str(tmp_path / "out"), *options]


def test_a_log_gets_a_few_plain_lines(
    command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_bag.main(command) == 0
    out, err = capfd.readouterr()

    lines = err.splitlines()
    assert len(lines) <= 3 and "s of recordings in" in err
    assert "\x1b" not in err + out
    assert "%" not in err and "" not in lines


@pytest.mark.slow
def test_a_terminal_gets_a_bar(command: list[str]) -> None:
    mine, its = pty.openpty()
    module = [sys.executable, "-m", "social_implicit_ros.commands.evaluate_bag"]
    with subprocess.Popen([*module, *command], stdout=subprocess.DEVNULL, stderr=its) as process:
        os.close(its)
        drawn = b""
        while True:
            try:
                piece = os.read(mine, 4096)
            except OSError:
                # The process has closed its end.
                break
            drawn += piece
        os.close(mine)

    assert process.returncode == 0
    assert b"hall_0" in drawn or b"2 recordings" in drawn
    assert "━".encode() in drawn and b"%" in drawn
    assert b"s of recordings in" in drawn
