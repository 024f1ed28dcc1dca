"""Keeps predicted trajectories out of walls, which a map of occupied cells has."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from social_implicit_ros.tracks.entries import MAX_COORDINATE_M
from social_implicit_ros.tracks.frames.transforms import RigidTransform
from social_implicit_ros.types import (
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    Prediction,
    plain_frame,
    require_shape,
)

#: Cells at least this likely to be occupied, in percent, are walls (map_server's default).
OCCUPIED_PERCENT = 65
#: Distance between two looks for a wall on the way, in cells.
_PROBE_CELLS = 0.9
#: Share of a displacement along a wall from which on it says to which side somebody turns.
_LEAST_SIDE = 0.1
#: Shorter displacements are always free, in cells.
_SHORTEST_CELLS = 1e-4
#: Cells are merged to at least this size, which costs a tenth of a metre and no time.
_LEAST_CELL_M = 0.1
#: Cells of a plan, once merged; the distances from walls take 80 bytes for each while they are
#: computed. Before, there may be eight times as many.
_MAX_CELLS = 16_000_000
#: Edges that cells of a map of a building or a town can have, metres.
_CELL_M = (1e-3, 100.0)
#: Smallest variance of samples that has a direction, square metres.
_LEAST_VARIANCE_M2 = 1e-6


@dataclass(frozen=True, eq=False)
class FloorPlan:
    """Occupied cells, as in `nav_msgs/OccupancyGrid`.

    Attributes:
        occupied: (rows, columns), row 0 at the lowest y, column 0 at the lowest x of the grid.
        resolution_m: edge of a cell, metres.
        origin_m: (x, y) of the outer corner of cell (0, 0), metres.
        yaw_rad: rotation of the grid about that corner.
        frame_id: of the plan; empty for the fixed frame.
    """

    occupied: BoolArray
    resolution_m: float
    origin_m: tuple[float, float]
    yaw_rad: float = 0.0
    frame_id: str = ""

    def __post_init__(self) -> None:
        require_shape("FloorPlan", "occupied", self.occupied, ("rows", "columns"))
        if not _CELL_M[0] <= self.resolution_m <= _CELL_M[1]:
            raise ValueError(
                f"its resolution is {self.resolution_m}, expected {_CELL_M[0]:g} to "
                f"{_CELL_M[1]:g} metres per cell"
            )
        if not (max(map(abs, self.origin_m)) <= MAX_COORDINATE_M and math.isfinite(self.yaw_rad)):
            raise ValueError(
                f"its origin is at {self.origin_m} with a yaw of {self.yaw_rad}, "
                f"expected metres within {MAX_COORDINATE_M:g} of the frame's origin, and radians"
            )
        n_merged = self.occupied.size / self._n_merged**2
        if max(n_merged, self.occupied.size / 8) > _MAX_CELLS:
            rows, columns = self.occupied.shape
            raise ValueError(
                f"its grid of {rows} x {columns} cells of {self.resolution_m:g} m is too large, "
                f"expected at most {_MAX_CELLS} cells of {_LEAST_CELL_M} m or more: publish a part "
                "of it, or a coarser map"
            )

    @property
    def extent_m(self) -> tuple[float, float, float, float]:
        """Left, right, lower and upper edge in metres, of a grid that is not rotated."""
        rows, columns = self.occupied.shape
        x_m, y_m = self.origin_m
        return x_m, x_m + columns * self.resolution_m, y_m, y_m + rows * self.resolution_m

    def moved(self, pose: RigidTransform) -> FloorPlan:
        """The plan in a level frame in which its own frame has this pose."""
        turn = pose.rotation[:2, :2]
        x_m, y_m = turn @ np.asarray(self.origin_m) + pose.translation_m[:2]
        yaw_rad = self.yaw_rad + math.atan2(turn[1, 0], turn[0, 0])
        moved = replace(self, origin_m=(float(x_m), float(y_m)), yaw_rad=yaw_rad)
        # The distances do not depend on the pose.
        moved.__dict__["_field"] = self._field
        return moved

    def prepare(self) -> FloorPlan:
        """Computes the distances from the walls now, which takes up to seconds; returns itself."""
        _ = self._field
        return self

    def is_occupied(self, positions_m: FloatArray) -> BoolArray:
        """(...) whether (..., 2) positions are in occupied cells; outside the grid none is."""
        return self._field.clearance_at(*self._cells(np.moveaxis(positions_m, -1, 0))) <= 0.0

    def covers(self, positions_m: FloatArray) -> BoolArray:
        """(...) whether (..., 2) positions are on the plan."""
        cells = self._cells(np.moveaxis(positions_m, -1, 0)) * self._n_merged
        rows, columns = self.occupied.shape
        edges = np.array([columns, rows]).reshape(2, *[1] * (cells.ndim - 1))
        return np.asarray(((cells >= 0) & (cells < edges)).all(axis=0))

    def constrain(self, prediction: Prediction, present_m: FloatArray) -> Prediction:
        """Keeps a prediction in free space, with no wall between a person and a position.

        A trajectory that meets a wall slides along it; where it cannot, it ends there. Mean and
        samples are treated alike. The covariance changes as that of the samples does. Who is inside
        an occupied cell is predicted as without walls.

        Args:
            prediction: from the present on.
            present_m: (A, 2) present positions in metres.
        """
        paths_m = np.concatenate([prediction.samples, prediction.mean[None]])
        near = self._near_walls(paths_m, present_m)
        n_paths, _, n_steps, _ = paths_m.shape
        # Steps last, x and y apart: numpy is fast along long last axes.
        walks_m = np.empty((2, n_paths, len(near), n_steps + 1))
        walks_m[..., 0] = present_m[near].T[:, None]
        walks_m[..., 1:] = np.moveaxis(paths_m.take(near, axis=1), -1, 0)
        positions = self._cells(walks_m).reshape(2, -1, n_steps + 1)
        first = self._field.first_blocked(positions)
        blocked = np.flatnonzero(first <= n_steps)
        if len(blocked) == 0:
            return prediction
        walked = self._field.walked(positions[:, blocked], first[blocked])
        index, step = np.nonzero(np.arange(1, n_steps + 1) >= first[blocked, None])
        path, row = np.divmod(blocked[index], len(near))
        paths_m[path, near[row], step] = self._metres(walked[:, index, step + 1]).T
        samples = paths_m[:-1]
        moved = np.zeros(prediction.mean.shape[:2], dtype=np.bool_)
        moved[near[row], step] = True
        pairs = np.flatnonzero(moved)
        # `take` is several times faster here than an index.
        before_m, after_m = (
            each.reshape(n_paths - 1, -1, 2).take(pairs, axis=1)
            for each in (prediction.samples, samples)
        )
        covariance = prediction.covariance.copy()
        covariance[moved] = _reshaped(covariance[moved], before_m, after_m)
        return replace(prediction, samples=samples, mean=paths_m[-1], covariance=covariance)

    def _near_walls(self, paths_m: FloatArray, present_m: FloatArray) -> IntArray:
        """(N,) people with (K, A, T, 2) paths beyond a free disc about their (A, 2) positions."""
        reach_m = np.maximum(paths_m.max(axis=0) - present_m[:, None], 0.0)
        reach_m = np.maximum(reach_m, present_m[:, None] - paths_m.min(axis=0)).max(axis=1)
        clearance = self._field.clearance_at(*self._cells(present_m.T))
        return np.flatnonzero(~(np.hypot(*reach_m.T) < clearance * self._cell_m))

    @cached_property
    def _field(self) -> _ClearanceField:
        merged = self._n_merged
        rows, columns = (-(-length // merged) for length in self.occupied.shape)
        padded = np.zeros((rows * merged, columns * merged), dtype=np.bool_)
        padded[: self.occupied.shape[0], : self.occupied.shape[1]] = self.occupied
        blocks = padded.reshape(rows, merged, columns, merged)
        return _ClearanceField.of(_without_diagonal_gaps(np.asarray(blocks.any(axis=(1, 3)))))

    @property
    def _n_merged(self) -> int:
        return max(1, round(_LEAST_CELL_M / self.resolution_m))

    @property
    def _cell_m(self) -> float:
        return self._n_merged * self.resolution_m

    def _cells(self, positions_m: FloatArray) -> FloatArray:
        """(2, ...) column and row, as fractions, of x and y; cell (0, 0) is from 0 to 1."""
        offset_m = positions_m.reshape(2, -1) - np.array(self.origin_m)[:, None]
        cells: FloatArray = (self._turn.T / self._cell_m) @ offset_m
        return cells.reshape(positions_m.shape)

    def _metres(self, cells: FloatArray) -> FloatArray:
        """(2, N) x and y of (2, N) cells."""
        offset_m = self._turn @ cells * self._cell_m
        return np.asarray(offset_m + np.array(self.origin_m)[:, None])

    @property
    def _turn(self) -> FloatArray:
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return np.array([[cos, -sin], [sin, cos]])


def floor_plan_from_grid(message: Any) -> FloorPlan:
    """The floor plan in a `nav_msgs/OccupancyGrid`, of ROS or of rosbags. Unknown cells are free.

    Raises:
        ValueError: data that does not fit the size of the grid, or a value out of bounds.
    """
    info = message.info
    cells = np.asarray(message.data, dtype=np.int8)
    if cells.size != info.height * info.width or cells.size == 0:
        raise ValueError(
            f"its grid of {info.height} x {info.width} cells has {cells.size} values, expected as "
            "many, and at least one"
        )
    position, rotation = info.origin.position, info.origin.orientation
    x, y, z, w = rotation.x, rotation.y, rotation.z, rotation.w
    yaw_rad = math.atan2(2.0 * (w * z + x * y), w * w + x * x - y * y - z * z)
    if not math.isfinite(x + y + z + w):
        yaw_rad = math.nan
    occupied = cells.reshape(info.height, info.width) >= OCCUPIED_PERCENT
    return FloorPlan(
        occupied,
        float(info.resolution),
        (float(position.x), float(position.y)),
        yaw_rad,
        plain_frame(message.header.frame_id),
    )


@dataclass(frozen=True, eq=False)
class _ClearanceField:
    """Distance of cells to the nearest occupied one, in cells, with a free border of one cell.

    Attributes:
        clearance: (rows + 2, columns + 2) no more than the distance of any point of the cell to an
            occupied one; 0 in occupied cells.
        away: (rows + 2, columns + 2, 2) unit vectors from the nearest occupied cell, x and y.
    """

    clearance: Float32Array
    away: Float32Array

    @classmethod
    def of(cls, occupied: BoolArray) -> _ClearanceField:
        padded = np.pad(occupied, 1)
        if not padded.any():
            clearance = np.full(padded.shape, np.inf, np.float32)
            return cls(clearance, np.zeros((*padded.shape, 2), np.float32))
        # Imported here: it takes time and memory, for which nobody has a use without a map. Maps
        # are prepared before a replay, and by the node in a thread of its own.
        from scipy.ndimage import distance_transform_edt

        distance, nearest = distance_transform_edt(~padded, return_indices=True)
        rows, columns = np.indices(padded.shape)
        away = np.stack([columns - nearest[1], rows - nearest[0]], axis=-1)
        away = away / np.maximum(distance, 1.0)[..., None]
        # Between the centres of two cells less half the diagonal of each.
        clearance = np.where(padded, 0.0, np.maximum(distance - math.sqrt(2.0), 1e-3))
        return cls(clearance.astype(np.float32), away.astype(np.float32))

    def clearance_at(
        self, x: FloatArray | Float32Array, y: FloatArray | Float32Array
    ) -> Float32Array:
        """(...) clearance at positions in cells."""
        return self.clearance.ravel().take(self._at(x, y))

    def first_blocked(self, positions: FloatArray) -> IntArray:
        """(N,) the first step of (2, N, T + 1) paths behind a wall; T + 1 where none is.

        Paths that begin in an occupied cell pass through walls.
        """
        clearance = self.clearance_at(*positions)
        x, y = start = positions[..., :-1]
        move_x, move_y = move = positions[..., 1:] - start
        # Two free discs cover most steps. What comes after a step into a wall does not matter.
        covered = clearance[:, :-1] + clearance[:, 1:]
        is_doubtful = covered * covered < move_x * move_x + move_y * move_y
        is_inside = clearance[:, 1:] <= 0.0
        enters = np.where(is_inside.any(axis=1), is_inside.argmax(axis=1), move.shape[-1])
        is_doubtful &= np.arange(move.shape[-1]) <= enters[:, None]
        doubtful = np.flatnonzero(is_doubtful)
        path, step = np.divmod(doubtful, move.shape[-1])
        share = self._free_share(
            x[path, step], y[path, step], move_x.ravel()[doubtful], move_y.ravel()[doubtful]
        )
        # The first of several steps of a path is written last.
        hits = np.flatnonzero(share < 1.0)[::-1]
        first = np.full(len(clearance), positions.shape[-1])
        first[path[hits]] = step[hits] + 1
        first[clearance[:, 0] <= 0.0] = positions.shape[-1]
        return first

    def walked(self, positions: FloatArray, first: IntArray) -> FloatArray:
        """(2, N, T + 1) paths that follow paths in cells as far as walls let them.

        A path goes on at its own speed along the wall that it meets from its `first` step behind
        one on, so that it passes through the door beside which it was predicted into the wall.
        """
        walked = positions.copy()
        moves = positions[..., 1:] - positions[..., :-1]
        for step in range(first.min(), positions.shape[-1]):
            rows = np.flatnonzero(first <= step)
            here = walked[..., step - 1].take(rows, axis=1)
            walked[:, rows, step] = self._advanced(here, moves[..., step - 1].take(rows, axis=1))
        return walked

    def _advanced(self, here: FloatArray, delta: FloatArray) -> FloatArray:
        """(2, N) positions after (2, N) displacements from (2, N) free positions."""
        share = self._free_share(*here, *delta)
        there = here + delta * share
        hit = np.flatnonzero(share < 1.0)
        if len(hit):
            left = (delta * (1.0 - share)).take(hit, axis=1)
            stopped = there.take(hit, axis=1)
            away = self.away.reshape(-1, 2).take(self._at(*stopped), axis=0).T
            inwards = left * away
            along = left - np.minimum(inwards[0] + inwards[1], 0.0) * away
            slow, fast = np.hypot(*along), np.hypot(*left)
            # Who walks straight at a wall stays there: a side is not known.
            known = slow > _LEAST_SIDE * fast
            along *= np.where(known, fast / np.maximum(slow, 1e-9), 1.0)
            there[:, hit] = stopped + along * self._free_share(*stopped, *along)
        return there

    def _free_share(
        self, x: FloatArray, y: FloatArray, move_x: FloatArray, move_y: FloatArray
    ) -> FloatArray:
        """(N,) how much of displacements from free positions in cells is free, 0 to 1."""
        length = np.hypot(move_x, move_y).astype(np.float32)
        # Displacements of one step are short: all probes together are one look-up.
        n_probes = max(1, math.ceil(length.max(initial=0.0) / _PROBE_CELLS))
        probes = np.arange(1, n_probes + 1, dtype=np.float32)[:, None] * np.float32(_PROBE_CELLS)
        walked = np.minimum(probes, length)
        length = np.maximum(length, np.float32(_SHORTEST_CELLS))
        at_x = x.astype(np.float32) + (move_x / length).astype(np.float32) * walked
        at_y = y.astype(np.float32) + (move_y / length).astype(np.float32) * walked
        is_wall = self.clearance_at(at_x, at_y) <= 0.0
        first = is_wall.argmax(axis=0)
        before = walked[np.maximum(first - 1, 0), np.arange(len(x))] * (first > 0)
        return np.where(is_wall.any(axis=0), before / length, 1.0)

    def _at(self, x: FloatArray | Float32Array, y: FloatArray | Float32Array) -> IntArray:
        rows, columns = self.clearance.shape
        # Conversion rounds towards zero, which is down where the border begins at zero.
        column = np.minimum(np.maximum(x + np.float32(1.0), 0.0), columns - 1).astype(np.int64)
        row = np.minimum(np.maximum(y + np.float32(1.0), 0.0), rows - 1).astype(np.int64)
        row *= columns
        row += column
        return row


def _without_diagonal_gaps(occupied: BoolArray) -> BoolArray:
    """(rows, columns) cells, occupied beside two that touch at a corner only.

    A wall of one cell that is not along the grid would let steps between its cells pass.
    """
    closed = occupied.copy()
    (a, b), (c, d) = ((row[:, :-1], row[:, 1:]) for row in (occupied[:-1], occupied[1:]))
    closed[:-1, 1:] |= a & d & ~c
    closed[:-1, :-1] |= b & c & ~d
    return closed


def _reshaped(covariance: FloatArray, before: FloatArray, after: FloatArray) -> FloatArray:
    """(N, 2, 2) covariances that change as the moments of (K, N, 2) samples do.

    `M covariance M^T`, where M maps the square root of the samples' covariance before to that
    after.
    """
    if len(before) < 3:
        return covariance
    (a, b, c), (d, e, f) = (_root(*_spread(samples)) for samples in (before, after))
    # The product of the second matrix and the inverse of the first one.
    change = np.stack([d * c - e * b, e * a - d * b, e * c - f * b, f * a - e * b], axis=-1)
    change = change.reshape(*a.shape, 2, 2) / (a * c - b * b)[..., None, None]
    reshaped: FloatArray = change @ covariance @ change.swapaxes(-1, -2)
    return reshaped


def _spread(samples: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(N,) variances of x, covariances, variances of y of (K, N, 2) samples."""
    x, y = np.moveaxis(samples - samples.mean(axis=0), -1, 0)
    xx, xy, yy = (np.einsum("kn,kn->n", a, b) / len(samples) for a, b in ((x, x), (x, y), (y, y)))
    return xx + _LEAST_VARIANCE_M2, xy, yy + _LEAST_VARIANCE_M2


def _root(
    xx: FloatArray, xy: FloatArray, yy: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Symmetric square roots of positive definite matrices, by their three elements."""
    # Closed form for 2 x 2: (M + sqrt(det) I) / sqrt(trace + 2 sqrt(det)).
    determinant = np.sqrt(np.maximum(xx * yy - xy * xy, 0.0))
    scale = 1.0 / np.sqrt(xx + yy + 2.0 * determinant)
    return (xx + determinant) * scale, xy * scale, (yy + determinant) * scale
