"""`make audit`: checks every pinned version for known vulnerabilities, with pip-audit.

Exits with 1 if there are any. Exits with 0 and a message if the database cannot be reached.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
TIMEOUT_S = 300


def main() -> int:
    """Checks each constraints file; returns the exit status."""
    found = False
    for file in sorted(REQUIREMENTS.glob("constraints_*.txt")):
        found |= audit(file)
    return int(found)


def audit(file: Path) -> bool:
    """Prints the vulnerabilities of a file's pins; returns whether there are any."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(file)]
    options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    try:
        audited = subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=TIMEOUT_S
        )
        packages = json.loads(audited.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        print(f"{file.name}: not checked, the database cannot be reached ({error!r})")
        return False
    known = [package for package in packages if "skip_reason" not in package]
    print(f"{file.name}: {len(known)} of {len(packages)} pins checked")
    if len(known) < len(packages):
        skipped = next(package for package in packages if "skip_reason" in package)
        print(f"  skipped, for example: {skipped['skip_reason']}")
    for package in known:
        for vulnerability in package["vulns"]:
            name = f"{package['name']} {package['version']}"
            fixed = ", ".join(vulnerability["fix_versions"]) or "none yet"
            print(f"  {name}: {vulnerability['id']}, fixed in {fixed}")
    return any(package["vulns"] for package in known)


if __name__ == "__main__":
    sys.exit(main())
