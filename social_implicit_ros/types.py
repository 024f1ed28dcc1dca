"""The values that flow through the package: tracks -> window -> prediction.

Arrays are float64 and in metres unless a name says otherwise; A counts agents, H observed
steps, T predicted steps, K samples. Positions are in one fixed frame. Times are integer
nanoseconds; durations in the public interface are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

#: Id of the robot among tracks. ROS strings contain no zero byte, so no tracker can use it.
ROBOT_ID = "\0robot"


class SkipReason(str, Enum):
    """Why an entry of a message is left out, or a track not predicted; each is counted."""

    # Entries of messages.
    EMPTY_ID = "empty_id"
    DUPLICATE_ID = "duplicate_id"  # twice in one message
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"  # beyond any map coordinate
    UNSET_POSITION = "unset_position"  # a constant in place of an unknown position
    DUPLICATE_POSITION = "duplicate_position"  # exactly that of another entry
    REPEATED = "repeated"  # published again without a new observation
    EXTRAPOLATED = "extrapolated"  # by its tracker, in an exact line
    OTHER_STAMP = "other_stamp"  # far from that of most entries of its message
    NO_STAMP = "no_stamp"
    FUTURE_STAMP = "future_stamp"
    DUPLICATE_STAMP = "duplicate_stamp"
    OUT_OF_ORDER = "out_of_order"  # too old
    LATE_OUTLIER = "late_outlier"  # late, and out of reach of the observations around it
    OUTLIER = "outlier"  # out of reach of its track
    OVER_CAPACITY = "over_capacity"  # more agents than max_agents
    OTHER_CLASS = "other_class"  # by the filters of the tracker mapping, as the next two
    OTHER_STATE = "other_state"
    LOW_SCORE = "low_score"
    NO_TRANSFORM = "no_transform"  # within transform_wait_s
    # Tracks at a tick.
    TOO_FEW_OBSERVATIONS = "too_few_observations"
    TOO_YOUNG = "too_young"
    VANISHED = "vanished"  # no longer reported, and unlikely to reappear
    MERGED = "merged"  # the same person as another track, which is predicted
    ROBOT = "robot"  # the robot itself
    STALE = "stale"  # not reported for track_timeout_s


def plain_frame(frame: str) -> str:
    """A frame's name without the leading slash of ROS 1 and old recordings."""
    return frame.lstrip("/")


def require_shape(owner: str, name: str, array: np.ndarray, expected: Sequence[int | str]) -> None:
    """Raises ValueError unless `array` has the `expected` shape; a string accepts any length.

    Args:
        owner: what the array belongs to, for the error message.
        name: the array's name, for the error message.
        array: the array to check.
        expected: one entry per axis: a length, or a letter for an axis of any length.
    """
    shape = array.shape
    # A plain loop, as this runs about fifty times a tick.
    if len(shape) == len(expected):
        for have, want in zip(shape, expected):  # noqa: B905 (of one length)
            if have != want and not isinstance(want, str):
                break
        else:
            return
    wanted = "(" + ", ".join(str(axis) for axis in expected) + ")"
    raise ValueError(f"{owner}.{name} has shape {shape}, expected {wanted}")


@dataclass(frozen=True, eq=False)
class Tracks:
    """The tracks that one tracker reports at one stamp.

    Attributes:
        stamp_ns: when the positions were measured, integer nanoseconds.
        ids: (A,) the tracker's own ids, as text.
        positions_m: (A, 2) positions in metres, fixed frame.
        heights_m: (A,) z in metres, passed through to the output; zeros by default.
        velocities_m_s: (A, 3) velocities in metres per second, NaN if unknown; None if the tracker
            reports none.
        covariances_m2: (A, 3, 3) covariances of the positions in square metres, NaN if unknown;
            None if the tracker reports none.
        source: prefix of the ids, which identifies the tracker; empty if there is only one.
        repeated_ids: ids of further people that the tracker still reports, but without a new
            observation.
    """

    stamp_ns: int
    ids: tuple[str, ...]
    positions_m: FloatArray
    heights_m: FloatArray = field(default_factory=lambda: np.empty(0))
    velocities_m_s: FloatArray | None = None
    covariances_m2: FloatArray | None = None
    source: str = ""
    repeated_ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n_agents = len(self.ids)
        require_shape("Tracks", "positions_m", self.positions_m, (n_agents, 2))
        if self.heights_m.size == 0 and n_agents > 0:
            object.__setattr__(self, "heights_m", np.zeros(n_agents))
        require_shape("Tracks", "heights_m", self.heights_m, (n_agents,))
        if self.velocities_m_s is not None:
            require_shape("Tracks", "velocities_m_s", self.velocities_m_s, (n_agents, 3))
        if self.covariances_m2 is not None:
            require_shape("Tracks", "covariances_m2", self.covariances_m2, (n_agents, 3, 3))

    def renamed(self, new_id_of: Mapping[str, str]) -> Tracks:
        """A copy with ids replaced according to `new_id_of`; other ids stay."""
        ids, repeated_ids = (
            tuple(new_id_of.get(agent_id, agent_id) for agent_id in names)
            for names in (self.ids, self.repeated_ids)
        )
        return replace(self, ids=ids, repeated_ids=repeated_ids)

    def of_agents(self, rows: IntArray | BoolArray) -> Tracks:
        """The tracks of some agents, selected by row indices or a mask."""
        rows = np.arange(len(self.ids))[rows]
        velocities, covariances = self.velocities_m_s, self.covariances_m2
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            positions_m=self.positions_m[rows],
            heights_m=self.heights_m[rows],
            velocities_m_s=None if velocities is None else velocities[rows],
            covariances_m2=None if covariances is None else covariances[rows],
        )


