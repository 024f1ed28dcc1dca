"""What a module imports, from its source."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


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
