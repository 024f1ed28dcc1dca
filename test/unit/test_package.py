"""package.xml, setup.py and the code agree; colcon builds the package."""

import json
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.imports import imported_names

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
NAME = MANIFEST.findtext("name")

#: Python module -> its rosdep key; for a ROS package that is the name of the module.
ROSDEP_KEY = {
    "PIL": "python3-pil",
    # Dependencies of rosbags, which rosbags installs.
    "backports": "python3-rosbags-pip",
    "hypothesis": "python3-hypothesis",
    "lz4": "python3-rosbags-pip",
    "matplotlib": "python3-matplotlib",
    "numpy": "python3-numpy",
    "onnxruntime": "python3-onnxruntime-pip",
    "packaging": "python3-packaging",
    "pytest": "python3-pytest",
    "rich": "python3-rich",
    "rosbags": "python3-rosbags-pip",
    "scipy": "python3-scipy",
    "yaml": "python3-yaml",
}
#: Python 3.14 has `compression`.
STANDARD = sys.stdlib_module_names | {"compression"}
#: Message packages of single outputs, imported only when the output is used: they come with the
#: planner.
OF_OUTPUTS = {
    "autoware_perception_msgs",
    "costmap_converter_msgs",
    "mpc_planner_msgs",
    "people_msgs",
    "vision_msgs",
}
#: Extras of setup.py: training and large evaluations do not run on a robot.
EXTRAS = {"torch", "onnx", "distributed"}
#: Without a rosdep key; pip installs them.
NOT_IN_ROSDEP = {"pyarrow"}


@pytest.fixture(scope="module")
def recipe():
    """The arguments that setup.py passes to setuptools."""
    program = (
        "import json, setuptools\n"
        "from distutils.core import run_setup\n"
        "package = run_setup('setup.py', stop_after='init')\n"
        "print(json.dumps({'name': package.get_name(), 'version': package.get_version(),\n"
        "    'packages': package.packages, 'package_data': package.package_data,\n"
        "    'data_files': package.data_files, 'commands': package.entry_points,\n"
        "    'install_requires': package.install_requires}))"
    )
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(printed.stdout)


def imported_libraries(folder: Path, leave_out: str = "") -> set[str]:
    """Top-level names of the imports below a folder, without the standard library."""
    modules = (path for path in folder.rglob("*.py") if leave_out not in path.parts)
    return set().union(*map(imported_names, modules)) - STANDARD - {NAME}


def test_the_maintainer_has_a_valid_address():
    # With an invalid one colcon silently handles the package as plain Python.
    for maintainer in MANIFEST.findall("maintainer"):
        assert re.fullmatch(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", maintainer.get("email"))


def test_the_manifest_is_valid_for_catkin_pkg():
    catkin_pkg = pytest.importorskip("catkin_pkg.package", reason="catkin_pkg comes with colcon")
    warnings = []

    package = catkin_pkg.parse_package(str(ROOT / "package.xml"), warnings=warnings)

    assert package.get_build_type() == "ament_python"
    assert warnings == []


def test_setup_takes_name_and_version_from_the_manifest(recipe):
    assert recipe["name"] == NAME
    assert recipe["version"] == MANIFEST.findtext("version")


def test_every_library_that_the_package_imports_is_declared():
    declared = {entry.text for entry in MANIFEST.findall("exec_depend")}
    imported = imported_libraries(ROOT / NAME, leave_out="training")
    launched = imported_libraries(ROOT / "launch")

    libraries = (imported | launched) - OF_OUTPUTS - EXTRAS - NOT_IN_ROSDEP

    assert {ROSDEP_KEY.get(library, library) for library in libraries} - declared == set()


def test_packages_of_single_outputs_are_no_dependencies_and_imported_only_there():
    declared = {entry.text for entry in MANIFEST.iter() if entry.tag.endswith("depend")}
    outputs = ROOT / NAME / "ros" / "outputs"

    assert OF_OUTPUTS & declared == set()
    assert imported_libraries(outputs) >= OF_OUTPUTS
    assert OF_OUTPUTS & imported_libraries(ROOT / NAME, leave_out="outputs") == set()


def test_make_and_pip_install_the_same_libraries(recipe):
    lines = (ROOT / "requirements" / "run.txt").read_text().splitlines()
    required, installed = (
        {re.split("[<>=; ]", line)[0] for line in entries if not line.startswith("#")}
        for entries in (lines, recipe["install_requires"])
    )

    assert required - {"setuptools"} == installed


def test_every_library_of_training_is_declared_or_an_extra():
    declared = {entry.text for entry in MANIFEST.findall("exec_depend")}
    libraries = imported_libraries(ROOT / NAME / "training") - EXTRAS

    assert {ROSDEP_KEY.get(library, library) for library in libraries} - declared == set()


def test_every_command_names_a_module_with_that_function(recipe):
    assert recipe["commands"]["console_scripts"]
    for entry_point in recipe["commands"]["console_scripts"]:
        command, target = (part.strip() for part in entry_point.split("="))
        module, function = target.split(":")
        assert callable(getattr(import_module(module), function)), command


def test_every_shared_file_is_installed(recipe):
    installed = {file for _, files in recipe["data_files"] for file in files}
    shared = {
        str(path.relative_to(ROOT))
        for folder in ("config", "launch")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }

    assert shared
    assert shared <= installed


def test_shared_files_keep_their_folder(recipe):
    for target, files in recipe["data_files"]:
        for file in files:
            if file.startswith(("config/", "launch/")):
                assert target == f"share/{NAME}/{Path(file).parent}"


def test_every_folder_of_modules_is_a_package(recipe):
    folders = {path.parent for path in (ROOT / NAME).rglob("*.py")}

    assert {".".join(path.relative_to(ROOT).parts) for path in folders} == set(recipe["packages"])


def test_every_data_file_in_the_package_is_installed(recipe):
    installed = {
        path
        for package, patterns in recipe["package_data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    data = {
        path
        for path in (ROOT / NAME).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }

    assert data - installed == set()


@pytest.fixture(scope="module")
def colcon():
    """Runs colcon from this environment, else from the sourced distribution."""
    command = shutil.which("colcon", path=Path(sys.executable).parent) or shutil.which("colcon")
    if command is None:
        pytest.skip("colcon is not installed (make test installs it)")

    def run(*arguments: str, cwd: Path) -> str:
        return subprocess.run(
            [command, "--log-base", str(cwd / "log"), *arguments],
            cwd=cwd,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    return run


@pytest.fixture
def workspace(tmp_path):
    """A workspace with a copy of the package in src/."""
    source = tmp_path / "src" / NAME
    source.mkdir(parents=True)
    for name in ("package.xml", "setup.py", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in (NAME, "config", "launch", "resource"):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    return tmp_path


def test_colcon_recognises_an_ament_python_package(colcon, workspace):
    assert colcon("list", cwd=workspace).split() == [
        NAME,
        f"src/{NAME}",
        "(ros.ament_python)",
    ]


@pytest.mark.slow
def test_colcon_installs_the_files_of_ros2_run_and_ros2_launch(colcon, workspace, recipe):
    colcon("build", "--merge-install", cwd=workspace)

    prefix = workspace / "install"
    for entry_point in recipe["commands"]["console_scripts"]:
        assert (prefix / "lib" / NAME / entry_point.split("=")[0].strip()).is_file()
    assert (prefix / "share/ament_index/resource_index/packages" / NAME).is_file()
    for folder, files in recipe["data_files"]:
        for file in files:
            assert (prefix / folder / Path(file).name).is_file()
