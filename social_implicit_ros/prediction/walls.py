"""Keeps predicted trajectories out of walls, which a map of occupied cells has."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from social_implicit_ros.tracks.frames.transforms import RigidTransform, plain_frame
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, Prediction, require_shape

Float32Array = NDArray[np.float32]

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
        """Checks the values; raises ValueError naming the field."""
        require_shape("FloorPlan", "occupied", self.occupied, ("rows", "columns"))
        if not (math.isfinite(self.resolution_m) and self.resolution_m > 0):
            raise ValueError(f"FloorPlan.resolution_m is {self.resolution_m}, expected above 0")
        if not all(math.isfinite(value) for value in (*self.origin_m, self.yaw_rad)):
            raise ValueError(
                f"FloorPlan has its origin at {self.origin_m}, {self.yaw_rad}, expected numbers"
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
        return self._field.clearance_at(self._cells(positions_m)) <= 0.0

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
        n_paths, n_agents, n_steps, _ = paths_m.shape
        start = np.broadcast_to(present_m, (n_paths, n_agents, 2))[:, :, None]
        positions = self._cells(np.concatenate([start, paths_m], axis=2))
        positions = positions.reshape(-1, n_steps + 1, 2)
        first = self._field.first_blocked(positions)
        first[self._field.clearance_at(positions[:, 0]) <= 0.0] = n_steps + 1
        blocked = np.flatnonzero(first <= n_steps)
        if len(blocked) == 0:
            return prediction
        walked = self._field.walked(positions[blocked], first[blocked])
        path, step = np.nonzero(np.arange(1, n_steps + 1) >= first[blocked, None])
        flat_m = paths_m.reshape(-1, n_steps, 2)
        flat_m[blocked[path], step] = self._metres(walked[path, step + 1])
        agent = blocked % n_agents
        samples = paths_m[:-1]
        rows = np.unique(agent)
        covariance = prediction.covariance.copy()
        covariance[rows] = _reshaped(
            covariance[rows], prediction.samples[:, rows], samples[:, rows]
        )
        return replace(prediction, samples=samples, mean=paths_m[-1], covariance=covariance)

    @cached_property
    def _field(self) -> _ClearanceField:
        merged = self._n_merged
        rows, columns = (-(-length // merged) for length in self.occupied.shape)
        padded = np.zeros((rows * merged, columns * merged), dtype=np.bool_)
        padded[: self.occupied.shape[0], : self.occupied.shape[1]] = self.occupied
        blocks = padded.reshape(rows, merged, columns, merged)
        return _ClearanceField.of(np.asarray(blocks.any(axis=(1, 3))))

    @property
    def _n_merged(self) -> int:
        return max(1, round(_LEAST_CELL_M / self.resolution_m))

    @property
    def _cell_m(self) -> float:
        return self._n_merged * self.resolution_m

    def _cells(self, positions_m: FloatArray) -> FloatArray:
        """(..., 2) column and row, as fractions; cell (0, 0) is from 0 to 1."""
        offset_m = positions_m - np.asarray(self.origin_m)
        return np.asarray(offset_m @ _rotation(self.yaw_rad) / self._cell_m)

    def _metres(self, cells: FloatArray) -> FloatArray:
        offset_m = cells * self._cell_m @ _rotation(self.yaw_rad).T
        return np.asarray(offset_m + np.asarray(self.origin_m))


def floor_plan_from_grid(message: Any) -> FloorPlan:
    """The floor plan in a `nav_msgs/OccupancyGrid`, of ROS or of rosbags. Unknown cells are free.

    Raises:
        ValueError: data that does not fit the size of the grid, or a pose that is not finite.
    """
    info = message.info
    cells = np.asarray(message.data, dtype=np.int8)
    if cells.size != info.height * info.width or cells.size == 0:
        raise ValueError(
            f"OccupancyGrid of {info.height} x {info.width} cells has {cells.size} of them, "
            "expected as many, and at least one"
        )
    position, rotation = info.origin.position, info.origin.orientation
    yaw_rad = math.atan2(
        2.0 * (rotation.w * rotation.z + rotation.x * rotation.y),
        1.0 - 2.0 * (rotation.y**2 + rotation.z**2),
    )
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

    def clearance_at(self, cells: FloatArray) -> Float32Array:
        """(...) clearance at (..., 2) positions in cells."""
        return self.clearance.ravel()[self._index(cells)]

    def first_blocked(self, positions: FloatArray) -> IntArray:
        """(N,) the first step of (N, T + 1, 2) paths behind a wall; T + 1 where none is."""
        clearance = self.clearance_at(positions)
        delta = np.diff(positions, axis=1)
        # Two free discs cover most steps.
        doubtful = clearance[:, :-1] + clearance[:, 1:] < np.hypot(delta[..., 0], delta[..., 1])
        path, step = np.nonzero(doubtful)
        blocked: BoolArray = np.zeros(doubtful.shape, dtype=np.bool_)
        blocked[path, step] = self._free_share(positions[path, step], delta[path, step]) < 1.0
        n_steps = positions.shape[1] - 1
        return np.where(blocked.any(axis=1), blocked.argmax(axis=1) + 1, n_steps + 1)

    def walked(self, positions: FloatArray, first: IntArray) -> FloatArray:
        """(N, T + 1, 2) paths that follow (N, T + 1, 2) paths as far as walls let them.

        A path goes on at its own speed along the wall that it meets, so that it passes through the
        door beside which it was predicted into the wall.

        Args:
            positions: paths in cells.
            first: (N,) the first step of each that is behind a wall.
        """
        walked = positions.copy()
        for step in range(first.min(), positions.shape[1]):
            rows = np.flatnonzero(first <= step)
            here = walked[rows, step - 1]
            walked[rows, step] = self._advanced(
                here, np.diff(positions[rows, step - 1 : step + 1], axis=1)[:, 0]
            )
        return walked

    def _advanced(self, here: FloatArray, delta: FloatArray) -> FloatArray:
        """(N, 2) positions after (N, 2) displacements from (N, 2) free positions."""
        share = self._free_share(here, delta)
        there = here + delta * share[:, None]
        hit = np.flatnonzero(share < 1.0)
        if len(hit):
            left = (delta * (1.0 - share[:, None]))[hit]
            away = self.away.reshape(-1, 2)[self._index(there[hit])]
            along = left - np.minimum((left * away).sum(axis=1), 0.0)[:, None] * away
            slow = np.hypot(along[:, 0], along[:, 1])
            # Who walks straight at a wall stays there: a side is not known.
            known = slow > _LEAST_SIDE * np.hypot(left[:, 0], left[:, 1])
            speed = np.hypot(left[:, 0], left[:, 1]) / np.maximum(slow, 1e-9)
            along *= np.where(known, speed, 1.0)[:, None]
            there[hit] += along * self._free_share(there[hit], along)[:, None]
        return there

    def _free_share(self, start: FloatArray, delta: FloatArray) -> FloatArray:
        """(N,) how much of (N, 2) displacements from (N, 2) free positions is free, 0 to 1."""
        length = np.hypot(delta[:, 0], delta[:, 1]).astype(np.float32)[:, None]
        unit_x, unit_y = (delta / np.maximum(length, _SHORTEST_CELLS)).T.astype(np.float32)
        start_x, start_y = start.T.astype(np.float32)
        # Displacements of one step are short: all probes together are one look-up.
        n_probes = max(1, math.ceil(length.max(initial=0.0) / _PROBE_CELLS))
        probes = np.arange(1, n_probes + 1, dtype=np.float32) * np.float32(_PROBE_CELLS)
        walked = np.minimum(probes, length)
        x = start_x[:, None] + unit_x[:, None] * walked
        y = start_y[:, None] + unit_y[:, None] * walked
        is_wall = self.clearance.ravel()[self._at(x, y)] <= 0.0
        first = is_wall.argmax(axis=1)
        before = walked[np.arange(len(walked)), np.maximum(first - 1, 0)] * (first > 0)
        share = before / np.maximum(length[:, 0], _SHORTEST_CELLS)
        return np.where(is_wall.any(axis=1), share, 1.0)

    def _index(self, cells: FloatArray) -> IntArray:
        """Indices of (..., 2) cells in the flat grid."""
        return self._at(cells[..., 0], cells[..., 1])

    def _at(self, x: FloatArray | Float32Array, y: FloatArray | Float32Array) -> IntArray:
        rows, columns = self.clearance.shape
        # Conversion rounds towards zero, which is down where the border begins at zero.
        column = np.minimum(np.maximum(x + np.float32(1.0), 0.0), columns - 1).astype(np.int64)
        row = np.minimum(np.maximum(y + np.float32(1.0), 0.0), rows - 1).astype(np.int64)
        row *= columns
        row += column
        return row


def _rotation(yaw_rad: float) -> FloatArray:
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    return np.array([[cos, -sin], [sin, cos]])


def _reshaped(covariance: FloatArray, before: FloatArray, after: FloatArray) -> FloatArray:
    """Covariances that change as the moments of samples do.

    Args:
        covariance: (A, T, 2, 2) square metres.
        before: (K, A, T, 2) samples in metres.
        after: the same samples, moved.

    Returns:
        (A, T, 2, 2) `M covariance M^T`, where M maps the square root of the samples' covariance
        before to that after.
    """
    if len(before) < 3:
        return covariance
    roots = [_root(_spread(samples)) for samples in (before, after)]
    change = roots[1] @ np.linalg.inv(roots[0])
    reshaped: FloatArray = change @ covariance @ change.swapaxes(-1, -2)
    return reshaped


def _spread(samples: FloatArray) -> FloatArray:
    deviation = samples - samples.mean(axis=0)
    spread = np.einsum("kati,katj->atij", deviation, deviation) / len(samples)
    return np.asarray(spread + _LEAST_VARIANCE_M2 * np.eye(2))


def _root(matrices: FloatArray) -> FloatArray:
    """Symmetric square roots of (..., 2, 2) positive definite matrices."""
    # Closed form for 2 x 2: (M + sqrt(det) I) / sqrt(trace + 2 sqrt(det)).
    determinant = np.sqrt(np.maximum(np.linalg.det(matrices), 0.0))[..., None, None]
    trace = np.trace(matrices, axis1=-2, axis2=-1)[..., None, None]
    return np.asarray((matrices + determinant * np.eye(2)) / np.sqrt(trace + 2.0 * determinant))
