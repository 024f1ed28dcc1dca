"""The adaptive calibration of one node, and its file."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path

from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration, Learnt
from social_implicit_ros.uncertainty.storage import (
    AdaptedModel,
    CalibrationFileError,
    load_learnt,
    save_learnt,
)
from social_implicit_ros.untrusted_files import short_text

#: Robots are switched off without a signal: what was learnt is written so often, seconds.
SAVE_PERIOD_S = 60.0
_FOLDER = "social_implicit_ros"
#: Files that cannot be used are kept, up to so many: a disk is not filled.
_MOST_SET_ASIDE = 10


def calibration_path(given: str, node: str, model: str, environ: Mapping[str, str]) -> Path:
    """Where to keep what was learnt.

    Args:
        given: the parameter `calibration_file`; empty for a file in ROS's own folder.
        node: the node's fully qualified name.
        model: the model's name.
        environ: of the process; ROS_HOME names ROS's folder, else it is ~/.ros.

    Raises:
        ValueError: it is a folder, a pipe or a device, or begins with ~ where there is no home.
    """
    home = environ.get("ROS_HOME") or "~/.ros"
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{node.strip('/')}_{model}")
    path = Path(given) if given else Path(home) / _FOLDER / f"{name}.json"
    try:
        path = path.expanduser()
    except RuntimeError as error:  # no such user, or HOME is not set
        raise ValueError(f"calibration_file {path}: {error}; give an absolute path") from error
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


class CalibrationKeeper:
    """Loads, saves and resets; what goes wrong with the file is told, and never raised."""

    def __init__(self, path: Path, model: AdaptedModel) -> None:
        """Starts without calibration and without reading the file."""
        self.adaptive = AdaptiveCalibration(model.n_steps)
        self._path, self._model = path, model
        self._saved = self.adaptive.learnt
        self._tried_s: float | None = None
        self._problem = ""

    @property
    def state(self) -> str:
        """The path of the file, or what is wrong with it."""
        return self._problem or str(self._path)

    def load(self) -> str:
        """Takes what the file holds; returns why it cannot be used, or nothing.

        A file that cannot be used is moved aside, in case it is somebody else's.
        """
        try:
            self._saved = load_learnt(self._path, self._model)
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{self._path} cannot be read: {error.strerror}; ellipses are learnt anew"
        except CalibrationFileError as error:
            # A folder or a device stays where it is.
            return f"{error}{self._set_aside() if self._path.is_file() else ''}"
        self.adaptive.restore(self._saved)
        return ""

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to save, at a steady time in seconds."""
        if self._tried_s is None:
            self._tried_s = now_s
        return now_s - self._tried_s >= SAVE_PERIOD_S

    def save(self, now_s: float) -> str:
        """Writes what is new; returns what went wrong, once for each thing that does."""
        self._tried_s = now_s
        learnt = self.adaptive.learnt
        if learnt is self._saved:
            return ""
        before, self._problem = self._problem, ""
        try:
            save_learnt(self._path, learnt, self._model)
        except (OSError, ValueError) as error:
            self._problem = (
                f"what ellipses have learnt is not kept for the next start: {self._path}: "
                f"{getattr(error, 'strerror', None) or error}; make room, make it writable, "
                "or set calibration_file"
            )
            return "" if self._problem == before else self._problem
        self._saved = learnt
        return ""

    def reset(self) -> str:
        """Forgets all and removes the file; returns why that cannot be removed, or nothing."""
        self.adaptive.restore(Learnt.nothing(self.adaptive.n_steps))
        self._saved = self.adaptive.learnt
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            return f"forgotten, but {self._path} cannot be removed: {error.strerror}"
        return ""

    def _set_aside(self) -> str:
        names = (f"{self._path.name}.refused{n or ''}" for n in range(_MOST_SET_ASIDE))
        places = [self._path.with_name(name) for name in names]
        # Who goes back to an earlier model wants what was learnt with that.
        aside = next((place for place in places if not place.exists()), places[-1])
        try:
            self._path.replace(aside)
        except OSError:
            return ""
        return f" (moved to {aside})"
