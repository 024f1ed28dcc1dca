"""`make fuzz`: tries each target of test/fuzz with both fuzzers, and says how often.

    python scripts/run_fuzzers.py [--share S] [TARGET ...]

Coverage-guided (atheris) first, then by properties (hypothesis). Inputs that break a promise are
kept in test/fuzz/regressions, where every `make test` tries them again.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "test"
#: For each target, however many of its cases are left then.
MOST_SECONDS = 120


def main() -> int:
    """Returns 0 where every promise held."""
    sys.path.insert(0, str(TESTS))
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases, default: all")
    arguments = parser.parse_args()
    total, broken = 0, []
    print(f"{'target':14}{'cases':>9}{'seconds':>9}{'MB':>7}  result")
    for name in arguments.targets:
        target = TARGETS[name]
        if any(importlib.util.find_spec(library) is None for library in ("atheris", target.needs)):
            print(f"{name:14}{0:9}{0:9}{0:7}  left out: atheris and {target.needs} are needed")
            continue
        cases = max(1, round(arguments.share * target.cases))
        began_s = time.monotonic()
        fuzzed = subprocess.run(
            [sys.executable, "-m", "fuzz.cover", name, str(cases), str(MOST_SECONDS)],
            cwd=TESTS,
            # As in the tests: numbers that overflow or are none are to be seen coming.
            env={**os.environ, "PYTHONWARNINGS": "error::RuntimeWarning"},
            capture_output=True,
            text=True,
            errors="replace",
        )
        seconds = time.monotonic() - began_s
        done, memory_mb = stat(fuzzed, "number_of_executed_units"), stat(fuzzed, "peak_rss_mb")
        total += done
        result = "held" if fuzzed.returncode == 0 else "BROKEN"
        print(f"{name:14}{done:9}{seconds:9.0f}{memory_mb:7}  {result}", flush=True)
        if fuzzed.returncode != 0:
            broken.append(name)
            print(fuzzed.stdout[-3000:], fuzzed.stderr[-3000:])
    print(f"{'all':14}{total:9} coverage-guided cases")
    by_property = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "fuzz"],
        cwd=TESTS,
        env={**os.environ, "FUZZ_CASES": str(max(1, round(arguments.share * 1000)))},
    )
    return 1 if broken or by_property.returncode else 0


def stat(fuzzed: subprocess.CompletedProcess[str], name: str) -> int:
    """A figure of libFuzzer's last lines; 0 where it did not get so far."""
    found = re.search(rf"stat::{name}:\s*(\d+)", fuzzed.stdout + fuzzed.stderr)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    sys.exit(main())
