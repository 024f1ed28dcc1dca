"""A tally gives the same metrics as all predicted trajectories at once."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.bags import START_NS, S, people_messages, walkers, write_bag

from social_implicit_ros.evaluation.distribution import MomentChooser, measure_distribution
from social_implicit_ros.evaluation.errors import ScoredTick, measure
from social_implicit_ros.evaluation.replay import BagReplay
from social_implicit_ros.evaluation.tally import (
    Tally,
    counts_of,
    groups_of,
    horizon_of,
    metrics_of,
    reliability_of,
    sums_by_group,
)
from social_implicit_ros.metrics.displacement import best_of_n, mean_path, missed
from social_implicit_ros.metrics.reliability import (
    confidence_levels,
    coverage,
    reliability_curve,
    reliability_scores,
)
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.forecast import forecast_from_tick
from social_implicit_ros.prediction.pipeline import PipelineConfig, PredictionPipeline
from social_implicit_ros.prediction.replay_settings import load_settings
from social_implicit_ros.prediction.resample import Steps
from social_implicit_ros.recordings.track_source import open_source
from social_implicit_ros.tracks.messages.agent_ids import AgentNumbers
from social_implicit_ros.types import Prediction, Tracks

MODEL = ConstantVelocity(heading_sigma_rad=0.5)
STEPS = Steps(0.4, 12)


def crowd() -> list[Tracks]:
    """Fifteen people who come and go, at speeds from 0 to 3 m/s, on curved paths."""
    generator = np.random.default_rng(1)
    speeds = np.linspace(0.0, 3.0, 15)
    turns = generator.uniform(-0.3, 0.3, 15)
    begins, ends = generator.uniform(0, 3, 15), generator.uniform(5, 12, 15)
    starts = generator.uniform(-4, 4, (15, 2))
    recording = []
    for index in range(120):
        time_s = index / 10
        there = [agent for agent in range(15) if begins[agent] <= time_s <= ends[agent]]
        angle = turns[there] * time_s + np.array(there)
        offsets = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        positions = starts[there] + (speeds[there] * time_s)[:, None] * offsets
        ids = tuple(f"p{agent}" for agent in there)
        recording.append(Tracks(START_NS + round(time_s * S), ids, positions))
    return recording


@pytest.fixture(scope="module")
def ticks(tmp_path_factory: pytest.TempPathFactory) -> list[ScoredTick]:
    bag = write_bag(tmp_path_factory.mktemp("tally") / "bag", people_messages(crowd()))
    replay = BagReplay(
        open_source(bag), {"model": MODEL}, replace(load_settings(), tick_rate_hz=5.0)
    )
    return [scored["model"] for scored in replay.ticks()]


def tally_of(ticks: list[ScoredTick], n_at_once: int = 7) -> Tally:
    tally = Tally.empty([0.4 * (step + 1) for step in range(12)])
    for first in range(0, len(ticks), n_at_once):
        tally.add_measures(measure(ticks[first : first + n_at_once]))
    return tally


@pytest.fixture(scope="module")
def futures(ticks: list[ScoredTick]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Samples, mean, covariance and ground truth of all complete trajectories."""
    ground_truth = np.concatenate([tick.ground_truth for tick in ticks])
    complete = np.isfinite(ground_truth).all(axis=(1, 2))
    predictions = [tick.forecast.prediction for tick in ticks]
    return (
        np.concatenate([p.samples for p in predictions], axis=1)[:, complete],
        np.concatenate([p.mean for p in predictions])[complete],
        np.concatenate([p.covariance for p in predictions])[complete],
        ground_truth[complete],
    )


