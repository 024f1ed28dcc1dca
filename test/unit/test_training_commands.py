import inspect
import sys

import pytest

from social_implicit_ros.training import commands
from social_implicit_ros.tuning.commands import train_model

COMMANDS = [
    function
    for name, function in inspect.getmembers(commands, inspect.isfunction)
    if name != "run" and function.__module__ == commands.__name__
] + [train_model]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_a_command_without_torch_says_how_to_install_it(command, monkeypatch, capsys):
    folders = ("social_implicit_ros.training.", "social_implicit_ros.tuning.")
    for name in [name for name in sys.modules if name.startswith(folders)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)

    code = command()

    message = capsys.readouterr().err
    assert code == 2
    assert f"{command.__name__} needs torch" in message
    assert "pip install torch onnx" in message
