"""Links the files that an editable install omits into the environment that runs this script.

`ros2 run` looks for executables in `lib/<package>`, `ros2 launch` and the ament index for files in
`share`; pip installs neither. The links point to the working tree, so edited launch and parameter
files take effect at once.
"""

import os
import shutil
import sys
from pathlib import Path

import setuptools  # noqa: F401  (adds keywords to distutils; must be imported first)

from distutils.core import run_setup  # isort: skip

ROOT = Path(__file__).resolve().parent.parent

#: Variables that sourcing a distribution sets and its rclpy needs.
SOURCED = ("AMENT_PREFIX_PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "ROS_DISTRO", "ROS_VERSION")

#: Runs when this environment's Python starts, so that its commands work without sourcing anything:
#: restores the distribution that the environment was made with, unless one is sourced, and adds
#: its own prefix, which has the ament index of the package (and of ROS 2 from PyPI). If a sourced
#: workspace has the package, too, that copy would come first in PYTHONPATH: this checkout is used.
HOOK = """\
import os
import sys

sourced = {sourced!r}
if sourced and "ROS_DISTRO" not in os.environ:
    # The loader reads LD_LIBRARY_PATH only when a process starts.
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {{**os.environ, **sourced}})
prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
others = (prefix for prefix in prefixes if prefix and prefix != sys.prefix)
if any(os.path.isdir(os.path.join(prefix, "share", {name!r})) for prefix in others):
    sys.path.insert(0, {checkout!r})
if sys.prefix not in prefixes:
    os.environ["AMENT_PREFIX_PATH"] = os.pathsep.join(filter(None, (sys.prefix, *prefixes)))
"""


def main() -> None:
    """Makes all links again."""
    prefix = Path(sys.prefix)
    os.chdir(ROOT)
    package = run_setup("setup.py", stop_after="init")
    name = package.get_name()
    (site_packages,) = prefix.glob("lib/python*/site-packages")
    hook = HOOK.format(sourced=sourced(), name=name, checkout=str(ROOT))
    (site_packages / f"{name}_environment.py").write_text(hook)
    (site_packages / f"{name}_environment.pth").write_text(f"import {name}_environment\n")
    for folder in (prefix / "lib" / name, prefix / "share" / name):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for entry_point in package.entry_points["console_scripts"]:
        command = entry_point.split("=")[0].strip()
        (prefix / "lib" / name / command).symlink_to(Path("..", "..", "bin", command))
    for folder, files in package.data_files:
        for file in files:
            link = prefix / folder / Path(file).name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(ROOT / file)


def sourced() -> "dict[str, str]":
    """The variables of the sourced distribution, without this environment's own prefix."""
    if "ROS_DISTRO" not in os.environ:
        return {}
    variables = {name: os.environ[name] for name in SOURCED if name in os.environ}
    prefixes = variables.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    others = [prefix for prefix in prefixes if prefix != sys.prefix]
    return {**variables, "AMENT_PREFIX_PATH": os.pathsep.join(others)}


if __name__ == "__main__":
    main()
