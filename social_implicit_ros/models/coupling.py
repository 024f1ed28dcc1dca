"""Couples the predictions of a scene: people who meet give way, and do not overlap in a sample.

Both steps are sums over pairs of agents, so the result does not depend on their order, and it
rotates and shifts with the scene. Paths are offset sideways. The offset grows linearly from the
start until the closest approach and then stays, as people do not return to their line at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from social_implicit_ros.types import BoolArray, FloatArray, IntArray
from social_implicit_ros.untrusted_files import short_text

#: Displacement over the horizon below which a person stands, and above which a person walks,
#: metres. In between, as between the cosines below, the offset is scaled, so that paths never jump.
_STANDS_M, _WALKS_M = 0.5, 1.5
#: Cosine of the angle between the headings of two walking people below which they meet, and above
#: which they do not.
_MEETING_COSINES = (-0.75, -0.25)
#: Maximum deviation of a mean path from its chord, metres.
_CHORD_M = 0.5
#: Maximum number of iterations: the new path may lead towards another person.
_ROUNDS = 4
#: Minimum time over which the offset grows, steps.
_SOONEST = 0.5
#: Number of pairs that are compared at once: those of 200 people in one place.
_BLOCK = 20_000
#: Below this length a vector has no direction, metres.
_NO_LENGTH_M = 1e-6


@dataclass(frozen=True)
class Coupling:
    """Distances of a coupling, chosen on training recordings.

    Attributes:
        passing_m: minimum distance between the centres of people who meet, on mean paths.
        apart_m: minimum distance between the centres of any two people in a sample.
    """

    passing_m: float
    apart_m: float

    def __post_init__(self) -> None:
        for name in ("passing_m", "apart_m"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"coupling.{name} is {short_text(value)}, expected a number")
            if not 0.0 <= value <= 2.0:
                raise ValueError(f"coupling.{name} is {value:g}, expected 0 to 2 m")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Coupling:
        """Reads the coupling of a model card.

        Raises:
            ValueError: a field is missing, unknown, of another type or out of range.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"coupling has the fields {short_text(sorted(values))}") from error

    def made_way(
        self,
        mean: FloatArray,
        samples: FloatArray,
        last_m: FloatArray,
        fixed: BoolArray | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Offsets mean paths of people who walk towards each other or towards a standing person.

        People share the offset in proportion to their speeds, so a standing person stays in place.
        The samples of an agent are shifted like its mean path.

        Args:
            mean: (A, T, 2) positions in metres.
            samples: (K, A, T, 2) positions in metres.
            last_m: (A, 2) positions a step before the first, metres.
            fixed: (A,) agents that keep their path, such as a robot with a plan: walking people
                take the whole offset. None for nobody.

        Returns:
            Mean and samples; the same arrays if nobody meets.
        """
        first, second, weight, share = _meeting_pairs(mean, last_m, self.passing_m, fixed)
        if len(first) == 0:
            return mean, samples
        offset_m = np.zeros_like(mean)
        # Steps last: numpy is fast along long last axes.
        paths = np.empty((2, len(mean), mean.shape[1] + 1))
        paths[..., 0] = last_m.T
        for _ in range(min(_ROUNDS, len(first))):
            paths[..., 1:] = np.moveaxis(mean + offset_m, -1, 0)
            near = _closest(paths.take(second, axis=1) - paths.take(first, axis=1))
            hits = np.flatnonzero(near.distance < self.passing_m)
            if len(hits) == 0:
                break
            push = near.of(hits).push(self.passing_m, mean.shape[1]) * weight[hits, None, None]
            shares = share[hits, None, None]
            np.add.at(offset_m, first[hits], (shares - 1.0) * push)
            np.add.at(offset_m, second[hits], shares * push)
        return mean + offset_m, samples + offset_m

    def kept_apart(
        self, samples: FloatArray, last_m: FloatArray, fixed: BoolArray | None = None
    ) -> FloatArray:
        """Offsets paths within each sample so that people pass at `apart_m`, each by one half.

        Args:
            samples: (K, A, T, 2) positions in metres.
            last_m: (A, 2) positions a step before the first, metres.
            fixed: (A,) as for `made_way`.

        Returns:
            (K, A, T, 2) positions in metres; the same array if nobody comes close.
        """
        apart = samples
        for sample, first, second in _close_pairs(samples, last_m, self.apart_m):
            relative = np.empty((2, len(sample), samples.shape[2] + 1))
            relative[..., 0] = (last_m[second] - last_m[first]).T
            later = samples[sample, second] - samples[sample, first]
            relative[..., 1:] = np.moveaxis(later, -1, 0)
            near = _closest(relative)
            push = near.push(self.apart_m, samples.shape[2])
            share = np.full((len(first), 1, 1), 0.5)
            if fixed is not None:
                share[fixed[first]], share[fixed[second]] = 1.0, 0.0
            apart = samples.copy() if apart is samples else apart
            np.add.at(apart, (sample, first), (share - 1.0) * push)
            np.add.at(apart, (sample, second), share * push)
        return apart


@dataclass(frozen=True, eq=False)
class _Closest:
    """Closest approaches of N pairs.

    Attributes:
        distance: (N,) metres.
        sideways: (N, 2) unit vectors across the relative motion, from the first to the second.
        steps: (N,) time of the closest approach, in steps.
    """

    distance: FloatArray
    sideways: FloatArray
    steps: FloatArray

    def of(self, rows: IntArray) -> _Closest:
        """The pairs in some rows."""
        return _Closest(self.distance[rows], self.sideways[rows], self.steps[rows])

    def push(self, distance_m: float, n_steps: int) -> FloatArray:
        """(N, T, 2) offsets of the second people that widen pairs to a distance, if closer."""
        ramp = np.arange(1.0, n_steps + 1) / np.maximum(self.steps, _SOONEST)[:, None]
        missing_m = np.maximum(distance_m - self.distance, 0.0)
        size_m = missing_m[:, None] * np.minimum(ramp, 1.0)
        return np.asarray(size_m[..., None] * self.sideways[:, None])


def _closest(relative: FloatArray) -> _Closest:
    """Closest approach of pairs with (2, N, T + 1) relative positions, straight between steps."""
    start = relative[..., :-1]
    move = relative[..., 1:] - start
    along, distance_2 = _along_segments(*start, *move)
    rows, step = np.arange(relative.shape[1]), distance_2.argmin(axis=1)
    (move_x, move_y), along = move[:, rows, step], along[rows, step]
    x, y = start[:, rows, step] + along * move[:, rows, step]
    distance = np.sqrt(distance_2[rows, step])
    # Pairs on one line pass each other as if both kept right.
    side = np.where(move_x * y <= move_y * x, -1.0, 1.0)
    across = side / np.maximum(np.sqrt(move_x * move_x + move_y * move_y), _NO_LENGTH_M)
    apart = 1.0 / np.maximum(distance, _NO_LENGTH_M)
    # Inside a segment the offset is perpendicular to it; at an end it points to the closest point.
    inside = ((along > 0.0) & (along < 1.0)) | (distance < _NO_LENGTH_M)
    sideways = np.empty((len(rows), 2))
    sideways[:, 0] = np.where(inside, -move_y * across, x * apart)
    sideways[:, 1] = np.where(inside, move_x * across, y * apart)
    return _Closest(distance, sideways, step + along)


def _along_segments(
    x: FloatArray, y: FloatArray, move_x: FloatArray, move_y: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Fraction of each segment at which it is closest to the origin, and the squared distance."""
    length_2 = move_x * move_x + move_y * move_y
    along = x * move_x
    along += y * move_y
    along /= np.minimum(-length_2, -(_NO_LENGTH_M**2))
    np.minimum(np.maximum(along, 0.0, out=along), 1.0, out=along)
    near_x, near_y = x + along * move_x, y + along * move_y
    near_x *= near_x
    near_y *= near_y
    near_x += near_y
    return along, near_x


def _meeting_pairs(
    mean: FloatArray, last_m: FloatArray, passing_m: float, fixed: BoolArray | None
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Pairs in which one person walks towards the other and the chords of the paths pass closely.

    Returns (N,) first and second people, weights, and shares of the offset of the second people.
    """
    start, end = np.array([last_m.T, mean[:, -1].T])
    move = end - start
    limit_m = passing_m + _CHORD_M
    first, second = _overlapping(np.minimum(start, end), np.maximum(start, end) + limit_m)
    relative = (one.take(second, axis=1) - one.take(first, axis=1) for one in (start, move))
    along, distance_2 = _along_segments(*(axis for one in relative for axis in one))
    # Pairs that are closest at the start can no longer give way.
    near = (distance_2 < limit_m**2) & (along > 0.0)
    if fixed is not None:
        near &= ~(fixed[first] | fixed[second])
    first, second = first[near], second[near]
    lengths, walks, opposite = _meeting(move[:, first], move[:, second])
    (one, other), (length, other_length) = walks, lengths
    weight = one * other * opposite + one * (1.0 - other) + other * (1.0 - one)
    share = other_length / np.maximum(length + other_length, _NO_LENGTH_M)
    if fixed is not None:
        people, planned, of_plans = _pairs_with_plans(mean, last_m, fixed)
        first, second = np.concatenate([first, people]), np.concatenate([second, planned])
        weight = np.concatenate([weight, of_plans])
        share = np.concatenate([share, np.zeros(len(people))])
    chosen = weight > 0.0
    return first[chosen], second[chosen], weight[chosen], share[chosen]


def _pairs_with_plans(
    mean: FloatArray, last_m: FloatArray, fixed: BoolArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs of a person and an agent with a plan, which the person meets; and weights.

    A plan turns: the person meets it where it comes closest, not along its chord. A standing person
    is left to the planner.
    """
    planned, people = (
        rows.ravel() for rows in np.meshgrid(np.flatnonzero(fixed), np.flatnonzero(~fixed))
    )
    n_steps = mean.shape[1]
    # Steps last, as `_closest` wants them.
    paths = np.moveaxis(np.concatenate([last_m[:, None], mean], axis=1), -1, 0)
    steps = _closest(paths[:, planned] - paths[:, people]).steps
    step = np.minimum(steps.astype(np.int64), n_steps - 1)
    there_m = n_steps * (paths[:, planned, step + 1] - paths[:, planned, step])
    chord_m = paths[:, people, -1] - paths[:, people, 0]
    _, (one, other), opposite = _meeting(chord_m, there_m)
    weight = one * (other * opposite + 1.0 - other) * (steps > 0.0)
    return people, planned, weight


def _meeting(
    moves: FloatArray, other_moves: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Displacements of pairs: (2, N) lengths, how much each walks, (N,) how much they are opposite.

    Args:
        moves: (2, N) displacements over the horizon, metres.
        other_moves: (2, N) those of the others.
    """
    lengths = np.stack([np.hypot(*moves), np.hypot(*other_moves)])
    move_x, move_y = moves * other_moves
    cosine = (move_x + move_y) / np.maximum(lengths[0] * lengths[1], _NO_LENGTH_M)
    opposite = np.interp(cosine, _MEETING_COSINES, (1.0, 0.0))
    return lengths, np.interp(lengths, (_STANDS_M, _WALKS_M), (0.0, 1.0)), opposite


def _overlapping(low: FloatArray, high: FloatArray) -> tuple[IntArray, IntArray]:
    """First and second index of the pairs of overlapping (2, A) boxes, each pair once."""
    before = low[:, :, None] < high[:, None]
    before = before[0] & before[1]
    # Several times faster than np.nonzero of two axes.
    first, second = np.divmod(np.flatnonzero(before & before.T), len(before))
    is_once = first < second
    return first[is_once], second[is_once]


def _close_pairs(
    samples: FloatArray, last_m: FloatArray, apart_m: float
) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Blocks of (N,) samples and pairs of people that come closer than `apart_m`, each once."""
    n_samples, n_agents, n_steps, _ = samples.shape
    # float32 is twice as fast, and precise enough relative to a near origin.
    origin = last_m.mean(axis=0)
    start = np.broadcast_to((last_m - origin)[:, None], (n_samples, n_agents, 1, 2))
    paths = np.concatenate([start, samples - origin], axis=2, dtype=np.float32)
    low, high = np.array([paths.min(axis=0).T, paths.max(axis=0).T])
    low = np.minimum(low[:, 1:], low[:, :-1])  # (2, T, A) boxes around all samples of a step
    high = np.maximum(high[:, 1:], high[:, :-1]) + apart_m
    points = paths.reshape(n_samples, -1, 2)
    overlapping = _overlapping(low.min(axis=1), high.max(axis=1))
    for begin in range(0, len(overlapping[0]), _BLOCK):
        first, second = (people[begin : begin + _BLOCK] for people in overlapping)
        near = low.take(first, axis=2) < high.take(second, axis=2)
        near &= low.take(second, axis=2) < high.take(first, axis=2)
        step, pair = np.nonzero(near[0] & near[1])
        one, other = first[pair] * (n_steps + 1) + step, second[pair] * (n_steps + 1) + step
        relative = points.take(other, axis=1) - points.take(one, axis=1)
        later = points.take(other + 1, axis=1) - points.take(one + 1, axis=1)
        _, distance_2 = _along_segments(*relative.T, *(later - relative).T)
        is_close = np.zeros((n_samples, len(first)), dtype=bool)
        found, sample = np.nonzero(distance_2 < apart_m**2)
        is_close[sample, pair[found]] = True
        sample, pair = np.nonzero(is_close)
        if len(pair):
            yield sample, first[pair], second[pair]
