"""Walls of a map in the form that the report page reads."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.types import FloatArray

#: Distance from the people up to which walls are drawn, metres, and the most rectangles.
NEAR_M, MAX_RECTANGLES = 10.0, 5000


def encoded_walls(
    walls: FloorPlan | None, places_m: FloatArray, origin_m: FloatArray
) -> list[list[float]]:
    """Rectangles near (N, 2) people: x, y, width and height in metres from the (2,) origin.

    Successive rows of a map with the same run of occupied cells are one rectangle. A map that is
    rotated, or has more of them than a page needs, is not drawn.
    """
    if walls is None or walls.yaw_rad != 0.0:
        return []
    cell_m = walls.resolution_m
    low = np.floor((places_m.min(axis=0) - NEAR_M - walls.origin_m) / cell_m).astype(int)
    high = np.ceil((places_m.max(axis=0) + NEAR_M - walls.origin_m) / cell_m).astype(int)
    low, high = np.maximum(low, 0), np.maximum(high, 0)
    near = walls.occupied[low[1] : high[1], low[0] : high[0]]
    edges = np.diff(np.pad(near, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    runs: dict[tuple[int, int], list[list[int]]] = {}  # (first, end) column -> [first, end] rows
    begins, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)[:, 1]
    for (row, first), end in zip(begins.tolist(), ends.tolist(), strict=True):
        of_columns = runs.setdefault((first, end), [])
        if of_columns and of_columns[-1][1] == row:
            of_columns[-1][1] = row + 1
        else:
            of_columns.append([row, row + 1])
    corner_m = np.asarray(walls.origin_m) + cell_m * low - origin_m
    rectangles = [
        [
            round(float(corner_m[0]) + first * cell_m, 2),
            round(float(corner_m[1]) + bottom * cell_m, 2),
            round((end - first) * cell_m, 2),
            round((top - bottom) * cell_m, 2),
        ]
        for (first, end), rows in runs.items()
        for bottom, top in rows
    ]
    return rectangles if len(rectangles) <= MAX_RECTANGLES else []
