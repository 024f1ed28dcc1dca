"""Commands, files and links in the documents exist."""

import io
import re
import signal
import sys
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
from support.imports import commands

from social_implicit_ros.commands import entry_points

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "social_implicit_ros"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=lambda path: str(path))
by_name = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)

MAKE = re.compile(r"\bmake ((?:[a-z-]+=\S+ )*)([a-z][a-z-]*)")
LAUNCH = re.compile(r"\bros2 launch social_implicit_ros (\S+)")
RUN = re.compile(r"\b(?:ros2 run social_implicit_ros |\.venv/bin/)(\w+)")
LINK = re.compile(r"\]\(([^)#]+?)(?:#[^)]*)?\)")
CODE = re.compile(r"`([^`\n]+)`")
#: A path in backticks: with a folder and a suffix, without placeholders.
PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)+\.(?:py|yaml|md|rviz|txt|xml|rst|json)")
#: Folders that a command creates or the reader has.
CREATED = ("demo_output/", "DATA/", "DIR/", "build/", "install/", "OpenTraj/")


def code_of(text: str) -> list[str]:
    """Lines of code, fenced or indented, and inline code."""
    lines, fenced = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(line)
        else:
            lines.extend(CODE.findall(line))
    return lines


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@by_name
def test_every_make_target_exists(document):
    named = {match[2] for code in code_of(document.read_text()) for match in MAKE.finditer(code)}

    assert named <= make_targets()


@by_name
def test_every_launch_file_exists(document):
    named = {name for code in code_of(document.read_text()) for name in LAUNCH.findall(code)}

    assert {name for name in named if not (ROOT / "launch" / name).is_file()} == set()


@by_name
def test_every_command_of_the_package_exists(document):
    named = {name for code in code_of(document.read_text()) for name in RUN.findall(code)}

    assert named - {"python", "pytest", "colcon"} <= commands()


@cache
def help_of(command: str) -> str:
    module = {"train": "torch", "import": "torch", "replay": "rclpy", "social": "rclpy"}
    if needed := module.get(command.split("_")[0]):
        pytest.importorskip(needed)
    output = io.StringIO()
    with (
        redirect_stdout(output),
        pytest.raises(SystemExit),
        patch.object(sys, "argv", [command, "--help"]),
        patch.object(signal, "signal"),  # of the tests
    ):
        getattr(entry_points, command)()
    return output.getvalue()


@by_name
def test_every_option_of_a_command_exists(document):
    names = "|".join(commands() - {"predictor_node"})
    for line in code_of(document.read_text().replace("\\\n", " ")):
        for command, given in re.findall(rf"(?:^|[\s/])({names})\b(?!\.)([^#]*)", line):
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]+", given):
                assert re.search(rf"{option}\b(?!-)", help_of(command)), (command, option)


@by_name
def test_every_linked_file_exists(document):
    links = [link for link in LINK.findall(document.read_text()) if "://" not in link]

    assert [link for link in links if not (document.parent / link).exists()] == []


@by_name
def test_every_named_file_exists(document):
    named = {
        path
        for code in code_of(document.read_text())
        for path in PATH.findall(code)
        if not path.startswith(CREATED) and "*" not in code
    }

    missing = {
        path for path in named if not (ROOT / path).exists() and not (PACKAGE / path).exists()
    }
    assert missing == set()


def test_the_readme_names_the_two_commands():
    code = "\n".join(code_of((ROOT / "README.md").read_text()))

    assert "make demo" in code
    assert "make test" in code
