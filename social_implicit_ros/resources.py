"""Files that come with the package beside its code: tracker descriptions, parameter files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = "social_implicit_ros"


def shared_folder(relative: str) -> Path:
    """A folder of the package's share, wherever it is installed.

    Looks where a sourced workspace, a virtual environment or a checkout of the repository has it,
    in that order; needs no ROS.

    Args:
        relative: such as `config/trackers`.

    Raises:
        FileNotFoundError: in none of them.
    """
    candidates = [root / relative for root in _roots()]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f"{relative} of {_PACKAGE} is in none of {', '.join(map(str, candidates))}: install the "
        "package again, or source its workspace"
    )


def _roots() -> Iterator[Path]:
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    for prefix in [*filter(None, prefixes), sys.prefix]:
        yield Path(prefix) / "share" / _PACKAGE
    yield Path(__file__).resolve().parents[1]
