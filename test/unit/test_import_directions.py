"""Dependencies point one way, and each library has its folder (docs/architecture.md)."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "social_implicit_ros"
ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))

#: Folder -> the folders of ours that it may import, beside itself.
MAY_IMPORT = {
    "": set(),
    "models": set(),
    "recordings": set(),
    "core": set(),
    "inference": {"core"},
    "evaluation": {"core", "inference"},
    "training": {"core"},
    "tuning": {"core", "inference", "evaluation", "training"},
    "ros": {"core", "inference", "evaluation"},
}
#: Library -> the only folders that import it. ROS packages, known by their names, belong to `ros`.
ONLY_IN = {
    "onnxruntime": {"inference"},
    "torch": {"training"},
    "onnx": {"training"},
    "distributed": {"evaluation"},
    "joblib": {"evaluation"},
    "plotly": {"evaluation"},
    "pyarrow": {"evaluation"},
    "rosbags": {"evaluation"},
    "matplotlib": {"evaluation"},
    "PIL": {"evaluation"},
    "rich": {"evaluation", "training", "tuning", "ros"},
}
ROS_PACKAGES = {
    "rclpy",
    "ament_index_python",
    "builtin_interfaces",
    "std_srvs",
    "launch",
    "tf2_ros",
}
ROS_SUFFIXES = ("_msgs", "_srvs", "_interfaces", "_ros")
#: All that the innermost folder builds on; PyYAML reads tracker descriptions, packaging versions.
CORE_LIBRARIES = {"numpy", "scipy", "yaml", "packaging"}


def imported(source: str) -> Iterator[str]:
    """Dotted names of all that a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield f"{PACKAGE}.<relative>"
            else:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder_of(module: Path) -> str:
    """The folder below the package that a module belongs to; empty for the package itself."""
    return module.relative_to(ROOT / PACKAGE).parts[0] if module.parent.name != PACKAGE else ""


def violations(folder: str, source: str) -> list[str]:
    """The imports that a module of `folder` must not have."""
    return [name for name in imported(source) if not allowed(folder, name.split("."))]


def allowed(folder: str, name: list[str]) -> bool:
    """Whether a module of `folder` may import the dotted name."""
    library = name[0]
    if library == PACKAGE:
        return len(name) > 1 and name[1] in {folder} | MAY_IMPORT[folder]
    if library in sys.stdlib_module_names:
        return True
    if folder == "core":
        return library in CORE_LIBRARIES
    if library in ROS_PACKAGES or library.endswith(ROS_SUFFIXES):
        return folder == "ros"
    return folder in ONLY_IN.get(library, MAY_IMPORT)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT / PACKAGE)))
def test_a_module_imports_only_what_its_folder_may(module):
    found = violations(folder_of(module), module.read_text())

    assert found == [], f"{module} must not import {', '.join(found)}"


@pytest.mark.parametrize(
    "module",
    [path for path in MODULES if path.name == "__init__.py"],
    ids=lambda path: str(path.relative_to(ROOT / PACKAGE)),
)
def test_an_init_module_holds_a_docstring_and_no_logic(module):
    body = ast.parse(module.read_text())

    assert ast.get_docstring(body)
    assert all(isinstance(node, (ast.Expr, ast.Import, ast.ImportFrom)) for node in body.body)


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("core", "import rclpy"),
        ("core", "import torch.nn as nn"),
        ("core", "from social_implicit_ros.models.onnx_model import OnnxModel"),
        ("core", "def late():\n    import onnxruntime"),
        ("inference", "from social_implicit_ros import ros"),
        ("evaluation", "from social_implicit_ros.training import trainer"),
        ("evaluation", "from sensor_msgs.msg import PointCloud2"),
        ("evaluation", "import torch"),
        ("training", "from social_implicit_ros.inference import registry"),
        ("training", "from rclpy.node import Node"),
        ("ros", "import social_implicit_ros.training.social_implicit.trainer"),
        ("ros", "from social_implicit_ros.tuning import train_model"),
        ("evaluation", "from social_implicit_ros.tuning import parts"),
        ("training", "from social_implicit_ros.tuning import parts"),
        ("tuning", "import torch"),
        ("tuning", "import rclpy"),
        ("ros", "import onnxruntime"),
        ("ros", "from . import node"),
    ],
)
def test_a_forbidden_import_is_found(folder, source):
    assert violations(folder, source)


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("core", "import math, numpy as np\nfrom scipy import stats"),
        ("core", "from social_implicit_ros.types import Prediction"),
        ("inference", "import onnxruntime\nfrom social_implicit_ros.core import types"),
        ("training", "import torch, onnx\nfrom social_implicit_ros.core import types"),
        ("tuning", "from social_implicit_ros import evaluation, inference, training"),
        ("ros", "import rclpy\nfrom people_msgs.msg import People\nimport tf2_ros"),
    ],
)
def test_an_import_in_the_right_direction_is_allowed(folder, source):
    assert violations(folder, source) == []
