"""Commands, told apart from their modules: those import libraries that not every machine has.

A robot neither trains nor writes reports, and a distribution may have a library in an older version
than a command needs. The command then says so, before it has done anything.
"""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement


def run(module: str, *requirements: str) -> int:
    """Runs the `main` of a module.

    Args:
        module: its dotted name.
        requirements: libraries that it needs, as pip writes them: `joblib>=1.4`.

    Returns:
        The exit code; 2, with the way to install it, where a library is missing or too old.
    """
    found = {requirement: _version(requirement) for requirement in requirements}
    missing = [
        requirement
        for requirement, have in found.items()
        if have is None or not Requirement(requirement).specifier.contains(have, prereleases=True)
    ]
    if not missing:
        code: int = import_module(module).main()
        return code
    told = (
        f"{name} ({f'here is {found[name]}' if found[name] else 'missing'})" for name in missing
    )
    print(
        f"{Path(sys.argv[0]).name} needs {', '.join(told)}: "
        f"{sys.executable} -m pip install {shlex.join(missing)}",
        file=sys.stderr,
    )
    return 2


def _version(requirement: str) -> str | None:
    try:
        return version(Requirement(requirement).name)
    except PackageNotFoundError:
        return None
