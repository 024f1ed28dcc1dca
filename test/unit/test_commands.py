"""Commands whose libraries are missing or too old print how to install them and exit."""

import subprocess
import sys
from importlib import metadata

import pytest

from social_implicit_ros.commands import entry_points
from social_implicit_ros.commands.entry_points import evaluate_bag, social_implicit_demo

TRAINING = [
    entry_points.import_checkpoint,
    entry_points.train_benchmark,
    entry_points.train_model,
    entry_points.train_social_zone,
]


@pytest.fixture
def installed(monkeypatch):
    """Versions by name as a test sets them, else the installed ones."""
    versions = {}
    real_version = metadata.version

    def version(name):
        found = versions.get(name, "")
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found or real_version(name)

    monkeypatch.setattr("social_implicit_ros.commands.entry_points.version", version)
    monkeypatch.setattr(sys, "argv", ["/opt/bin/the_command"])
    return versions


@pytest.mark.parametrize("command", TRAINING, ids=lambda command: command.args[0])
def test_training_without_torch_prints_how_to_install_it(command, installed, capsys):
    installed.update(torch=None, onnx=None)

    assert command() == 2

    message = capsys.readouterr().err
    assert message.startswith("the_command needs torch (missing), onnx (missing)")
    assert f"{sys.executable} -m pip install torch onnx" in message


@pytest.mark.parametrize("command", [evaluate_bag, social_implicit_demo])
def test_a_report_without_its_libraries_is_not_started(command, installed, capsys):
    installed.update(plotly=None, pyarrow=None)

    assert command() == 2

    message = capsys.readouterr().err
    assert "plotly (missing)" in message and "pyarrow" in message
    assert "-m pip install plotly" in message


def test_a_library_that_is_too_old_is_named_with_its_version(installed, capsys):
    installed.update(joblib="0.17.0")  # that of ROS Humble

    assert evaluate_bag() == 2

    message = capsys.readouterr().err
    assert "joblib>=1.4 (installed: 0.17.0)" in message
    assert "pip install 'joblib>=1.4'" in message


def test_with_all_its_libraries_a_command_runs_and_returns_its_code(installed, monkeypatch):
    installed.update(joblib="1.5.0rc1", plotly="6.0", pyarrow="25.0")
    monkeypatch.setattr("social_implicit_ros.commands.evaluate_bag.main", lambda: 7)

    assert evaluate_bag() == 7


def test_the_check_imports_none_of_the_libraries():
    program = (
        "import sys\n"
        "from social_implicit_ros.commands import entry_points\n"
        "print({'torch', 'plotly', 'pyarrow', 'rclpy', 'rosbags'} & set(sys.modules))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "set()\n"), ended.stderr
