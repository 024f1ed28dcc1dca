"""The metrics in the table of before and after."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from social_implicit_ros.evaluation.benchmark.split_metrics import evaluate_split
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.recordings.text_formats.eth_ucy import Scene
from social_implicit_ros.training.comparison import (
    LABELS,
    comparison_table,
    evaluate_model,
    worse_metrics,
)


@pytest.fixture
def walks() -> list[Scene]:
    generator = np.random.default_rng(0)
    return [
        Scene("walks", n, np.arange(2), generator.normal(0.3, 0.1, (2, 20, 2)).cumsum(axis=1))
        for n in range(30)
    ]


@pytest.mark.slow
def test_metrics_equal_those_of_the_benchmark(walks: list[Scene]) -> None:
    model = load_model("default")
    expected = evaluate_split(model, walks, all_metrics=True)
    metrics = evaluate_model(model, walks, seed=0)
    assert set(metrics) == set(LABELS)
    for name, value in metrics.items():
        assert value == pytest.approx(expected[name], rel=1e-5), name


def test_constant_velocity_predicts_straight_walks() -> None:
    straight = np.arange(20)[:, None] * np.array([0.5, 0.1])
    scene = Scene("one", 0, np.array([1]), straight[None])
    metrics = evaluate_model(ConstantVelocity(), [scene], seed=0)
    assert metrics["ade"] == pytest.approx(0.0, abs=1e-9)
    assert metrics["mean_fde"] == pytest.approx(0.0, abs=1e-9)


def test_the_table_has_every_metric_of_both() -> None:
    before = {name: 1.0 + n for n, name in enumerate(LABELS)}
    after = {name: 0.5 + n for n, name in enumerate(LABELS)}
    console = Console(width=120, record=True, quiet=False, file=io.StringIO())
    console.print(comparison_table({"before": before, "after": after}, "test part"))
    lines = console.export_text().splitlines()
    for name, label in LABELS.items():
        (line,) = [line for line in lines if label in line]
        assert f"{before[name]:.3f}" in line
        assert f"{after[name]:.3f}" in line


def test_metrics_that_became_worse_are_named() -> None:
    before = dict.fromkeys(LABELS, 0.9)
    after = {**before, "ade": 0.91, "fde": 0.89, "r_avg": 0.91, "r_min": 0.89, "coverage_95": 0.94}
    after["nll"] = 0.9004  # the table shows no difference
    assert worse_metrics(before, after) == [LABELS["ade"], LABELS["r_min"]]
    assert worse_metrics(before, {**before, "coverage_95": 0.89}) == [LABELS["coverage_95"]]
