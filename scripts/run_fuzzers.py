"""`make fuzz`: runs both fuzzers on each target of test/fuzz and prints the number of cases.

    python scripts/run_fuzzers.py [--share S] [TARGET ...]

Coverage-guided fuzzing (atheris) first, then property tests (hypothesis). Inputs that fail are
saved in test/fuzz/regressions; `make test` runs them again.
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
#: Time limit for each target.
MAX_DURATION_S = 120


def main() -> int:
    """Returns 0 if no case fails."""
    sys.path.insert(0, str(TESTS))
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="share of the cases to run (default: %(default)g, all)",
    )
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.targets) - set(TARGETS)):
        parser.error(f"no target {', '.join(unknown)}: give one of {', '.join(TARGETS)}")
    total, failed = 0, []
    print(f"{'target':14}{'cases':>9}{'seconds':>9}{'MB':>7}  result")
    for name in arguments.targets:
        target = TARGETS[name]
        if any(importlib.util.find_spec(library) is None for library in ("atheris", target.needs)):
            print(f"{name:14}{0:9}{0:9}{0:7}  skipped: needs atheris and {target.needs}")
            continue
        cases = max(1, round(arguments.share * target.cases))
        began_s = time.monotonic()
        fuzzed = subprocess.run(
            [sys.executable, "-m", "fuzz.cover", name, str(cases), str(MAX_DURATION_S)],
            cwd=TESTS,
            # As in the tests, numpy's overflows and invalid values are errors.
            env={**os.environ, "PYTHONWARNINGS": "error::RuntimeWarning"},
            capture_output=True,
            text=True,
            errors="replace",
        )
        seconds = time.monotonic() - began_s
        done, memory_mb = stat(fuzzed, "number_of_executed_units"), stat(fuzzed, "peak_rss_mb")
        total += done
        result = "passed" if fuzzed.returncode == 0 else "FAILED"
        print(f"{name:14}{done:9}{seconds:9.0f}{memory_mb:7}  {result}", flush=True)
        if fuzzed.returncode != 0:
            failed.append(name)
            print(fuzzed.stdout[-3000:], fuzzed.stderr[-3000:])
    print(f"{'all':14}{total:9} coverage-guided cases")
    properties = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "fuzz"],
        cwd=TESTS,
        env={**os.environ, "FUZZ_CASES": str(max(1, round(arguments.share * 1000)))},
    )
    return 1 if failed or properties.returncode else 0


def stat(fuzzed: subprocess.CompletedProcess[str], name: str) -> int:
    """A number of libFuzzer's final statistics; 0 if it printed none."""
    found = re.search(rf"stat::{name}:\s*(\d+)", fuzzed.stdout + fuzzed.stderr)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    sys.exit(main())
