"""Rules for imports that `lint-imports` does not check."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.imports import imported_names

tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11 to read pyproject.toml")

ROOT = Path(__file__).resolve().parents[2]
NAME = "social_implicit_ros"
MODULES = sorted((ROOT / NAME).rglob("*.py"))
#: Libraries that every folder may import.
SHARED = {"numpy", "scipy", "yaml", "packaging"}
#: Python 3.14 has `compression`.
STANDARD = sys.stdlib_module_names | {"compression", "__future__"}


def test_every_library_is_confined_to_folders_by_lint_imports() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    confined = {
        library
        for contract in contracts["contracts"]
        if contract["type"] == "protected"
        for library in contract["protected_modules"]
    }
    libraries = set().union(*map(imported_names, MODULES)) - STANDARD - {NAME}

    assert libraries - SHARED == confined


@pytest.mark.parametrize(
    "module",
    [path for path in MODULES if path.name == "__init__.py"],
    ids=lambda path: str(path.relative_to(ROOT / NAME)),
)
def test_an_init_module_has_a_docstring_and_no_logic(module: Path) -> None:
    body = ast.parse(module.read_text())

    assert ast.get_docstring(body)
    assert all(isinstance(node, (ast.Expr, ast.Import, ast.ImportFrom)) for node in body.body)


def test_no_two_test_modules_share_a_name() -> None:
    """launch_testing imports test modules by their basenames."""
    tests = Path(__file__).resolve().parents[1]
    names = Counter(path.name for path in tests.rglob("test_*.py"))

    assert [name for name, count in names.items() if count > 1] == []
