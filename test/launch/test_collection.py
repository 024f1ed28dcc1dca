"""The tests can be collected when launch_testing is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
needs_pytest_8 = pytest.mark.skipif(
    pytest.version_tuple < (8, 2), reason="the plugin uses a function of pytest 8.2"
)


def test_no_two_test_modules_share_a_name() -> None:
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))

    assert [name for name, count in names.items() if count > 1] == []


@needs_pytest_8
def test_modules_can_be_imported_by_their_basenames() -> None:
    plugin = "support.launch_testing_imports"
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", TESTS, "--collect-only", "--quiet", "-p", plugin],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 0, ended.stdout[-3000:]
