"""A pytest plugin that imports test modules in the way of launch_testing's plugin.

launch_testing imports every test module by its basename ("prepend" mode), whatever `--import-mode`
says. Usage: `pytest --collect-only -p support.launch_testing_imports`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from _pytest.pathlib import import_path


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> None:
    import_path(module_path, root=parent.config.rootpath, consider_namespace_packages=False)
