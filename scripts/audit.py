"""`make audit`: looks every pinned version up among the known vulnerabilities, with pip-audit.

Ends with status 1 where one is known. Where the database cannot be reached it says so and ends
with 0: that tells nothing about the pins.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
MOST_SECONDS = 300


def main() -> int:
    """Audits each constraints file; 1 where a vulnerability is known."""
    found = False
    for file in sorted(REQUIREMENTS.glob("constraints_*.txt")):
        found |= audit(file)
    return int(found)


def audit(file: Path) -> bool:
    """Prints what is known of a file's pins; True where that is a vulnerability."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(file)]
    options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    try:
        audited = subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=MOST_SECONDS
        )
        packages = json.loads(audited.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        print(f"{file.name}: not audited, as the database cannot be reached ({error!r})")
        return False
    known = [package for package in packages if "skip_reason" not in package]
    print(f"{file.name}: {len(known)} of {len(packages)} pins could be looked up")
    if len(known) < len(packages):
        skipped = next(package for package in packages if "skip_reason" in package)
        print(f"  the others not, such as: {skipped['skip_reason']}")
    for package in known:
        for vulnerability in package["vulns"]:
            name = f"{package['name']} {package['version']}"
            fixed = ", ".join(vulnerability["fix_versions"]) or "none yet"
            print(f"  {name}: {vulnerability['id']}, mended in {fixed}")
    return any(package["vulns"] for package in known)


if __name__ == "__main__":
    sys.exit(main())
