"""Keeps predicted trajectories out of the walls of an occupancy grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

OCCUPANCY_GRID = "nav_msgs/msg/OccupancyGrid"
#: Occupancy from which on a cell is a wall, percent (default of map_server).
OCCUPIED_PERCENT = 65
#: Distance between the points of a displacement that are checked for walls, in cells.
_PROBE_CELLS = 0.9
#: Minimum share of a blocked displacement that is parallel to the wall for people to turn that way.
_LEAST_SIDE = 0.1
#: Shorter displacements always count as free, in cells.
_SHORTEST_CELLS = 1e-4
#: Cells are merged to about this size, metres. Walls may become that much thicker; it saves time.
_LEAST_CELL_M = 0.1
#: Maximum number of merged cells: computing their distances from walls takes 80 bytes per cell.
#: Before merging there may be eight times as many.
_MAX_CELLS = 16_000_000
#: Range of plausible edges of a cell, metres.
_CELL_M = (1e-3, 100.0)
#: Added to variances of samples, so that their matrices can be inverted, square metres.
_LEAST_VARIANCE_M2 = 1e-6


@dataclass(frozen=True, eq=False)
class FloorPlan:
    """Occupied cells, as in `nav_msgs/OccupancyGrid`.

    Attributes:
        occupied: (rows, columns), row 0 at the lowest y, column 0 at the lowest x of the grid.
        resolution_m: edge of a cell, metres.
        origin_m: (x, y) of the outer corner of cell (0, 0), metres.
        yaw_rad: rotation of the grid about that corner.
        frame_id: frame of the plan; empty for the fixed frame.
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
        """Left, right, lower and upper edge of a grid without rotation, metres."""
        rows, columns = self.occupied.shape
        x_m, y_m = self.origin_m
        return x_m, x_m + columns * self.resolution_m, y_m, y_m + rows * self.resolution_m

    def moved(self, pose: RigidTransform) -> FloorPlan:
        """The plan in another level frame, given the pose of its own frame there."""
        turn = pose.rotation[:2, :2]
        x_m, y_m = turn @ np.asarray(self.origin_m) + pose.translation_m[:2]
        yaw_rad = self.yaw_rad + math.atan2(turn[1, 0], turn[0, 0])
        moved = replace(self, origin_m=(float(x_m), float(y_m)), yaw_rad=yaw_rad)
        # Distances from walls do not depend on the pose.
        moved.__dict__["_field"] = self._field
        return moved

    def prepare(self) -> FloorPlan:
        """Computes the distances from walls, which takes up to seconds; returns itself."""
        _ = self._field
        return self

    def is_occupied(self, positions_m: FloatArray) -> BoolArray:
        """(...) whether (..., 2) positions are in occupied cells; False outside the grid."""
        return self._field.clearance_at(*self._cells(np.moveaxis(positions_m, -1, 0))) <= 0.0

    def covers(self, positions_m: FloatArray) -> BoolArray:
        """(...) whether (..., 2) positions are on the plan."""
        cells = self._cells(np.moveaxis(positions_m, -1, 0)) * self._n_merged
        rows, columns = self.occupied.shape
        edges = np.array([columns, rows]).reshape(2, *[1] * (cells.ndim - 1))
        return np.asarray(((cells >= 0) & (cells < edges)).all(axis=0))

    def from_observed(
        self, prediction: Prediction, present_m: FloatArray, observed_m: FloatArray
    ) -> tuple[Prediction, FloatArray]:
        """Keeps people on the side of walls where they were observed last.

        Args:
            prediction: of A agents.
            present_m: (A, 2) present positions, extrapolated from the observed ones, metres.
            observed_m: (A, 2) positions observed last, metres.

        Returns:
            The prediction and the present positions, both moved by as much as a person slides along
            a wall, or stops at it, until the present.
        """
        walks_m = np.stack([observed_m, present_m], axis=1)
        positions = self._cells(np.moveaxis(walks_m, -1, 0))
        first = self._field.first_blocked(positions)
        blocked = np.flatnonzero(first == 1)
        if len(blocked) == 0:
            return prediction, present_m
        walked = self._field.walked(positions[:, blocked], first[blocked])
        moved_m = np.zeros_like(present_m)
        moved_m[blocked] = self._metres(walked[:, :, 1]).T - present_m[blocked]
        samples, mean = (each + moved_m[:, None] for each in (prediction.samples, prediction.mean))
        return replace(prediction, samples=samples, mean=mean), present_m + moved_m

    def constrain(self, prediction: Prediction, present_m: FloatArray) -> Prediction:
        """Keeps predicted trajectories in free space, on the person's side of walls.

        A trajectory that meets a wall slides along it, or stops there if it cannot. This applies to
        the mean and to each sample. The covariance changes as the covariance of the samples does.
        Predictions of people inside occupied cells are not changed.

        Args:
            prediction: of A agents.
            present_m: (A, 2) present positions, metres.
        """
        paths_m = np.concatenate([prediction.samples, prediction.mean[None]])
        near = self._near_walls(paths_m, present_m)
        n_paths, _, n_steps, _ = paths_m.shape
        # x and y first, steps last: numpy is fast along long last axes.
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
        # `take` is several times faster here than indexing.
        before_m, after_m = (
            each.reshape(n_paths - 1, -1, 2).take(pairs, axis=1)
            for each in (prediction.samples, samples)
        )
        covariance = prediction.covariance.copy()
        covariance[moved] = _reshaped(covariance[moved], before_m, after_m)
        return replace(prediction, samples=samples, mean=paths_m[-1], covariance=covariance)

    def _near_walls(self, paths_m: FloatArray, present_m: FloatArray) -> IntArray:
        """(N,) rows of people whose (K, A, T, 2) paths may leave the free disc around them."""
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
        """(2, ...) x and y -> fractional column and row; cell (0, 0) extends from 0 to 1."""
        offset_m = positions_m.reshape(2, -1) - np.array(self.origin_m)[:, None]
        cells: FloatArray = (self._turn.T / self._cell_m) @ offset_m
        return cells.reshape(positions_m.shape)

    def _metres(self, cells: FloatArray) -> FloatArray:
        """(2, N) fractional columns and rows -> x and y in metres."""
        offset_m = self._turn @ cells * self._cell_m
        return np.asarray(offset_m + np.array(self.origin_m)[:, None])

    @property
    def _turn(self) -> FloatArray:
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return np.array([[cos, -sin], [sin, cos]])


