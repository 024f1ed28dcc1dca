"""Files installed in the share folder of the package, such as tracker mappings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = "social_implicit_ros"


def shared_folder(relative: str) -> Path:
    """Finds a folder in the share directory of the package.

    Searches sourced workspaces, the virtual environment and the checkout of the repository, in this
    order. Needs no ROS.

    Args:
        relative: path within the share directory, such as `config/trackers`.

    Raises:
        FileNotFoundError: no such folder; the message lists the searched paths.
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
