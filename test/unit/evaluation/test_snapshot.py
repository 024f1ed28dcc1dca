"""A snapshot contains the requested people, with the predictions of every model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.bags import people_messages, walkers, write_bag

from social_implicit_ros.evaluation.replay import BagReplay
from social_implicit_ros.evaluation.report.highlights import snapshot
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.replay_settings import load_settings
from social_implicit_ros.recordings.track_source import open_source
from social_implicit_ros.types import Prediction

MODELS = ("default", "constant_velocity")


def values_of(prediction: Prediction) -> list[np.ndarray]:
    values = [prediction.mean, prediction.covariance]
    return values if prediction.radius_scales is None else [*values, prediction.radius_scales]


def test_people_are_in_the_order_of_the_requested_rows(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", people_messages(walkers()))
    models = {name: load_model(name) for name in MODELS}
    ticks = list(BagReplay(open_source(bag), models, load_settings()).ticks())[-1]
    n_people = len(ticks["default"].forecast.ids)

    everybody = snapshot(ticks, np.arange(n_people))
    backwards = snapshot(ticks, np.arange(n_people)[::-1])

    assert n_people > 1
    assert everybody.ids == ticks["default"].forecast.ids == backwards.ids[::-1]
    np.testing.assert_array_equal(everybody.past_m, backwards.past_m[::-1])
    for name in MODELS:
        shown, other = everybody.predictions[name], backwards.predictions[name]
        assert len(shown.samples) == 1
        for values, others in zip(values_of(shown), values_of(other), strict=True):
            np.testing.assert_array_equal(values, others[::-1])
        np.testing.assert_array_equal(shown.mean, ticks[name].forecast.prediction.mean)
