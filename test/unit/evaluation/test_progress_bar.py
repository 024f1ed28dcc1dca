"""What is shown while an evaluation runs, on a terminal and in a log."""

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

from social_implicit_ros.evaluation.progress_bar import progress_bar


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def shown(file: io.StringIO) -> str:
    """What was drawn last."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    return plain.rsplit("\r", 1)[-1].strip()


def test_it_tells_messages_per_second_and_the_time_left() -> None:
    file, clock = io.StringIO(), Clock()
    console = Console(file=file, force_terminal=True, width=100)
    with progress_bar(console, clock) as progress:
        task = progress.add_task("hall", start=False, messages=0)
        assert shown(file).startswith("hall") and "opening" in shown(file)
        progress.update(task, total=6000)
        progress.start_task(task)
        for n_messages in (1000, 2000, 3000):
            clock.now_s += 2.0
            progress.update(task, completed=n_messages, messages=n_messages)
        progress.refresh()
        assert "500 messages/s" in shown(file)
        # 3000 more, 500 a second.
        assert "0:00:06" in shown(file)
        progress.remove_task(task)
    assert shown(file) == ""


def test_where_no_terminal_is_nothing_is_drawn() -> None:
    file = io.StringIO()
    with progress_bar(Console(file=file)) as progress:
        task = progress.add_task("hall", total=10, messages=0)
        for n_messages in range(10):
            progress.update(task, completed=n_messages, messages=n_messages)
            progress.refresh()
    assert file.getvalue() == ""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    bag = write_bag(tmp_path / "hall", people_messages(walkers(duration_s=9.0)))
    module = "social_implicit_ros.commands.evaluate_bag"
    options = ["--model", "constant_velocity", "--moments", "0", "--jobs", "1"]
    return [sys.executable, "-m", module, str(bag), "--out", str(tmp_path / "out"), *options]


def test_a_log_gets_a_few_plain_lines(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=True)

    lines = ended.stderr.splitlines()
    assert len(lines) <= 3 and "9 s of recordings in" in ended.stderr
    assert "\x1b" not in ended.stderr + ended.stdout
    assert "messages/s" not in ended.stderr and "" not in lines


def test_a_terminal_gets_a_bar(command: list[str]) -> None:
    mine, its = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=its) as process:
        os.close(its)
        drawn = b""
        while True:
            try:
                piece = os.read(mine, 4096)
            except OSError:
                # It closed its end.
                break
            drawn += piece
        os.close(mine)

    assert process.returncode == 0
    assert b"hall" in drawn and b"opening" in drawn
    assert b"9 s of recordings in" in drawn
