"""Runs every target on a hundred cases, and on all inputs that failed before."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
from fuzz.targets import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

#: Inputs that failed before, a folder per target. `make fuzz` adds new ones.
REGRESSIONS = Path(__file__).parent / "regressions"
#: Targets that read larger files, or simulate people, run fewer cases.
SLOW = {"meaning": 10, "onnx": 25, "mcap": 25, "db3": 15}
#: Invalid lengths.
LENGTHS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f")
N_CASES = int(os.environ.get("FUZZ_CASES", "100"))


@cache
def seeds_of(name: str) -> list[bytes]:
    return TARGETS[name].seeds()


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with some bytes changed, removed or inserted."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 4)):
            case 0 | 1:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 2:
                data[at : at + draw(st.integers(1, 64))] = b""
            case 3:
                data[at:at] = draw(st.binary(max_size=16))
            case 4:
                data[at : at + 4] = draw(st.sampled_from(LENGTHS))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_violates_the_contract(name: str) -> None:
    target = TARGETS[name]
    pytest.importorskip(target.needs)

    @settings(
        max_examples=min(N_CASES, SLOW.get(name, N_CASES)),
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(mutated(seeds_of(name)), st.binary(max_size=400)))
    def holds(data: bytes) -> None:
        target.run(data)

    holds()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_pass(name: str) -> None:
    pytest.importorskip(TARGETS[name].needs)
    for seed in seeds_of(name):
        TARGETS[name].run(seed)


@pytest.mark.parametrize(
    "file", sorted(REGRESSIONS.glob("*/*")), ids=lambda file: f"{file.parent.name}/{file.name}"
)
def test_inputs_that_once_failed_pass(file: Path) -> None:
    pytest.importorskip(TARGETS[file.parent.name].needs)
    TARGETS[file.parent.name].run(file.read_bytes())
