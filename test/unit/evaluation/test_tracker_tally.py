"""Metrics against an independent ground truth, from sums over recordings."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.evaluation.tally import (
    RATIO_EDGES,
    Tally,
    histogram_quantile,
    tracker_metrics,
)


def tally_of(**known: float) -> Tally:
    tally = Tally.empty([0.4])
    for name, value in known.items():
        tally.sums[name] += value
    return tally


def test_recordings_are_weighted_by_their_numbers_of_people():
    busy = tally_of(person_ticks=90, people=9, matched=90, predicted=99, id_changes=9)
    quiet = tally_of(person_ticks=10, people=1, matched=0, predicted=1, id_changes=1)

    metrics = tracker_metrics(Tally.total([busy, quiet]))

    assert (metrics["person_ticks"], metrics["people"]) == (100, 10)
    assert metrics["predicted"] == pytest.approx(0.9)
    assert metrics["surplus"] == pytest.approx(0.1)
    assert metrics["id_changes"] == pytest.approx(1.0)


def test_metrics_without_data_are_nan():
    metrics = tracker_metrics(tally_of())

    for name in ("predicted", "mean_ade", "median_fde", "coverage_95", "end_change_m"):
        assert np.isnan(metrics[name])


@pytest.mark.parametrize("typical", [0.003, 0.25, 40.0])
def test_the_median_is_exact_to_a_few_percent(typical):
    values = typical * np.random.default_rng(0).lognormal(0.0, 1.0, 5001)
    histogram = np.bincount(np.searchsorted(RATIO_EDGES, values), minlength=len(RATIO_EDGES) + 1)

    assert histogram_quantile(histogram, RATIO_EDGES, 0.5) == pytest.approx(
        np.median(values), rel=0.03
    )
