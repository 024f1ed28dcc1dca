"""Makes `.venv`: this package, editable, and its dependencies.

    python3 scripts/make_venv.py [test] [training] [fuzz] [audit]

If a ROS distribution is sourced, the environment uses its rclpy and messages; otherwise ROS 2 is
installed from PyPI. Every version is pinned in `requirements/`. A second run installs only what has
changed since.
"""

import hashlib
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
RECORD = VENV / "made_from.json"
REQUIREMENTS = ROOT / "requirements"
#: The package is installed again if one of these has changed.
PACKAGE_RECIPE = ("setup.py", "setup.cfg", "package.xml")
OLDEST_PYTHON = (3, 10)
OPTIONAL_SETS = ("test", "training", "fuzz", "audit")


def main() -> None:
    """Makes or updates the environment; on failure exits with a message that says how to fix it."""
    optional = sys.argv[1:]
    unknown = sorted(set(optional) - set(OPTIONAL_SETS))
    if unknown:
        sys.exit(
            "unknown requirements: {}; known: {}".format(
                ", ".join(unknown), ", ".join(OPTIONAL_SETS)
            )
        )
    check_python()
    distribution = sourced_distribution()
    base = {
        "python": sys.version,
        "interpreter": str(Path(sys.executable).resolve()),
        "venv": str(VENV),
        "ros": distribution or "from PyPI",
    }
    made = read_record()
    if made.get("base") != base:
        create_venv(base, system_site_packages=distribution is not None)
        made = {"base": base, "sets": {}}
        write_record(made)

    if distribution is None and "test" in optional:
        # A distribution has its own message generators.
        optional.append("interfaces")
    kind = "distribution" if distribution else "wheels"
    constraints = REQUIREMENTS / f"constraints_{kind}.txt"
    for name in ("run", "distribution" if distribution else "ros", *optional):
        requirements = REQUIREMENTS / f"{name}.txt"
        checksum = sha256(requirements.read_bytes() + constraints.read_bytes())
        if made["sets"].get(name) != checksum:
            install("-c", str(constraints), "-r", str(requirements), label=name)
            made["sets"][name] = checksum
            write_record(made)

    checksum = sha256(b"".join((ROOT / name).read_bytes() for name in PACKAGE_RECIPE))
    if made.get("package") != checksum:
        install("--no-deps", "--no-build-isolation", "--editable", str(ROOT), label="the package")
        made["package"] = checksum
        write_record(made)
    # Always: this is faster than finding out whether files were added or removed.
    subprocess.run([str(PYTHON), str(ROOT / "scripts" / "link_into_prefix.py")], check=True)


def check_python() -> None:
    """Exits if this interpreter is too old."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(
            "Python {}.{} or newer is needed, {} is {}; name another, for example: "
            "make PYTHON=python3.12 demo".format(
                *OLDEST_PYTHON, sys.executable, platform.python_version()
            )
        )


def sourced_distribution() -> "str | None":
    """The name of the sourced ROS distribution; None if ROS 2 comes from PyPI."""
    distribution = os.environ.get("ROS_DISTRO")
    if distribution:
        try:
            importlib.import_module("rclpy")
        except ImportError as error:
            sys.exit(
                f"ROS {distribution} is sourced, but {sys.executable} cannot import its rclpy "
                f"({error}); use the distribution's Python: make PYTHON=/usr/bin/python3 demo"
            )
        return distribution
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit(
            "PyPI has ROS 2 only for Linux on x86-64, this is "
            f"{platform.system()} on {platform.machine()}; "
            "source a ROS distribution (Humble or newer) and run again"
        )
    return None


def create_venv(base: dict, system_site_packages: bool) -> None:
    """Creates an empty environment in place of any earlier one."""
    say(f"making .venv: Python {platform.python_version()}, ROS {base['ros']}")
    shutil.rmtree(str(VENV), ignore_errors=True)
    options = ["--system-site-packages"] if system_site_packages else []
    result = subprocess.run(
        [sys.executable, "-m", "venv", *options, str(VENV)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode != 0:
        shutil.rmtree(str(VENV), ignore_errors=True)
        sys.exit(
            f"{result.stdout.strip()}\n{sys.executable} cannot make a virtual environment; "
            "on Debian and Ubuntu: sudo apt install python3-venv"
        )


def install(*arguments: str, label: str) -> None:
    """Runs `pip install` with one line of progress; if it fails, prints its errors and exits."""
    say(f"installing {label} ...")
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    n_found = 0
    with tempfile.TemporaryFile(mode="w+") as errors:
        pip = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True
        )
        for line in pip.stdout:
            words = line.split()
            if words[:1] == ["Collecting"]:
                n_found += 1
                show_progress(f"{n_found} packages found, {words[1]}")
            elif line.startswith("Installing collected packages"):
                show_progress(f"installing {line.count(',') + 1} packages")
        if pip.wait() != 0:
            errors.seek(0)
            show_progress("")
            sys.exit(f"{errors.read().strip()}\npip could not install {label}")
    show_progress("")


def sha256(data: bytes) -> str:
    """The checksum in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_record() -> dict:
    """What `.venv` was made from; empty if it does not exist or is damaged."""
    try:
        return json.loads(RECORD.read_text())
    except (FileNotFoundError, ValueError):
        return {}


def write_record(made: dict) -> None:
    """Records a finished step."""
    RECORD.write_text(json.dumps(made, indent=2))


def say(text: str) -> None:
    """Prints one line of progress."""
    print("[venv] " + text, flush=True)


def show_progress(text: str) -> None:
    """Rewrites one line on a terminal; silent elsewhere."""
    if sys.stdout.isatty():
        print("\r\033[K" + ("       " + text if text else ""), end="", flush=True)


if __name__ == "__main__":
    main()
