"""Comparison of the results of two checkouts: which values count as equal, and what is reported."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compare_checkouts import compare, compare_files, json_leaves, show

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TOLERANCE = 1e-9


def compared(old, new, allowed=None):
    return compare("results.json", dict(json_leaves(old)), dict(json_leaves(new)), allowed)


def test_a_result_is_the_same_as_itself():
    result = {"ade": 0.5, "by": [{"name": "alone", "n": 3}], "steps": [1.0, None], "none": []}

    comparison = compared(result, result)

    assert comparison.is_within(0.0)
    assert (comparison.n_values, comparison.difference, comparison.where) == (5, 0.0, "")


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        (2.0, 2.0 + 2e-8, 1e-8),
        (-1.0, 1.0, 2.0),
        (1, 1.5, 1 / 3),
        # Integers are compared absolutely, also stamps that float64 cannot represent exactly.
        (4, 5, 1.0),
        (1_700_000_000_000_000_000, 1_700_000_000_000_000_001, 1.0),
        ("walking", "standing", np.inf),
        (True, False, 1.0),
        (0.5, None, np.inf),
        (0.5, float("inf"), np.inf),
        (0.5, "0.5", np.inf),
        ([0.5, 0.25], [0.5], np.inf),
    ],
)
def test_a_changed_value_is_above_the_tolerance(old, new, difference):
    for comparison in (compared({"a": old}, {"a": new}), compared({"a": new}, {"a": old})):
        assert comparison.difference == pytest.approx(difference)
        assert not comparison.is_within(TOLERANCE)


@pytest.mark.parametrize(
    ("old", "new"), [(2.0, 2.0 + 1e-10), (0.0, 1e-13), (3, 3.0), (float("inf"), float("inf"))]
)
def test_values_that_differ_by_rounding_are_the_same(old, new):
    assert compared({"a": old}, {"a": new}).is_within(TOLERANCE)


def test_the_largest_difference_is_located():
    old = {"splits": [{"ade": [1.0, 2.0, 3.0]}, {"ade": [1.0, 2.0, 4.0]}]}
    new = {"splits": [{"ade": [1.0, 2.1, 3.0]}, {"ade": [1.0, 2.0, 5.0]}]}

    comparison = compared(old, new)

    assert comparison.where == "splits[1].ade[2]"
    assert comparison.n_different == 2
    assert comparison.difference == pytest.approx(0.2)


def test_missing_and_extra_leaves_are_named():
    comparison = compared({"a": 1, "old": {"b": 2}}, {"a": 1, "new": [3]})

    assert (comparison.missing, comparison.extra) == (("old.b",), ("new",))
    assert comparison.difference == 0.0
    assert not comparison.is_within(TOLERANCE)


def test_timings_and_paths_do_not_count():
    old = {"latency_ms_p99": 1.0, "model_ms": [1.0], "bags": [{"path": "/a"}], "kde": 1.0}
    new = {"latency_ms_p99": 2.0, "model_ms": [2.0], "bags": [{"path": "/b"}], "kde": 1.0}

    comparison = compared(old, new)

    assert comparison.is_within(0.0)
    assert comparison.n_values == 1


def test_allowed_leaves_may_change_and_no_others():
    old, new = {"kde": 1.0, "amd": 1.0, "gone": 1}, {"kde": 2.0, "amd": 1.0}

    assert compared(old, new, "results.json:(kde|gone)$").is_within(0.0)
    assert not compared(old, new, "other.json:").is_within(TOLERANCE)
    assert compared(old, new, "gone").where == "kde[0]"


def test_files_are_compared_by_name(tmp_path):
    for folder, kde in (("old", 1.0), ("new", 2.0)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "results.json").write_text(json.dumps({"kde": kde}))
    (tmp_path / "old" / "only.json").write_text('{"amd": 1.0}')

    changed, absent = (
        compare_files(tmp_path / "old", tmp_path / "new", name)
        for name in ("results.json", "only.json")
    )

    assert (changed.difference, changed.where) == (0.5, "kde[0]")
    assert absent.missing == ("amd",)


def test_the_table_says_which_result_differs(capsys):
    same, changed = compared({"a": 1.0}, {"a": 1.0}), compared({"a": 1.0, "b": 1}, {"a": 2.0})

    assert show([same], TOLERANCE)
    assert not show([same, changed], TOLERANCE)
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert "ABOVE" not in lines[0]
    assert "0.5" in lines[1] and "a[0]" in lines[1] and "ABOVE TOLERANCE" in lines[1]
    assert lines[2].split() == ["missing", "b"]


def test_a_folder_that_is_not_a_checkout_is_refused(tmp_path):
    command = [sys.executable, str(SCRIPTS / "compare_checkouts.py"), str(tmp_path), str(tmp_path)]

    done = subprocess.run([*command, "--data", str(tmp_path)], capture_output=True, text=True)

    assert done.returncode != 0
    assert "make test" in done.stderr
