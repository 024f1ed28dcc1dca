"""Published predictions against what came to pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from social_implicit_ros.evaluation.published import PublishedPrediction
from social_implicit_ros.metrics.displacement import mean_path
from social_implicit_ros.metrics.reliability import confidence_levels, coverage
from social_implicit_ros.tracks.agent_ids import agent_number
from social_implicit_ros.types import FloatArray, IntArray, Tracks

#: Between two observations further apart than this nobody knows where an agent was, seconds.
MAX_GAP_S = 0.5


class Truth:
    """Where every agent was, between any two observations that are close enough in time."""

    def __init__(self, recording: Iterable[Tracks], *, max_gap_s: float = MAX_GAP_S) -> None:
        """Reads a recording to its end.

        Args:
            recording: in any order; agents are told apart by `agent_number`, as they are
                published.
            max_gap_s: longest time between two observations to interpolate over, seconds.
        """
        self._max_gap_ns = round(max_gap_s * 1e9)
        observations: defaultdict[int, dict[int, FloatArray]] = defaultdict(dict)
        for tracks in recording:
            for agent_id, position_m in zip(tracks.ids, tracks.positions_m, strict=True):
                if np.isfinite(position_m).all():
                    observations[agent_number(agent_id)].setdefault(tracks.stamp_ns, position_m)
        self._paths: dict[int, tuple[IntArray, FloatArray]] = {}
        for agent, position_at in observations.items():
            times_ns = sorted(position_at)
            positions_m = np.stack([position_at[time_ns] for time_ns in times_ns])
            self._paths[agent] = (np.array(times_ns, dtype=np.int64), positions_m)

    @property
    def agents(self) -> tuple[int, ...]:
        """The numbers of all agents that were ever seen."""
        return tuple(self._paths)

    def path(self, agent: int) -> tuple[IntArray, FloatArray]:
        """An agent's (N,) times in nanoseconds and (N, 2) positions in metres, oldest first.

        Raises:
            KeyError: no such agent.
        """
        return self._paths[agent]

    def positions_m(self, agents: IntArray, stamps_ns: IntArray) -> FloatArray:
        """Where agents were, by linear interpolation.

        Args:
            agents: (A,) numbers of agents.
            stamps_ns: (T,) integer nanoseconds.

        Returns:
            (A, T, 2) in metres; NaN where an agent was not seen before and after the moment
            within the longest gap allowed.
        """
        positions = np.full((len(agents), len(stamps_ns), 2), np.nan)
        for row, agent in enumerate(agents.tolist()):
            if agent in self._paths:
                positions[row] = self._interpolate(*self._paths[agent], stamps_ns)
        return positions

    def _interpolate(
        self, times_ns: IntArray, path_m: FloatArray, stamps_ns: IntArray
    ) -> FloatArray:
        last = len(times_ns) - 1
        after = np.clip(np.searchsorted(times_ns, stamps_ns), 0, last)
        # At an observation's own time, that observation is on both sides.
        before = np.where(times_ns[after] == stamps_ns, after, np.maximum(after - 1, 0))
        gap_ns = times_ns[after] - times_ns[before]
        share = (stamps_ns - times_ns[before]) / np.maximum(gap_ns, 1)
        inside = (stamps_ns >= times_ns[0]) & (stamps_ns <= times_ns[last])
        known = inside & (gap_ns <= self._max_gap_ns)
        positions = path_m[before] + share[:, None] * (path_m[after] - path_m[before])
        positions[~known] = np.nan
        return positions


@dataclass(frozen=True)
class MatchSummary:
    """How good published predictions were; distances in metres, NaN where nothing could be matched.

    A future counts when the truth is known at every one of its steps.

    Attributes:
        n_agents: agents that were predicted at least once.
        n_predictions: futures published, one per agent and tick.
        n_matched: futures that count.
        horizon_s: how far they look ahead.
        ade_m: mean distance of the expected path from the truth.
        fde_m: mean distance at the last step.
        confidence: of the ellipse below.
        inside: share of true positions inside the ellipse of that confidence.
    """

    n_agents: int
    n_predictions: int
    n_matched: int
    horizon_s: float
    ade_m: float
    fde_m: float
    confidence: float
    inside: float


def summarise(
    predictions: Sequence[PublishedPrediction], truth: Truth, *, confidence: float = 0.95
) -> MatchSummary:
    """Measures predictions, all with the same steps, against the truth.

    Args:
        predictions: in any order.
        truth: what came to pass.
        confidence: of the ellipse whose share of hits is measured, in (0, 1).
    """
    filled = [prediction for prediction in predictions if len(prediction.agents)]
    agents: set[int] = set().union(*(prediction.agents.tolist() for prediction in filled))
    matched = [_matched(prediction, truth) for prediction in filled]
    n_matched = sum(len(came_to_pass) for _, _, came_to_pass in matched)
    ade_m = fde_m = inside = float("nan")
    if n_matched:
        mean, covariance, came_to_pass = (
            np.concatenate(part) for part in zip(*matched, strict=True)
        )
        ade, fde = mean_path(mean, came_to_pass)
        ade_m, fde_m = float(ade.mean()), float(fde.mean())
        inside = coverage(confidence_levels(mean, covariance, came_to_pass), confidence)
    return MatchSummary(
        n_agents=len(agents),
        n_predictions=sum(len(prediction.agents) for prediction in filled),
        n_matched=n_matched,
        horizon_s=float(filled[0].times_s[-1]) if filled else 0.0,
        ade_m=ade_m,
        fde_m=fde_m,
        confidence=confidence,
        inside=inside,
    )


def _matched(
    prediction: PublishedPrediction, truth: Truth
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean, covariance and truth of the agents whose whole future is known."""
    came_to_pass = truth.positions_m(prediction.agents, prediction.stamps_ns)
    complete = np.isfinite(came_to_pass).all(axis=(1, 2))
    return prediction.mean[complete], prediction.covariance[complete], came_to_pass[complete]
