"""The tests can be collected when launch_testing is installed.

Its pytest plugin imports every test module by its basename, whatever `--import-mode` says.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
MODULES = sorted(TESTS.rglob("test_*.py"))
#: A module skips itself with an exception that is no Exception.
IMPORT_BY_BASENAME = """
import importlib, sys
from pathlib import Path
import pytest

for path in map(Path, sys.stdin.read().split()):
    sys.path.insert(0, str(path.parent))
    try:
        assert importlib.import_module(path.stem).__file__ == str(path)
    except pytest.skip.Exception:
        pass
"""


def test_no_two_test_modules_share_a_name() -> None:
    names = Counter(path.name for path in MODULES)

    assert [name for name, count in names.items() if count > 1] == []


def test_modules_can_be_imported_by_their_basenames() -> None:
    path = os.pathsep.join([str(TESTS), str(TESTS.parent / "scripts"), *filter(None, sys.path)])

    ended = subprocess.run(
        [sys.executable, "-c", IMPORT_BY_BASENAME],
        input="\n".join(map(str, MODULES)),
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 0, ended.stderr[-3000:]
