"""The adaptive calibration of one node, and its file."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from rclpy.impl.rcutils_logger import RcutilsLogger

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration, Learnt
from social_implicit_ros.uncertainty.storage import (
    AdaptedModel,
    CalibrationFileError,
    load_learnt,
    save_learnt,
)
from social_implicit_ros.untrusted_files import UnusableFileError, short_text, user_path

#: Save period, seconds: robots are often switched off without a shutdown signal.
SAVE_PERIOD_S = 60.0
_FOLDER = "social_implicit_ros"
#: Maximum number of `.refused` files that are kept, so that they do not fill the disk.
_MAX_REFUSED = 10


def calibration_path(given: str, node: str, model: str, environ: Mapping[str, str]) -> Path | None:
    """Path of the file of an adaptive calibration; None if there is no home folder.

    Args:
        given: the parameter `calibration_file`; empty for a file in ROS_HOME.
        node: the node's fully qualified name.
        model: the model's name.
        environ: environment variables; ROS_HOME defaults to ~/.ros.

    Raises:
        ValueError: the path is a folder, a pipe or a device, or begins with ~ without a home.
    """
    if not given and not environ.get("ROS_HOME") and not _has_home():
        return None
    home = environ.get("ROS_HOME") or "~/.ros"
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{node.strip('/')}_{model}")
    path = Path(given) if given else Path(home) / _FOLDER / f"{name}.json"
    try:
        path = user_path(path)
    except UnusableFileError as error:
        raise ValueError(f"calibration_file {error}") from error
    try:
        is_usable = bool(path.name) and stat.S_ISREG(path.stat().st_mode)
    except OSError:  # does not exist yet, or cannot be read, which `load` reports
        is_usable = True
    if not is_usable:
        raise ValueError(
            f"calibration_file is {short_text(str(path))}, which is a folder, a pipe or a device: "
            "give the path of a regular file, such as ~/calibration.json"
        )
    return path


def _has_home() -> bool:
    """False for a user without HOME and without an entry in passwd, as in some containers."""
    try:
        Path.home()
    except RuntimeError:
        return False
    return True


class CalibrationKeeper:
    """Loads, saves and resets an adaptive calibration; file errors are returned, never raised."""

    def __init__(self, path: Path | None, model: AdaptedModel, not_kept: str = "") -> None:
        """Starts without calibration and without reading the file.

        Args:
            path: path of the file; None saves nothing for the next start.
            model: the model whose ellipses are rescaled.
            not_kept: the reason if `path` is None.
        """
        self.adaptive = AdaptiveCalibration(model.n_steps)
        self._path, self._model = path, model
        self._saved = self.adaptive.learnt
        self._attempted_s: float | None = None
        self._problem = not_kept

    @property
    def state(self) -> str:
        """The path of the file, or the reason why the calibration is not saved."""
        return self._problem or str(self._path)

    def load(self) -> str:
        """Loads the file; returns the reason why it cannot be used, or an empty text.

        An invalid file is renamed to `.refused`: it may belong to another program.
        """
        if self._path is None:
            return ""
        try:
            self._saved = load_learnt(self._path, self._model)
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{self._path} cannot be read: {error.strerror}; the calibration starts again"
        except CalibrationFileError as error:
            # A folder or a device stays where it is.
            return f"{error}{_rename_refused(self._path) if self._path.is_file() else ''}"
        self.adaptive.restore(self._saved)
        return ""

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to save, at a monotonic time in seconds."""
        if self._attempted_s is None:
            self._attempted_s = now_s
        return now_s - self._attempted_s >= SAVE_PERIOD_S

    def save(self, now_s: float) -> str:
        """Saves a changed state; returns a new error once, else an empty text."""
        self._attempted_s = now_s
        learnt = self.adaptive.learnt
        if self._path is None or learnt is self._saved:
            return ""
        before, self._problem = self._problem, ""
        try:
            save_learnt(self._path, learnt, self._model)
        except (OSError, ValueError) as error:
            self._problem = (
                f"the adaptive calibration is not saved for the next start: {self._path}: "
                f"{getattr(error, 'strerror', None) or error}; free space, make it writable, "
                "or set calibration_file"
            )
            return "" if self._problem == before else self._problem
        self._saved = learnt
        return ""

    def reset(self) -> str:
        """Resets the state and removes the file; returns the reason of a failure, or ''."""
        self.adaptive.restore(Learnt.nothing(self.adaptive.n_steps))
        self._saved = self.adaptive.learnt
        if self._path is None:
            return ""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            return f"the state is reset, but {self._path} cannot be removed: {error.strerror}"
        return ""


def _rename_refused(path: Path) -> str:
    candidates = [path.with_name(f"{path.name}.refused{n or ''}") for n in range(_MAX_REFUSED)]
    # Earlier refused files stay: one may belong to a model that will be used again.
    renamed = next((each for each in candidates if not each.exists()), candidates[-1])
    try:
        path.replace(renamed)
    except OSError:
        return ""
    return f" (moved to {renamed})"


def open_calibration(
    config: NodeConfig,
    model: TrajectoryModel,
    node: str,
    logger: RcutilsLogger,
    *,
    uses_sim_time: bool,
) -> CalibrationKeeper | None:
    """Creates the adaptive calibration, restores what an earlier run saved, and logs the result.

    Returns None if the parameter `adaptive_calibration` is false.

    Args:
        config: the parameters.
        model: the model whose ellipses are adapted.
        node: fully qualified name of the node.
        logger: the node's logger.
        uses_sim_time: whether time is simulated. What the node learns from a replay or a
            simulation is not saved for the robot, unless `calibration_file` is set.
    """
    if not config.adaptive_calibration:
        return None
    # Imports onnxruntime, see `session`.
    from social_implicit_ros.models.registry import fingerprint_of

    path, reason = None, "not kept, as use_sim_time is true: set calibration_file to keep it"
    if config.calibration_file or not uses_sim_time:
        path = calibration_path(config.calibration_file, node, model.name, os.environ)
        reason = "" if path else "not kept, as there is no home folder: set calibration_file"
    adapted = AdaptedModel(model.name, fingerprint_of(model), model.n_predicted)
    keeper = CalibrationKeeper(path, adapted, reason)
    problem = keeper.load()
    if path is None:
        logger.info(f"the learned calibration is {reason}")
    elif problem:
        logger.warning(problem)
    elif keeper.adaptive.learnt.seconds.any():
        logger.info(f"adaptive calibration of an earlier run restored from {path}")
    return keeper
