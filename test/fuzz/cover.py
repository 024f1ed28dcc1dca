"""Fuzzes one target with atheris, which keeps inputs that reach new lines of the package.

    python -m fuzz.cover TARGET CASES SECONDS

Ends with "Done N runs"; if a contract is violated, with another status, and with the input saved in
`regressions/TARGET`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["social_implicit_ros"]):
    from fuzz.targets import TARGETS

REGRESSIONS = Path(__file__).parent / "regressions"
#: Longest duration of a case in seconds, also on a busy machine.
HANGS_AFTER_S = 20
#: Largest memory of a case, beside libraries and the fuzzer's corpus.
MAX_MEMORY_MB = 1500


def main(name: str, cases: str, seconds: str) -> None:
    """Fuzzes until the number of cases or the time is reached."""
    target = TARGETS[name]
    found = REGRESSIONS / name
    found.mkdir(parents=True, exist_ok=True)
    seeds = target.seeds()
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        options = [
            f"-runs={cases}",
            f"-max_total_time={seconds}",
            f"-timeout={HANGS_AFTER_S}",
            f"-report_slow_units={HANGS_AFTER_S}",
            f"-rss_limit_mb={MAX_MEMORY_MB}",
            f"-max_len={2 * max(map(len, seeds))}",
            f"-artifact_prefix={found}/",
            "-seed=1",
            "-verbosity=0",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *options, corpus], target.run)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:4])
