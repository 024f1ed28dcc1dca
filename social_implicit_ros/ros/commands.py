"""The command of this folder that needs what rosdep does not know."""

from __future__ import annotations

from social_implicit_ros.core.commands import run
from social_implicit_ros.evaluation.commands import REPORT_LIBRARIES


def social_implicit_demo() -> int:
    """Runs `ros.demo`."""
    return run("social_implicit_ros.ros.demo", *REPORT_LIBRARIES)
