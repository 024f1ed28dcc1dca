"""Sums about a tracker with faults add up, and say what they are sums of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from social_implicit_ros.evaluation.faulty_tracker.tracker_tally import (
    _EDGES,
    empty_sums,
    tracker_metrics,
)
from social_implicit_ros.evaluation.tally import histogram_quantile


def sums_of(**known: float) -> dict[str, list[float]]:
    """Sums as a file of parts has them."""
    sums = {name: (values + known.get(name, 0.0)).tolist() for name, values in empty_sums().items()}
    return json.loads(json.dumps(sums))


def test_two_recordings_weigh_as_much_as_their_people():
    busy = sums_of(person_ticks=90, people=9, predicted=90, published=99, id_changes=9)
    quiet = sums_of(person_ticks=10, people=1, predicted=0, published=1, id_changes=1)

    metrics = tracker_metrics([busy, quiet])

    assert (metrics["person_ticks"], metrics["people"]) == (100, 10)
    assert metrics["predicted"] == pytest.approx(0.9)
    assert metrics["surplus"] == pytest.approx(0.1)
    assert metrics["id_changes"] == pytest.approx(1.0)


def test_what_was_never_seen_is_unknown():
    metrics = tracker_metrics([empty_sums()])

    for name in ("predicted", "mean_ade", "median_fde", "coverage_95", "end_change_m"):
        assert np.isnan(metrics[name])


@pytest.mark.parametrize("typical", [0.003, 0.25, 40.0])
def test_the_median_is_exact_to_a_few_percent(typical):
    values = typical * np.random.default_rng(0).lognormal(0.0, 1.0, 5001)
    histogram = np.bincount(np.searchsorted(_EDGES, values), minlength=len(_EDGES) + 1)

    assert histogram_quantile(histogram, _EDGES, 0.5) == pytest.approx(np.median(values), rel=0.03)
