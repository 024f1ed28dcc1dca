"""Links what an editable install leaves out into the environment that runs this.

`ros2 run` looks for executables in `lib/<package>`, `ros2 launch` and ament's index for files in
`share`; pip installs neither. The links point at the working tree, so that an edited launch or
parameter file is never stale.
"""

import os
import shutil
import sys
from pathlib import Path

import setuptools  # noqa: F401  (teaches distutils its keywords; must come first)

from distutils.core import run_setup  # isort: skip

ROOT = Path(__file__).resolve().parent.parent

#: Whoever starts this environment's Python finds ament's index in it, with nothing sourced.
PREFIX_PTH = (
    "import os, sys; p = os.environ.get('AMENT_PREFIX_PATH', ''); "
    "os.environ['AMENT_PREFIX_PATH'] = p if sys.prefix in p.split(os.pathsep) "
    "else os.pathsep.join(filter(None, (sys.prefix, p)))\n"
)


def main() -> None:
    """Makes every link anew."""
    prefix = Path(sys.prefix)
    os.chdir(ROOT)
    package = run_setup("setup.py", stop_after="init")
    name = package.get_name()
    (site_packages,) = prefix.glob("lib/python*/site-packages")
    (site_packages / f"{name}_prefix.pth").write_text(PREFIX_PTH)
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


if __name__ == "__main__":
    main()