def floor_plan_from_grid(message: Any) -> FloorPlan:
    """The floor plan in a `nav_msgs/OccupancyGrid` of ROS or of rosbags. Unknown cells are free.

    Raises:
        ValueError: the data does not fit the size of the grid, or a value is out of bounds.
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
    """Distances from the nearest wall, in cells, with a free border of one cell.

    Attributes:
        clearance: (rows + 2, columns + 2) lower bound of the distance from any point of a cell to
            an occupied cell; 0 in occupied cells.
        away: (rows + 2, columns + 2, 2) unit vectors (x, y) away from the nearest occupied cell.
    """

    clearance: Float32Array
    away: Float32Array

    @classmethod
    def of(cls, occupied: BoolArray) -> _ClearanceField:
        padded = np.pad(occupied, 1)
        if not padded.any():
            clearance = np.full(padded.shape, np.inf, np.float32)
            return cls(clearance, np.zeros((*padded.shape, 2), np.float32))
        # Imported here, as it takes time and memory that is wasted without a map. Maps are prepared
        # before a replay, and by the node in a separate thread.
        from scipy.ndimage import distance_transform_edt

        distance, nearest = distance_transform_edt(~padded, return_indices=True)
        rows, columns = np.indices(padded.shape)
        away = np.stack([columns - nearest[1], rows - nearest[0]], axis=-1)
        away = away / np.maximum(distance, 1.0)[..., None]
        # Distance between the centres of two cells, minus half the diagonal of each.
        clearance = np.where(padded, 0.0, np.maximum(distance - math.sqrt(2.0), 1e-3))
        return cls(clearance.astype(np.float32), away.astype(np.float32))

    def clearance_at(
        self, x: FloatArray | Float32Array, y: FloatArray | Float32Array
    ) -> Float32Array:
        """(...) clearance at fractional columns x and rows y."""
        return self.clearance.ravel().take(self._at(x, y))

    def first_blocked(self, positions: FloatArray) -> IntArray:
        """(N,) first step of each (2, N, T + 1) path that meets a wall; T + 1 for free paths.

        Paths that begin in an occupied cell count as free.
        """
        clearance = self.clearance_at(*positions)
        x, y = start = positions[..., :-1]
        move_x, move_y = move = positions[..., 1:] - start
        # Most displacements lie within the free discs around their ends. Only others are checked
        # in detail, up to the first step inside a wall.
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
        # In reverse order, so that the earliest blocked step of a path is written last.
        hits = np.flatnonzero(share < 1.0)[::-1]
        first = np.full(len(clearance), positions.shape[-1])
        first[path[hits]] = step[hits] + 1
        first[clearance[:, 0] <= 0.0] = positions.shape[-1]
        return first

    def walked(self, positions: FloatArray, first: IntArray) -> FloatArray:
        """(2, N, T + 1) paths that slide along walls.

        From its `first` blocked step on, a path continues along the wall at its own speed. So it
        passes through a door if it was predicted into the wall beside it.
        """
        walked = positions.copy()
        moves = positions[..., 1:] - positions[..., :-1]
        for step in range(first.min(), positions.shape[-1]):
            rows = np.flatnonzero(first <= step)
            here = walked[..., step - 1].take(rows, axis=1)
            walked[:, rows, step] = self._advanced(here, moves[..., step - 1].take(rows, axis=1))
        return walked

    def _advanced(self, here: FloatArray, delta: FloatArray) -> FloatArray:
        """(2, N) positions after (2, N) displacements from (2, N) free positions, with sliding."""
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
            # People who walk straight at a wall stop, as the side to which they turn is unknown.
            known = slow > _LEAST_SIDE * fast
            along *= np.where(known, fast / np.maximum(slow, 1e-9), 1.0)
            there[:, hit] = stopped + along * self._free_share(*stopped, *along)
        return there

    def _free_share(
        self, x: FloatArray, y: FloatArray, move_x: FloatArray, move_y: FloatArray
    ) -> Float32Array:
        """(N,) share of each displacement before the first wall, 0 to 1."""
        length = np.hypot(move_x, move_y).astype(np.float32)
        # Displacements of one step are short, so that all points fit into one look-up.
        n_probes = max(1, math.ceil(length.max(initial=0.0) / _PROBE_CELLS))
        probes = np.arange(1, n_probes + 1, dtype=np.float32)[:, None] * np.float32(_PROBE_CELLS)
        walked = np.minimum(probes, length)
        length = np.maximum(length, np.float32(_SHORTEST_CELLS))
        at_x = x.astype(np.float32) + (move_x / length).astype(np.float32) * walked
        at_y = y.astype(np.float32) + (move_y / length).astype(np.float32) * walked
        is_wall = self.clearance_at(at_x, at_y) <= 0.0
        share = np.ones(len(length), dtype=np.float32)
        hits = np.flatnonzero(is_wall.any(axis=0))
        if len(hits):
            first = is_wall.take(hits, axis=1).argmax(axis=0).astype(np.float32)
            share[hits] = first * np.float32(_PROBE_CELLS) / length[hits]
        return share

    def _at(self, x: FloatArray | Float32Array, y: FloatArray | Float32Array) -> NDArray[np.int32]:
        rows, columns = self.clearance.shape
        one = np.float32(1.0)
        # Conversion truncates, which is floor for non-negative values. 32 bits convert faster.
        column, row = (x + one).astype(np.int32), (y + one).astype(np.int32)
        for index, n in ((column, columns), (row, rows)):
            np.minimum(np.maximum(index, 0, out=index), n - 1, out=index)
        row *= columns
        row += column
        return row


def _without_diagonal_gaps(occupied: BoolArray) -> BoolArray:
    """(rows, columns) occupied cells, with one added where two touch only at a corner.

    Otherwise a displacement could pass between the cells of a thin diagonal wall.
    """
    closed = occupied.copy()
    (a, b), (c, d) = ((row[:, :-1], row[:, 1:]) for row in (occupied[:-1], occupied[1:]))
    closed[:-1, 1:] |= a & d & ~c
    closed[:-1, :-1] |= b & c & ~d
    return closed


def _reshaped(covariance: FloatArray, before: FloatArray, after: FloatArray) -> FloatArray:
    """(N, 2, 2) covariances, changed as the covariance of (K, N, 2) samples changes.

    `M covariance M^T`, where M maps the square root of the samples' covariance `before` to the one
    `after`.
    """
    if len(before) < 3:
        return covariance
    (a, b, c), (d, e, f) = (_root(*_spread(samples)) for samples in (before, after))
    # M: the square root after times the inverse of the square root before.
    change = np.stack([d * c - e * b, e * a - d * b, e * c - f * b, f * a - e * b], axis=-1)
    change = change.reshape(*a.shape, 2, 2) / (a * c - b * b)[..., None, None]
    reshaped: FloatArray = change @ covariance @ change.swapaxes(-1, -2)
    return reshaped


def _spread(samples: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(N,) variances of x, covariances of x and y, variances of y of (K, N, 2) samples."""
    x, y = np.moveaxis(samples - samples.mean(axis=0), -1, 0)
    xx, xy, yy = (np.einsum("kn,kn->n", a, b) / len(samples) for a, b in ((x, x), (x, y), (y, y)))
    return xx + _LEAST_VARIANCE_M2, xy, yy + _LEAST_VARIANCE_M2


def _root(
    xx: FloatArray, xy: FloatArray, yy: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Symmetric square roots of positive definite 2 x 2 matrices, as elements xx, xy, yy."""
    # Closed form for 2 x 2: (M + sqrt(det) I) / sqrt(trace + 2 sqrt(det)).
    determinant = np.sqrt(np.maximum(xx * yy - xy * xy, 0.0))
    scale = 1.0 / np.sqrt(xx + yy + 2.0 * determinant)
    return (xx + determinant) * scale, xy * scale, (yy + determinant) * scale
