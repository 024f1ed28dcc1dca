"""Entry points of the commands with optional dependencies.

Reports and training need libraries that a robot may lack or have in an older version. The command
then ends with the command that installs them, before it does anything.
"""

from __future__ import annotations

import shlex
import sys
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement

#: pyarrow 26 needs numpy 2, which its metadata does not state.
_PYARROW = "pyarrow" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "pyarrow<26"
#: Requirements of a report.
_REPORT = ("plotly", _PYARROW)
#: Requirements of training.
_TRAINING = ("torch", "onnx")


def _run(command: str, *requirements: str) -> int:
    """Runs the `main` of a command.

    Args:
        command: its name, which is the name of its module.
        requirements: as pip writes them, such as `joblib>=1.4`.

    Returns:
        The exit code; 2 if a library is missing or too old.
    """
    found = {requirement: _version(requirement) for requirement in requirements}
    missing = [
        requirement
        for requirement, have in found.items()
        if have is None or not Requirement(requirement).specifier.contains(have, prereleases=True)
    ]
    if not missing:
        code: int = import_module(f"{__package__}.{command}").main()
        return code
    listing = ", ".join(
        f"{name} ({f'installed: {found[name]}' if found[name] else 'missing'})" for name in missing
    )
    print(
        f"{Path(sys.argv[0]).name} needs {listing}: "
        f"{sys.executable} -m pip install {shlex.join(missing)}",
        file=sys.stderr,
    )
    return 2


def _version(requirement: str) -> str | None:
    try:
        return version(Requirement(requirement).name)
    except PackageNotFoundError:
        return None


#: Unordered results of parallel jobs need joblib 1.4; Humble and Jazzy have older versions.
evaluate_bag = partial(_run, "evaluate_bag", "joblib>=1.4", *_REPORT)
social_implicit_demo = partial(_run, "social_implicit_demo", *_REPORT)
import_checkpoint = partial(_run, "import_checkpoint", *_TRAINING)
train_benchmark = partial(_run, "train_benchmark", *_TRAINING)
train_social_zone = partial(_run, "train_social_zone", *_TRAINING)
train_model = partial(_run, "train_model", *_TRAINING)
