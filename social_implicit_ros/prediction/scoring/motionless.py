"""Tracks that never move: pillars that a tracker takes for people, props of a simulator."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.types import FloatArray

#: A track that stays this near to its first position has not moved, metres.
MOTIONLESS_M = 0.01


class MotionlessTracks:
    """Finds predictions that say nothing new, as their track has never moved.

    All predictions of such a track are equal. Counted each, a few pillars would outweigh everybody
    who stands. Somebody who comes and then stands still has moved, and counts.
    """

    def __init__(self) -> None:
        self._first_m: dict[str, FloatArray] = {}  # NaN once the track moved

    def add(self, ids: tuple[str, ...], positions_m: FloatArray) -> FloatArray:
        """Takes the present positions; tracks that are not among them are forgotten.

        Args:
            ids: (A,) of the predicted agents.
            positions_m: (A, 2) their positions, metres.

        Returns:
            (A, 2) where a track has been since before and never moved, metres; NaN for the others.
        """
        before = self._first_m
        known = np.array([agent in before for agent in ids], dtype=bool)
        first_m = np.array(
            [before.get(agent, at_m) for agent, at_m in zip(ids, positions_m, strict=True)]
        ).reshape(-1, 2)
        first_m = np.where(_is_near(positions_m, first_m)[:, None], first_m, np.nan)
        self._first_m = dict(zip(ids, first_m, strict=True))
        return np.where(known[:, None], first_m, np.nan)

    def clear(self) -> None:
        """Forgets all tracks."""
        self._first_m.clear()


def weights_of(ground_truth_m: FloatArray, still_m: FloatArray) -> FloatArray:
    """(E,) weight of scored positions: 0 where a track still has not moved, else 1.

    Args:
        ground_truth_m: (E, 2) positions, metres.
        still_m: (E, 2) from `MotionlessTracks.add` at the time of the prediction.
    """
    return np.where(_is_near(ground_truth_m, still_m), 0.0, 1.0)


def _is_near(first_m: FloatArray, second_m: FloatArray) -> FloatArray:
    near: FloatArray = np.hypot(*(first_m - second_m).T) <= MOTIONLESS_M
    return near
