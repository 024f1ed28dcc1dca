"""The environment that `make` creates works without sourcing anything."""

import os
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from link_into_prefix import HOOK

from social_implicit_ros.ros.processes.domains import reserve_domain

NAME = "social_implicit_ros"
PREFIX = Path(sys.prefix)
pytestmark = pytest.mark.skipif(
    not (PREFIX / "made_from.json").is_file(), reason="needs the environment that make creates"
)

COMMANDS = sorted(
    entry.name
    for entry in entry_points(group="console_scripts")
    if entry.value.split(".")[0] == NAME
)
TAKING_OPTIONS = [name for name in COMMANDS if name != "predictor_node"]
SHOW_OPTIONS = """
import sys
from importlib.metadata import entry_points

commands = entry_points(group="console_scripts")
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    try:
        code = commands[name].load()()
    except SystemExit as end:
        code = end.code
    assert code in (0, None, 2), (name, code)
"""


@pytest.fixture
def nothing_sourced(tmp_path):
    """The variables of a new shell, of a user with an empty home."""
    return {
        "HOME": str(tmp_path),
        "PATH": os.defpath,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(reserve_domain()),
    }


def test_every_command_is_in_bin_and_where_ros2_run_looks():
    for command in COMMANDS:
        assert (PREFIX / "bin" / command).is_file()
        assert (PREFIX / "lib" / NAME / command).resolve() == (PREFIX / "bin" / command).resolve()


@pytest.mark.slow
def test_every_command_shows_its_options(nothing_sourced):
    # One process for all commands, as separate ones would repeat the same slow imports.
    ended = subprocess.run(
        [sys.executable, "-c", SHOW_OPTIONS, *TAKING_OPTIONS],
        env=nothing_sourced,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert ended.returncode == 0, ended.stderr
    for name in TAKING_OPTIONS:
        assert f"usage: {name}" in ended.stdout, f"{name}: {ended.stderr}"


@pytest.mark.slow
def test_the_node_starts_and_stops(nothing_sourced):
    with subprocess.Popen(
        [PREFIX / "bin" / "predictor_node"],
        env={**nothing_sourced, "RCUTILS_LOGGING_USE_STDOUT": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as node:
        started = next((line for line in node.stdout if "predicting with" in line), "")
        node.send_signal(signal.SIGINT)
        node.communicate(timeout=60)

    assert started
    assert node.returncode == 0


@pytest.mark.parametrize("is_sourced", [True, False])
def test_the_checkout_comes_before_the_package_of_a_sourced_workspace(tmp_path, is_sourced):
    """A path in PYTHONPATH that is of no sourced workspace is on purpose."""
    prefix, checkout = tmp_path / "install", tmp_path / "checkout"
    (prefix / "share" / NAME).mkdir(parents=True)
    for folder in (prefix, checkout):
        (folder / NAME).mkdir(parents=True)
        (folder / NAME / "__init__.py").touch()
    hook = tmp_path / "hook.py"
    hook.write_text(HOOK.format(sourced={}, name=NAME, checkout=str(checkout)))
    program = (
        f"import sys; sys.path[:0] = sys.argv[1:]; import hook, {NAME} as p; print(p.__file__)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program, str(prefix), str(tmp_path)],
        env={"AMENT_PREFIX_PATH": str(prefix) if is_sourced else ""},
        check=True,
        capture_output=True,
        text=True,
    )

    assert Path(ended.stdout.strip()).parent == (checkout if is_sourced else prefix) / NAME


def test_the_package_is_in_the_index_of_ament(nothing_sourced):
    program = (
        "from ament_index_python import get_package_share_directory as share\n"
        f"print(share({NAME!r}))\nprint(share('sensor_msgs'))"
    )
    ours, theirs = subprocess.run(
        [sys.executable, "-c", program],
        env=nothing_sourced,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()

    assert (Path(ours) / "config" / "predictor.yaml").is_file()
    assert (Path(theirs) / "package.xml").is_file()
