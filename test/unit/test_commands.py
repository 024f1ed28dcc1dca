"""How commands end: with missing or outdated libraries, after invalid requests, with errors."""

import os
import signal
import subprocess
import sys
from importlib import metadata, resources

import pytest
from support.imports import commands

from social_implicit_ros.commands import entry_points
from social_implicit_ros.commands.entry_points import evaluate_bag, social_implicit_demo

TRAINING = ["import_checkpoint", "train_benchmark", "train_model", "train_social_zone"]


@pytest.fixture
def installed(monkeypatch):
    """Versions that a test sets by name; other libraries have their installed versions."""
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


@pytest.mark.parametrize("command", TRAINING)
def test_training_without_torch_prints_how_to_install_it(command, installed, capsys):
    installed.update(torch=None, onnx=None)

    assert getattr(entry_points, command)() == 2

    message = capsys.readouterr().err
    assert message.startswith("the_command needs torch (missing), onnx (missing)")
    assert f"{sys.executable} -m pip install torch onnx" in message


@pytest.mark.parametrize("command", TRAINING)
def test_the_options_of_training_are_shown_without_torch(command, installed, monkeypatch, capsys):
    installed.update(torch=None, onnx=None)
    monkeypatch.setattr(sys, "argv", ["the_command", "--help"])
    for name in ("torch", "onnx"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(SystemExit) as end:
        getattr(entry_points, command)()

    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")


@pytest.mark.parametrize("command", [evaluate_bag, social_implicit_demo])
def test_a_report_without_its_libraries_prints_how_to_install_them(command, installed, capsys):
    if command is social_implicit_demo:
        pytest.importorskip("rclpy", reason="needs ROS 2")
    installed.update(plotly=None, pyarrow=None)

    assert command() == 2

    message = capsys.readouterr().err
    assert "plotly (missing)" in message and "pyarrow" in message
    assert "-m pip install plotly" in message


def test_a_library_that_is_too_old_is_named_with_its_version(installed, capsys):
    installed.update(plotly="0.17.0")

    assert entry_points._run("evaluate_bag.main", "plotly>=1.4") == 2

    message = capsys.readouterr().err
    assert "plotly>=1.4 (installed: 0.17.0)" in message
    assert "pip install 'plotly>=1.4'" in message


def test_with_all_its_libraries_a_command_runs_and_returns_its_code(installed, monkeypatch):
    installed.update(plotly="6.0rc1", pyarrow="25.0")
    monkeypatch.setattr("social_implicit_ros.commands.evaluate_bag.main", lambda: 7)

    assert evaluate_bag() == 7


#: Command -> requests that argparse accepts, but that name a wrong file or value.
INVALID_REQUESTS = {
    "predictor_node": ["--ros-args -p", "--ros-args --params-file gone.yaml"],
    "replay_tracks": ["gone.mcap", "{text} --rate 0", "{text} --tracker nobodys"],
    "social_implicit_demo": ["--model nobodys", "--out {text}"],
    "tracks_to_bag": ["gone.txt --out bag", "{text} --out {text}", "{text} --out bag --topic a-b"],
    "evaluate_bag": [
        *("gone.mcap --out out", "{text} --out out --model nobodys"),
        *("{text} --out out --columns a", "{text} --out out --tick-rate nan"),
    ],
    "evaluate_navigation": ["gone.mcap --out out", "{text} --out out --model nobodys"],
    "evaluate_dataset": ["--data gone", "--data {data} --model nobodys"],
    "evaluate_calibration": ["gone.mcap", "{text} --model nobodys", "--data gone"],
    "metric_sensitivity": ["--data gone", "--data {data} --model nobodys"],
    "metric_demo": ["--out {data}"],
    "import_checkpoint": [
        *("gone.pth --out a.onnx", "{text} --out a.onnx"),
        "{text} --out a.onnx --noise-weights 1 nan 1 1",
    ],
    "make_card": ["gone.onnx --step-s 0.4", "{text} --step-s 0.4"],
    "train_benchmark": ["--data gone --out out", "--data {data} --out {text}"],
    "train_social_zone": ["--data gone --out out", "--data {data} --ablation nothing"],
    "train_model": [
        *("--bags gone.mcap --out out", "--bags {text} --out out --model nobodys"),
        "--bags {text} --out out --name " + "x" * 201,
    ],
}
NEEDED = {
    **dict.fromkeys(("predictor_node", "replay_tracks", "social_implicit_demo"), "rclpy"),
    **dict.fromkeys(TRAINING, "torch"),
}


def test_each_command_is_tested_with_invalid_requests():
    assert set(INVALID_REQUESTS) == commands()


@pytest.mark.parametrize(
    ("command", "request_text"),
    [(command, text) for command, texts in INVALID_REQUESTS.items() for text in texts],
)
def test_an_invalid_request_is_named_in_one_line_with_exit_code_2(
    command, request_text, tmp_path, monkeypatch, capfd
):
    if command in NEEDED:
        pytest.importorskip(NEEDED[command])
    text = tmp_path / "walk.txt"
    text.write_text("".join(f"{frame} 1 {frame / 10} 0\n" for frame in range(0, 300, 10)))
    arguments = request_text.format(text=text, data=tmp_path).split()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [command, *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # of the tests
    monkeypatch.delenv("SOCIAL_IMPLICIT_DATA", raising=False)

    try:
        code = getattr(entry_points, command)()
    except SystemExit as end:  # of argparse
        code = end.code

    said = capfd.readouterr().err
    assert code == 2, said
    assert f"{command}: " in said.splitlines()[-1] and "Traceback" not in said


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ValueError("no such\x1b[2J thing"), 2, "no such\\x1b[2J thing"),
        (MemoryError(), 2, "not enough memory"),
        (MemoryError("Unable to allocate 36 GiB"), 2, "Unable to allocate 36 GiB"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error, code, text, capsys):
    @entry_points.reports_errors("the_command")
    def main(arguments):
        raise error

    assert main([]) == code
    assert capsys.readouterr().err == f"the_command: {text}\n"


def test_every_module_that_runs_exits_with_the_code_of_its_main():
    """Otherwise `python -m` exits with 0 even after an error."""
    folder = resources.files("social_implicit_ros.commands")
    sources = {file.name: file.read_text() for file in folder.iterdir() if file.name[-3:] == ".py"}
    run = {name for name, source in sources.items() if 'if __name__ == "__main__"' in source}
    ends = {name for name in run if sources[name].endswith("\n    sys.exit(main())\n")}
    assert len(run) > 5 and run == ends


@pytest.mark.parametrize("command", ["predictor_node", "replay_tracks", "social_implicit_demo"])
def test_a_command_that_needs_ros_says_so_without_it(command):
    program = (
        "import sys\n"
        "sys.modules['rclpy'] = None\n"  # as if it were not installed
        "from social_implicit_ros.commands import entry_points\n"
        f"sys.exit(entry_points.{command}())\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert "needs ROS 2" in ended.stderr and "docs/installation.md" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "library", "end"),
    [
        ("predictor_node", "rclpy", (0, "")),
        ("replay_tracks", "rclpy", (0, "")),
        ("tracks_to_bag", "rosbags", (130, "tracks_to_bag: interrupted\n")),
    ],
)
def test_a_signal_during_the_imports_ends_without_a_traceback(command, library, end):
    pytest.importorskip(library, reason="needs ROS 2")
    program = (
        "import os, signal, sys\n"
        "from importlib import abc\n"
        "from social_implicit_ros.commands import entry_points\n"
        "class Interrupting(abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == '{library}':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        f"sys.argv = ['{command}', *sys.argv[1:]]\n"
        f"sys.exit(entry_points.{command}())\n"
    )
    crowd = resources.files("social_implicit_ros.recordings") / "crowd"
    file = [str(crowd)] if command == "replay_tracks" else []
    ended = subprocess.run(
        [sys.executable, "-c", program, *file], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == end


def test_no_libraries_are_imported_before_they_are_needed():
    """Neither by the check, nor those of the work before the options are read."""
    commands = ["evaluate_bag", "evaluate_navigation", *TRAINING]
    program = (
        "import contextlib, io, sys\n"
        "from social_implicit_ros.commands import entry_points\n"
        "print({'torch', 'plotly', 'pyarrow', 'rclpy', 'rosbags'} & set(sys.modules))\n"
        "sys.argv[1:] = ['--help']\n"
        f"for command in {commands}:\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        getattr(entry_points, command)()\n"
        "print({'torch', 'scipy', 'matplotlib'} & set(sys.modules))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "set()\nset()\n"), ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")
def test_products_of_matrices_use_one_thread():
    program = (
        "import social_implicit_ros.commands.entry_points\n"
        "import os, numpy as np\n"
        "np.ones((1024, 1024)) @ np.ones((1024, 1024))\n"
        "print(len(os.listdir('/proc/self/task')))\n"
    )
    environ = {name: value for name, value in os.environ.items() if "_NUM_THREADS" not in name}
    process = [sys.executable, "-c", program]
    found = subprocess.run(process, env=environ, capture_output=True, text=True, check=True)
    assert found.stdout == "1\n"


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "euc_jp", "latin-1"])
def test_characters_that_a_terminal_lacks_are_replaced(encoding):
    program = (
        "import sys, types\n"
        "from social_implicit_ros.commands import entry_points\n"
        "main = lambda: print('area m\u00b2, \u4f60 \u3042 \U0001f6b6')\n"
        "sys.modules['social_implicit_ros.commands.any'] = types.SimpleNamespace(main=main)\n"
        "entry_points._run('any.main')\n"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment, check=False
    )

    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
    assert ended.stdout.startswith(b"area m")