def test_metrics_equal_those_of_all_trajectories_at_once(ticks, futures):
    samples, mean, covariance, ground_truth = futures
    levels = confidence_levels(mean, covariance, ground_truth)
    best_ade, best_fde = best_of_n(samples, ground_truth)
    mean_ade, mean_fde = mean_path(mean, ground_truth)
    r_avg, r_min = reliability_scores(levels)

    metrics = metrics_of(tally_of(ticks))

    assert len(ground_truth) > 100
    expected = {
        "best_ade": best_ade.mean(),
        "best_fde": best_fde.mean(),
        "mean_ade": mean_ade.mean(),
        "mean_fde": mean_fde.mean(),
        "miss_rate": missed(samples, ground_truth).mean(),
        "coverage_95": coverage(levels, 0.95),
        "r_avg": r_avg,
        "r_min": r_min,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    np.testing.assert_allclose(reliability_of(tally_of(ticks)), reliability_curve(levels)[1])


def test_the_horizon_counts_every_known_step(ticks):
    ground_truth = np.concatenate([tick.ground_truth for tick in ticks])
    mean = np.concatenate([tick.forecast.prediction.mean for tick in ticks])
    error = np.linalg.norm(mean - ground_truth, axis=-1)

    horizon = horizon_of(tally_of(ticks))

    np.testing.assert_allclose(horizon["error_m"], np.nanmean(error, axis=0))
    assert horizon["futures"] == np.isfinite(error).sum(axis=0).tolist()
    assert horizon["futures"][0] > horizon["futures"][-1] > 0


def test_groups_contain_every_trajectory_once(ticks):
    tally = tally_of(ticks)
    n_futures = counts_of(tally)["futures"]

    groups = groups_of(tally, 0.4)

    for rows in groups.values():
        assert sum(row["futures"] for row in rows) == n_futures
        total = sum(row["futures"] * row["mean_fde"] for row in rows)
        assert total / n_futures == pytest.approx(metrics_of(tally)["mean_fde"])
    assert [row["name"] for row in groups["speed"]] == [
        "standing",
        "strolling",
        "walking",
        "hurrying",
        "running",
    ]
    assert groups["history"][0]["name"] == "0.4 s"
    assert groups["history"][-1]["name"] == "2.8 s"


def test_sums_of_groups_are_those_of_their_rows():
    generator = np.random.default_rng(0)
    rows, group = generator.normal(size=(50, 3)), generator.choice([0, 1, 3], 50)

    sums = sums_by_group(rows, group, 5)

    for number in range(5):  # groups 2 and 4 are empty
        np.testing.assert_allclose(sums[number], rows[group == number].sum(axis=0), atol=1e-12)


def test_a_level_on_the_grid_is_inside_the_ellipse_of_that_confidence(ticks):
    measures = measure(ticks[:20])
    n_complete = measures.complete.sum()
    levels = np.full(measures.levels.shape, 1.0)  # beyond every ellipse
    levels[:, :3] = [0.0, 0.5, 0.99]
    tally = Tally.empty([0.4 * (step + 1) for step in range(12)])

    tally.add_measures(replace(measures, levels=levels))

    assert n_complete > 0
    assert tally.sums["levels"].sum() == 12 * n_complete
    expected = np.where(np.arange(1, 100) < 50, 1, np.where(np.arange(1, 100) < 99, 2, 3)) / 12
    np.testing.assert_allclose(reliability_of(tally), expected)


def test_sums_do_not_depend_on_how_ticks_were_grouped(ticks):
    one, other = tally_of(ticks, 1), tally_of(ticks, 50)

    for name, values in one.sums.items():
        np.testing.assert_allclose(values, other.sums[name], err_msg=name)


def test_the_sum_of_two_tallies_is_the_tally_of_both(ticks):
    both = Tally.total([tally_of(ticks[:20]), tally_of(ticks[20:])])

    assert metrics_of(both)["mean_ade"] == pytest.approx(metrics_of(tally_of(ticks))["mean_ade"])


def test_a_tally_survives_json_without_loss(ticks):
    tally = tally_of(ticks)

    again = Tally.from_dict(json.loads(json.dumps(tally.to_dict())))

    assert again.times_s == tally.times_s
    for name, values in tally.sums.items():
        np.testing.assert_array_equal(again.sums[name], values)


def test_metrics_of_an_empty_tally_are_nan():
    metrics = metrics_of(Tally.empty([0.4, 0.8]))

    assert all(np.isnan(value) for value in metrics.values())


class TestDistribution:
    def test_moments_are_spread_evenly(self, ticks):
        chooser = MomentChooser(duration_s=12.0, n_moments=6)

        chosen = [tick.forecast.stamp_ns for tick in ticks if chooser.chooses([tick])]

        assert set(np.diff(chosen).tolist()) == {2 * S}

    def test_there_are_no_more_moments_than_requested(self, ticks):
        chooser = MomentChooser(duration_s=0.001, n_moments=3)

        assert sum(chooser.chooses([tick]) for tick in ticks) == 3
        assert not any(MomentChooser(12.0, 0).chooses([tick]) for tick in ticks)

    def test_metrics_of_a_tick_are_deterministic_and_in_range(self, ticks):
        tick = ticks[len(ticks) // 3]

        first, second = (measure_distribution([tick], MODEL, STEPS, seed=0) for _ in range(2))

        assert first == second
        assert first["positions"] > 20
        assert 0.0 <= first["collision_rate"] <= 1.0
        assert 0.0 < first["energy"] / first["positions"] < 3.0

    @pytest.mark.parametrize("model", [MODEL, ConstantVelocity()])
    def test_a_batch_of_ticks_gives_the_sum_of_each(self, ticks, model):
        chooser = MomentChooser(duration_s=12.0, n_moments=4)
        chosen = [tick for tick in ticks if chooser.chooses([tick])]

        batch = measure_distribution(chosen, model, STEPS, seed=0)

        one_by_one = [measure_distribution([tick], model, STEPS, seed=0) for tick in chosen]
        for name, sum_of_all in batch.items():
            expected = sum(measures[name] for measures in one_by_one)
            assert sum_of_all == pytest.approx(expected, rel=1e-9), name

    def test_a_calibrated_gaussian_has_its_analytic_amd(self):
        """Ground truth drawn from the predicted Gaussian: AMD near sqrt(pi / 2)."""
        model = _Gaussian()
        recording = walkers(duration_s=3.0, n_agents=20)
        generator = np.random.default_rng(0)
        ticks = [_tick_with_ground_truth(recording, model, generator, index) for index in range(20)]

        total = measure_distribution(ticks, model, STEPS, seed=0)

        assert total["amd"] / total["positions"] == pytest.approx(1.2533, rel=0.08)
        assert total["amv"] / 20 == pytest.approx(0.25, rel=0.1)


class _Gaussian(ConstantVelocity):
    """Constant velocity with Gaussian noise of 0.5 m."""

    def predict(self, observed, *, n_samples=20, seed=0, planned_m=None):
        plain = super().predict(observed, n_samples=n_samples, seed=seed)
        noise = np.random.default_rng(seed + 7).normal(0, 0.5, plain.samples.shape)
        covariance = np.broadcast_to(0.25 * np.eye(2), (*plain.mean.shape, 2))
        return Prediction(plain.samples + noise, plain.mean, covariance, plain.step_s)


def _tick_with_ground_truth(recording, model, generator, index) -> ScoredTick:
    pipeline = PredictionPipeline(model, PipelineConfig())
    for tracks in recording:
        pipeline.history.insert(replace(tracks, stamp_ns=tracks.stamp_ns + index))
    tick = pipeline.tick(recording[-1].stamp_ns + index)
    forecast = forecast_from_tick(tick, AgentNumbers(), STEPS, "map")
    ground_truth = forecast.prediction.mean + generator.normal(
        0, 0.5, forecast.prediction.mean.shape
    )
    rows = np.array([tick.window.ids.index(agent) for agent in forecast.ids])
    return ScoredTick(tick, forecast, rows, ground_truth)
