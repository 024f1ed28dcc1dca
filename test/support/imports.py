"""What a module imports, and the commands of the package, from the sources."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def imported_names(module: Path) -> frozenset[str]:
    """Top-level names of the imports of a module."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return frozenset(names)


@cache
def commands() -> frozenset[str]:
    """Names of the commands that setup.py installs."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMMANDS":
            return frozenset(ast.literal_eval(node.value))
    raise AssertionError("setup.py has no COMMANDS")
