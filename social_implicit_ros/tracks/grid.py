"""Whether positions are rounded to a grid."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from social_implicit_ros.types import FloatArray

#: Positions are on a grid if recent changes of coordinates are multiples of the smallest one:
#: minimum number, tolerance of a multiple, and the median multiple, which must be smaller.
LEAST_CHANGES, _MULTIPLE, _FEW = 8, 1e-3, 2.0
#: Largest cell of a grid, metres, and the largest one of which coordinates are multiples. Held
#: positions of even walks also change by equal, larger steps.
_MAX_CELL_M, _LONGEST_CELL_M = 0.3, 1.0


def are_on_grid(changes_m: Collection[float], coordinates_m: Collection[float]) -> bool:
    """Whether coordinates change by multiples of the smallest change, and mostly by that one.

    Of longer cells the coordinates are multiples, too, or in the middle between two.
    """
    if len(changes_m) < LEAST_CHANGES:
        return True
    cell_m = min(changes_m)
    multiples = np.array(changes_m) / cell_m
    if not _are_whole(multiples) or np.median(multiples) >= _FEW:
        return False
    return cell_m <= _MAX_CELL_M or (
        cell_m <= _LONGEST_CELL_M and _are_whole(2.0 * np.array(coordinates_m) / cell_m)
    )


def _are_whole(multiples: FloatArray) -> bool:
    return bool((np.abs(multiples - np.round(multiples)) < _MULTIPLE).all())
