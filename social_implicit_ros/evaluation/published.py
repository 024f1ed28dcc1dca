"""Predictions as the node publishes them, one point per agent and step, and their scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from social_implicit_ros.evaluation.faulty_tracker.people import People
from social_implicit_ros.evaluation.faulty_tracker.simulated_tracker import NOBODY
from social_implicit_ros.metrics.displacement import mean_path
from social_implicit_ros.metrics.reliability import confidence_levels, coverage
from social_implicit_ros.prediction.cloud_fields import CLOUD_FIELDS, confidence_of
from social_implicit_ros.prediction.scoring.online_evaluation import MAX_GAP_S
from social_implicit_ros.tracks.messages.agent_ids import agent_number
from social_implicit_ros.tracks.messages.point_cloud import point_cloud_array
from social_implicit_ros.tracks.stamps import NS_PER_S, stamp_ns_of
from social_implicit_ros.types import FloatArray, IntArray, Tracks, require_shape
from social_implicit_ros.uncertainty.ellipses import confidence_to_sigmas

#: Fields that are read; heights are not.
FIELDS = tuple(name for name in CLOUD_FIELDS if name != "z")
#: Duration and period of the past positions, seconds; the duration covers the model's input.
PAST_S, PAST_STEP_S = 3.2, 0.1
#: Maximum number of frames of an animation, and their period, seconds.
ANIMATION_FRAMES, ANIMATION_PERIOD_S = 50, 0.2


@dataclass(frozen=True, eq=False)
class PublishedPrediction:
    """One `~/predictions` message.

    Attributes:
        stamp_ns: time of the tick, integer nanoseconds.
        agents: (A,) numbers of the agents, see `tracks.messages.agent_ids`.
        times_s: (T,) seconds after the stamp.
        mean: (A, T, 2) mean positions in metres.
        covariance: (A, T, 2, 2) covariances in square metres.
        n_observed: (A,) number of observed steps from which each agent is predicted.
        radii: confidence -> (A, T) radius of its ellipse in standard deviations.
    """

    stamp_ns: int
    agents: IntArray
    times_s: FloatArray
    mean: FloatArray
    covariance: FloatArray
    n_observed: IntArray
    radii: Mapping[float, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (*self.agents.shape, *self.times_s.shape)
        expected = {"mean": (*shape, 2), "covariance": (*shape, 2, 2), "n_observed": shape[:1]}
        for name, of_name in expected.items():
            require_shape("PublishedPrediction", name, getattr(self, name), of_name)
        for confidence, radius in self.radii.items():
            require_shape("PublishedPrediction", f"radii[{confidence:g}]", radius, shape)

    def ellipses(self, confidence: float) -> FloatArray:
        """(A, T, 2, 2) covariances, m^2, whose one-sigma ellipse is the region of a confidence.

        Radii that are not published are those of a Gaussian.
        """
        radius = self.radii.get(confidence, np.float64(confidence_to_sigmas(confidence)))
        return np.asarray(self.covariance * np.square(radius)[..., None, None])

    @property
    def stamps_ns(self) -> IntArray:
        """(T,) predicted times, integer nanoseconds."""
        return self.stamp_ns + np.round(self.times_s * 1e9).astype(np.int64)


def prediction_from_point_cloud(message: Any) -> PublishedPrediction:
    """Decodes a `~/predictions` PointCloud2; raises ValueError for other messages."""
    points = point_cloud_array(message)
    names = points.dtype.names or ()
    missing = [name for name in FIELDS if name not in names]
    if missing:
        raise ValueError(
            f"PointCloud2 has no field {', '.join(missing)}: it is not a ~/predictions message"
        )
    points = points[np.lexsort((points["t"], points["agent_id"]))]
    agents, counts = np.unique(points["agent_id"].astype(np.int64), return_counts=True)
    n_steps = int(counts[0]) if len(counts) else 0
    rows = points.reshape(len(agents), n_steps) if (counts == n_steps).all() else None
    if rows is None or not (rows["t"] == rows["t"][:1]).all():
        raise ValueError("agents of a ~/predictions message have different steps")
    column = {name: rows[name].astype(np.float64) for name in names}
    entries = [column[f"sigma_{axes}"] for axes in ("xx", "xy", "xy", "yy")]
    radii = {confidence_of(name): values for name, values in column.items()}
    return PublishedPrediction(
        stamp_ns=stamp_ns_of(message.header.stamp),
        agents=agents,
        times_s=column["t"][0] if len(rows) else np.empty(0),
        mean=np.stack([column["x"], column["y"]], axis=-1),
        covariance=np.stack(entries, axis=-1).reshape(*rows.shape, 2, 2),
        n_observed=rows["n_observed"][:, 0].astype(np.int64) if n_steps else np.empty(0, np.int64),
        radii={known: values for known, values in radii.items() if known is not None},
    )


@dataclass(frozen=True, eq=False)
class ScoredPrediction:
    """A published prediction with the past and the ground truth of its agents.

    Attributes:
        past_m: (A, P, 2) positions in the `PAST_S` up to the prediction, metres, oldest first; the
            last is the present one. NaN where unknown.
        ground_truth_m: (A, T, 2) positions at the predicted steps, metres; NaN where unknown.
    """

    prediction: PublishedPrediction
    past_m: FloatArray
    ground_truth_m: FloatArray

    @property
    def present_m(self) -> FloatArray:
        """(A, 2) positions at the time of the prediction, metres; NaN where unknown."""
        return self.past_m[:, -1]


@dataclass(frozen=True)
class ScoreSummary:
    """Metrics of published predictions; NaN if nothing was scored.

    Attributes:
        n_agents: number of agents that were predicted at least once.
        n_predictions: number of predicted trajectories, one per agent and tick.
        n_scored: number of those whose ground truth is known at every step.
        horizon_s: time from the tick to the last predicted step, seconds.
        ade_m, fde_m: mean error of the mean trajectory over all steps and at the last one, metres.
        inside: share of ground truth inside the 95 % region.
    """

    n_agents: int
    n_predictions: int
    n_scored: int
    horizon_s: float
    ade_m: float
    fde_m: float
    inside: float


def score_published(
    predictions: Sequence[PublishedPrediction], recording: Iterable[Tracks]
) -> list[ScoredPrediction]:
    """Pairs predictions with the ground truth of a recording, by `agent_number`.

    All predictions have the same steps.
    """
    person_of: dict[int, int] = {}  # agent number -> person
    people = People.of_rows(
        [
            (tracks.stamp_ns, person_of.setdefault(agent_number(agent), len(person_of)), x, y)
            for tracks in recording
            for agent, (x, y) in zip(tracks.ids, tracks.positions_m.tolist(), strict=True)
        ],
        MAX_GAP_S,
    )
    past_ns = np.round(np.arange(-round(PAST_S / PAST_STEP_S), 1) * PAST_STEP_S * NS_PER_S)
    scored = []
    for prediction in predictions:
        agents = [person_of.get(number, NOBODY) for number in prediction.agents.tolist()]
        stamps_ns = np.append(prediction.stamp_ns + past_ns.astype(np.int64), prediction.stamps_ns)
        positions_m = people.positions_at(np.array(agents, dtype=np.int64), stamps_ns)
        n_past = len(past_ns)
        scored.append(
            ScoredPrediction(prediction, positions_m[:, :n_past], positions_m[:, n_past:])
        )
    return scored


def summarise(scored: Sequence[ScoredPrediction]) -> ScoreSummary:
    """Compares predictions, all with the same steps, with their ground truth."""
    filled = [entry for entry in scored if len(entry.prediction.agents)]
    predictions = [entry.prediction for entry in filled]
    agents: set[int] = set().union(*(prediction.agents.tolist() for prediction in predictions))
    ade_m = fde_m = inside = float("nan")
    n_scored = 0
    if filled:
        ground_truth = np.concatenate([entry.ground_truth_m for entry in filled])
        complete = np.isfinite(ground_truth).all(axis=(1, 2))
        n_scored = int(complete.sum())
    if n_scored:
        ground_truth = ground_truth[complete]
        mean, covariance = (
            np.concatenate([getattr(prediction, name) for prediction in predictions])[complete]
            for name in ("mean", "covariance")
        )
        ade_m, fde_m = (float(error.mean()) for error in mean_path(mean, ground_truth))
        inside = coverage(confidence_levels(mean, covariance, ground_truth), 0.95)
    n_predictions = sum(len(prediction.agents) for prediction in predictions)
    horizon_s = float(predictions[0].times_s[-1]) if predictions else 0.0
    return ScoreSummary(len(agents), n_predictions, n_scored, horizon_s, ade_m, fde_m, inside)


def most_complete(scored: Sequence[ScoredPrediction]) -> int:
    """Index of the prediction with the most people whose past and ground truth are complete."""
    whole_past = max(int(entry.prediction.n_observed.max()) for entry in scored)

    def n_complete(entry: ScoredPrediction) -> int:
        whole_future = np.isfinite(entry.ground_truth_m).all(axis=(1, 2))
        return int((whole_future & (entry.prediction.n_observed == whole_past)).sum())

    return max(range(len(scored)), key=lambda index: n_complete(scored[index]))


def excerpt(scored: Sequence[ScoredPrediction], around: int) -> list[ScoredPrediction]:
    """At most `ANIMATION_FRAMES` predictions, `ANIMATION_PERIOD_S` apart, around one of them."""
    stamps_ns = [entry.prediction.stamp_ns for entry in scored]
    kept: list[int] = []
    for index, stamp_ns in enumerate(stamps_ns):
        # Ticks have jitter.
        if not kept or stamp_ns - stamps_ns[kept[-1]] >= 0.75 * ANIMATION_PERIOD_S * 1e9:
            kept.append(index)
    middle = int(np.searchsorted(kept, around))
    first = max(min(middle - ANIMATION_FRAMES // 2, len(kept) - ANIMATION_FRAMES), 0)
    return [scored[index] for index in kept[first : first + ANIMATION_FRAMES]]


def longest_seen(scored: Sequence[ScoredPrediction]) -> int:
    """The number of the agent that has a complete past and ground truth at most predictions.

    Of several, the one that moves farthest; without any, the first one.
    """
    seen: dict[int, list[FloatArray]] = {}
    for entry in scored:
        whole = np.isfinite(entry.ground_truth_m).all(axis=(1, 2))
        whole &= np.isfinite(entry.past_m).all(axis=(1, 2))
        for row in np.flatnonzero(whole).tolist():
            agent = int(entry.prediction.agents[row])
            seen.setdefault(agent, []).append(entry.present_m[row])
    if not seen:
        return int(scored[0].prediction.agents[0])
    return max(seen, key=lambda agent: (len(seen[agent]), np.ptp(seen[agent], axis=0).max()))
