"""Entry points of all commands, and how commands end.

A command returns 2 for an invalid request, as argparse does, and for a required library that is
missing: it prints how to install it.
"""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial, wraps
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from social_implicit_ros.ros.processes.signals import catch_stop_signals
from social_implicit_ros.untrusted_files import error_text, printable_text

#: pyarrow 26 needs numpy 2, which its metadata does not state.
_PYARROW = "pyarrow" if version("numpy") >= "2" else "pyarrow<26"
#: Requirements of a report.
_REPORT = ("plotly", _PYARROW)
#: Requirements of training.
_TRAINING = ("torch", "onnx")
#: Exit codes of every command: an invalid request, and Ctrl-C.
INVALID, INTERRUPTED = 2, 130

_Main = Callable[[Sequence[str] | None], int | None]


def reports_errors(
    command: str, *, interrupted: str = "interrupted"
) -> Callable[[_Main], Callable[..., int]]:
    """Makes a `main` print an error in one line, and return an exit code in any case."""

    def decorate(main: _Main) -> Callable[..., int]:
        @wraps(main)
        def run(arguments: Sequence[str] | None = None) -> int:
            try:
                return main(arguments) or 0
            except (ValueError, FloatingPointError, OSError, MemoryError) as error:
                text = printable_text(error_text(error)) or "not enough memory"
                print(f"{command}: {text}", file=sys.stderr)
                return INVALID
            except KeyboardInterrupt:
                print(f"{command}: {interrupted}", file=sys.stderr)
                return INTERRUPTED

        return run

    return decorate


def _run(command: str, *requirements: str) -> int:
    """Runs a command, "module.function", if pip's requirements are met; returns the exit code.

    The options are shown without them.
    """
    name, (module, function) = Path(sys.argv[0]).name, command.split(".")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    missing = _missing(requirements) if {"-h", "--help"}.isdisjoint(sys.argv[1:]) else {}
    if missing:
        print(
            f"{name} needs {', '.join(f'{each} ({state})' for each, state in missing.items())}; "
            f"to install: {sys.executable} -m pip install {shlex.join(missing)}",
            file=sys.stderr,
        )
        return INVALID
    try:
        run: Callable[[], int] = getattr(import_module(f"{__package__}.{module}"), function)
    except KeyboardInterrupt:  # importing libraries takes seconds
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return run()


def _missing(requirements: Sequence[str]) -> dict[str, str]:
    """Requirement that is not met -> what is installed instead."""
    # Imported here because _run_node catches signals first.
    from packaging.requirements import Requirement

    missing = {}
    for requirement in map(Requirement, requirements):
        try:
            have = version(requirement.name)
        except PackageNotFoundError:
            missing[str(requirement)] = "missing"
        else:
            if not requirement.specifier.contains(have, prereleases=True):
                missing[str(requirement)] = f"installed: {have}"
    return missing


def _run_node(command: str) -> int:
    """As `_run_with_ros`, for a command that a signal ends with exit code 0."""
    # A signal during the imports, which take half a second, would print a traceback.
    catch_stop_signals()
    return _run_with_ros(command)


def _run_with_ros(command: str, *requirements: str) -> int:
    """As `_run`, for a command that needs ROS 2."""
    try:
        import rclpy  # noqa: F401
    except ModuleNotFoundError as error:
        print(
            f"{Path(sys.argv[0]).name} needs ROS 2, but Python cannot import {error.name}: "
            "source /opt/ros/$ROS_DISTRO/setup.bash, or install ROS 2 (docs/installation.md). "
            "evaluate_bag and evaluate_dataset work without it.",
            file=sys.stderr,
        )
        return INVALID
    return _run(command, *requirements)


tracks_to_bag = partial(_run, "tracks_to_bag.main")
evaluate_dataset = partial(_run, "benchmark.evaluate_dataset")
evaluate_calibration = partial(_run, "evaluate_calibration.main")
metric_sensitivity = partial(_run, "benchmark.metric_sensitivity")
metric_demo = partial(_run, "metric_demo.main")
make_card = partial(_run, "own_models.make_card")
evaluate_bag = partial(_run, "evaluate_bag.main", *_REPORT)
evaluate_navigation = partial(_run, "evaluate_navigation.main", *_REPORT)
predictor_node = partial(_run_node, "predictor_node.main")
replay_tracks = partial(_run_node, "replay_tracks.main")
social_implicit_demo = partial(_run_with_ros, "social_implicit_demo.main", *_REPORT)
import_checkpoint = partial(_run, "own_models.import_checkpoint", *_TRAINING)
train_benchmark = partial(_run, "train_shipped.train_benchmark", *_TRAINING)
train_social_zone = partial(_run, "train_shipped.train_social_zone", *_TRAINING)
train_model = partial(_run, "train_model.main", *_TRAINING)
