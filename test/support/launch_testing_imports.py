"""A pytest plugin that imports test modules as launch_testing's does, where that is missing.

launch_testing imports every test module under its basename ("prepend" mode), whatever
`--import-mode` says: `pytest --collect-only -p support.launch_testing_imports`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from _pytest.pathlib import import_path


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> None:
    import_path(module_path, root=parent.config.rootpath, consider_namespace_packages=False)
