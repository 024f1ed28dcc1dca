"""Builds the message packages of `test/interfaces` into the environment that runs this script.

Packages of a sourced distribution are not built again. A second run does nothing unless the
definitions or the interpreter have changed.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "test" / "interfaces"
PREFIX = Path(sys.prefix)
BUILD = PREFIX / "test_interfaces"
BUILT_FROM = BUILD / "made_from"


def main() -> None:
    """Builds the missing packages. If a build tool is missing, their tests are skipped."""
    digest = checksum()
    if BUILT_FROM.is_file() and BUILT_FROM.read_text() == digest:
        return
    missing = missing_tool()
    if missing:
        print(f"[interfaces] {missing}: tests that need messages of other packages are skipped")
        return
    shutil.rmtree(BUILD, ignore_errors=True)
    packages = [
        folder.name
        for folder in sorted(SOURCE.iterdir())
        if folder.is_dir() and not installed_elsewhere(folder.name)
    ]
    if packages:
        print(f"[interfaces] building {len(packages)} message packages, about two minutes ...")
        if not build(packages):
            return
    BUILD.mkdir(exist_ok=True)
    BUILT_FROM.write_text(digest)


def checksum() -> str:
    """A checksum of the definitions, the interpreter and the sourced distribution."""
    digest = hashlib.sha256(repr((sys.version, os.environ.get("ROS_DISTRO"))).encode())
    for path in sorted(path for path in SOURCE.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(SOURCE)).encode() + path.read_bytes())
    return digest.hexdigest()


def missing_tool() -> "str | None":
    """The first missing tool to build a Python extension, and how to install it."""
    if find_tool("cmake") is None:
        return "no cmake (sudo apt install cmake)"
    if shutil.which("c++") is None:
        return "no C++ compiler (sudo apt install build-essential)"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "no Python headers (sudo apt install python3-dev)"
    return None


def find_tool(name: str) -> "str | None":
    """The path of a program of this environment, else of the machine."""
    return shutil.which(name, path=str(PREFIX / "bin")) or shutil.which(name)


def installed_elsewhere(package: str) -> bool:
    """Whether the package is installed in another prefix."""
    spec = importlib.util.find_spec(package)
    return spec is not None and bool(spec.origin) and PREFIX not in Path(spec.origin).parents


def build(packages: "list[str]") -> bool:
    """Configures, builds and installs; returns whether all of it succeeded.

    With ROS 2 from PyPI a failure ends the script. A distribution may lack the generators of
    messages; then the tests that need them are skipped.
    """
    distribution = os.environ.get("ROS_DISTRO")
    prefixes = [
        str(PREFIX),
        *filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)),
    ]
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    options = {
        "PACKAGES": ";".join(packages),
        "FAST_DDS_ONLY": "ON" if distribution is None else "OFF",
        "Python3_EXECUTABLE": sys.executable,
        "PYTHON_INSTALL_DIR": f"lib/{python}/site-packages",
        "CMAKE_PREFIX_PATH": ";".join(prefixes),
        "CMAKE_INSTALL_PREFIX": str(PREFIX),
        "CMAKE_CXX_FLAGS": "-w",
        "CMAKE_C_FLAGS": "-w",
    }
    cmake = find_tool("cmake")
    generator = ["-G", "Ninja"] if find_tool("ninja") else []
    configure = [cmake, *generator, "-S", str(SOURCE), "-B", str(BUILD)]
    configure += [f"-D{name}={value}" for name, value in options.items()]
    commands = [configure, [cmake, "--build", str(BUILD), "--target", "install", "--parallel"]]
    environment = {**os.environ, "PATH": f"{PREFIX / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    BUILD.mkdir()
    log = BUILD / "build.log"
    with log.open("w") as output:
        for command in commands:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
            )
            if done.returncode != 0:
                tail = "\n".join(log.read_text().splitlines()[-20:])
                message = f"{tail}\n[interfaces] build failed; full log: {log}"
                if distribution is None:
                    sys.exit(message)
                print(message)
                return False
    return True


if __name__ == "__main__":
    main()
