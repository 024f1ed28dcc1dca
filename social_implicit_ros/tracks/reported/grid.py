"""Whether positions are rounded to a grid."""

from __future__ import annotations

from collections import deque

import numpy as np

from social_implicit_ros.types import FloatArray

#: Number of recent changes of coordinates that show whether positions are on a grid.
_N_CHANGES = 60
#: Positions are on a grid if recent changes of coordinates are multiples of the smallest one:
#: minimum number, tolerance of a multiple, and the median multiple, which must be smaller.
_MIN_CHANGES, _MULTIPLE, _FEW = 8, 1e-3, 2.0
#: Largest cell of a grid, metres, and the largest one of which coordinates are multiples. Held
#: positions of even walks also change by equal, larger steps.
_MAX_CELL_M, _LONGEST_CELL_M = 0.3, 1.0


class Grid:
    """The grid to which one tracker rounds positions, if it does.

    Attributes:
        is_possible: whether positions may be equal because they are rounded: until the opposite is
            known.
    """

    def __init__(self) -> None:
        # Absolute changes of x and y between reports, and the new coordinates, metres.
        self._changes_m: deque[float] = deque(maxlen=_N_CHANGES)
        self._coordinates_m: deque[float] = deque(maxlen=_N_CHANGES)
        self.is_possible = True

    @property
    def has_changes(self) -> bool:
        """Whether any position has changed."""
        return bool(self._changes_m)

    @property
    def cell_m(self) -> float:
        """Size of a cell, metres; 0 if positions are not rounded, or that is unknown."""
        is_known = len(self._changes_m) >= _MIN_CHANGES and self.is_possible
        return min(self._changes_m) if is_known else 0.0

    def learn(self, before_m: FloatArray, now_m: FloatArray) -> None:
        """Learns from (A, 2) positions of the same people in two reports, metres."""
        changes_m = np.abs(now_m - before_m)
        self._changes_m.extend(changes_m[changes_m > 0.0].tolist())
        self._coordinates_m.extend(now_m[changes_m > 0.0].tolist())
        self.is_possible = len(self._changes_m) < _MIN_CHANGES or self._fits()

    def _fits(self) -> bool:
        """Whether coordinates change by multiples of the smallest change, and mostly by that one.

        Of longer cells the coordinates are multiples, too, or in the middle between two.
        """
        cell_m = min(self._changes_m)
        multiples = np.array(self._changes_m) / cell_m
        if not _are_whole(multiples) or np.median(multiples) >= _FEW:
            return False
        return cell_m <= _MAX_CELL_M or (
            cell_m <= _LONGEST_CELL_M and _are_whole(2.0 * np.array(self._coordinates_m) / cell_m)
        )


def _are_whole(multiples: FloatArray) -> bool:
    return bool((np.abs(multiples - np.round(multiples)) < _MULTIPLE).all())