@dataclass(frozen=True, eq=False)
class ObservationWindow:
    """The observed steps of every agent to predict, at the model's rate, ending at one stamp.

    Attributes:
        stamp_ns: the time of the last step (step 0), integer nanoseconds.
        step_s: seconds between two steps.
        ids: (A,) the tracker's own ids, as text.
        positions_m: (A, H, 2) positions in metres, oldest first; NaN in the leading steps before
            an agent was first seen.
        n_observed: (A,) number of trailing steps that are known, 2 to H.
        heights_m: (A,) latest z in metres.
        covariances_m2: (A, 2, 2) the tracker's covariance of the latest position in square
            metres, zero if it reported none.
        state_covariances: (A, 4, 4) covariance of the estimated x and y in metres and their
            velocities in metres per second, at the last step; None for exact positions.
        newest_m: (A, 2) the newest reported positions, from which the last step may be
            extrapolated, metres; None if it is reported.
    """

    stamp_ns: int
    step_s: float
    ids: tuple[str, ...]
    positions_m: FloatArray
    n_observed: IntArray
    heights_m: FloatArray
    covariances_m2: FloatArray
    state_covariances: FloatArray | None = None
    newest_m: FloatArray | None = None

    def __post_init__(self) -> None:
        n_agents = len(self.ids)
        require_shape("ObservationWindow", "positions_m", self.positions_m, (n_agents, "H", 2))
        require_shape("ObservationWindow", "n_observed", self.n_observed, (n_agents,))
        require_shape("ObservationWindow", "heights_m", self.heights_m, (n_agents,))
        require_shape("ObservationWindow", "covariances_m2", self.covariances_m2, (n_agents, 2, 2))
        if self.state_covariances is not None:
            require_shape(
                "ObservationWindow", "state_covariances", self.state_covariances, (n_agents, 4, 4)
            )
        if self.newest_m is not None:
            require_shape("ObservationWindow", "newest_m", self.newest_m, (n_agents, 2))


@dataclass(frozen=True, eq=False)
class Prediction:
    """The predicted future of A agents.

    Step i is the position (i + 1) * step_s after the window's last step.

    Attributes:
        samples: (K, A, T, 2) sampled trajectories, metres; sample k is one joint future of the
            scene.
        mean: (A, T, 2) mean position, metres.
        covariance: (A, T, 2, 2) covariance of the position, square metres, symmetric and
            positive semi-definite; calibrated if the model card contains a calibration.
        step_s: seconds between two steps.
        radius_scales: (A, T, L) scale of the ellipse at each confidence in
            `uncertainty.ellipses.CONFIDENCES`, relative to the Gaussian's; None for Gaussian
            ellipses.
        probabilities: (K, A) probabilities of each agent's samples, which add up to 1; by default
            1 / K, as for independent draws.
    """

    samples: FloatArray
    mean: FloatArray
    covariance: FloatArray
    step_s: float
    radius_scales: FloatArray | None = None
    probabilities: FloatArray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        require_shape("Prediction", "samples", self.samples, ("K", "A", "T", 2))
        n_samples, n_agents, n_steps, _ = self.samples.shape
        if self.probabilities.shape == (0,):  # left out
            equal = np.full((n_samples, n_agents), 1.0 / max(n_samples, 1))
            object.__setattr__(self, "probabilities", equal)
        require_shape("Prediction", "probabilities", self.probabilities, (n_samples, n_agents))
        require_shape("Prediction", "mean", self.mean, (n_agents, n_steps, 2))
        require_shape("Prediction", "covariance", self.covariance, (n_agents, n_steps, 2, 2))
        if self.radius_scales is not None:
            require_shape(
                "Prediction", "radius_scales", self.radius_scales, (n_agents, n_steps, "L")
            )

    def of_agents(self, rows: IntArray | slice) -> Prediction:
        """The prediction of some agents, selected by row indices."""
        return Prediction(
            self.samples[:, rows],
            self.mean[rows],
            self.covariance[rows],
            self.step_s,
            None if self.radius_scales is None else self.radius_scales[rows],
            self.probabilities[:, rows],
        )
