"""The command of this folder that needs what rosdep does not know, or knows in older versions."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.core.commands import run

#: pyarrow 26 wants numpy 2 and does not say so in its metadata.
_PYARROW = "pyarrow" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "pyarrow<26"
#: What a report needs.
REPORT_LIBRARIES = ("plotly", _PYARROW)


def evaluate_bag() -> int:
    """Runs `evaluation.evaluate_bag`."""
    # Results of several processes in the order in which they come are new in joblib 1.4, which
    # neither Humble nor Jazzy has.
    return run("social_implicit_ros.evaluation.evaluate_bag", "joblib>=1.4", *REPORT_LIBRARIES)
