"""Placeholders: constant positions that a tracker reports for unknown ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np

from social_implicit_ros.tracks.reported.grid import Grid
from social_implicit_ros.types import BoolArray, FloatArray

Point = tuple[float, float, float]

#: A position that is not filled in.
_UNSET: Point = (0.0, 0.0, 0.0)
#: If this many entries of a message are exact zeros, or as many tracks leave zeros, these are a
#: placeholder: one person may walk through the origin, but people do not share a point, unless
#: positions are on a grid. Before that is known, all entries must be zeros.
_MIN_UNSET = 2
#: Another position is a placeholder if tracks jump to it and back from points at least this far
#: apart, metres.
_APART_M = 0.5
#: Number of recent jumps, and the share of exchanged ids among them above which jumps do not mean
#: placeholders, except zeros.
_N_JUMPS, _MAX_EXCHANGED = 60, 1.0 / 3.0
#: Maximum number of placeholders of a tracker, and of candidates.
_MAX_PLACEHOLDERS, _MAX_SUSPECTS = 8, 256


class Placeholders:
    """Finds the placeholders of one tracker.

    Attributes:
        newest_m: the newest placeholder that was reported.
    """

    def __init__(self) -> None:
        self.newest_m: Point = _UNSET
        self._points: list[Point] = []
        self._left_unset: set[str] = set()  # ids that were at zeros, and then elsewhere
        self._suspects: dict[Point, FloatArray] = {}  # jumped to -> jumped from
        # For each jump, whether it ends where another person was who is gone or jumps, too.
        self._are_exchanges: deque[bool] = deque(maxlen=_N_JUMPS)

    def are_at(self, points_m: FloatArray) -> BoolArray:
        """(A,) whether (A, 3) positions are placeholders."""
        # If ids are indices in a list, they also jump to and from people who stand.
        has_indices = sum(self._are_exchanges) > _MAX_EXCHANGED * len(self._are_exchanges)
        found = np.zeros(len(points_m), dtype=bool)
        for point in self._points:
            if point == _UNSET or not has_indices:
                found |= (points_m == point).all(axis=1)
        if found.any():
            self.newest_m = point_of(points_m[found.argmax()])
        return found

    def learn_zeros(self, points_m: FloatArray, left_ids: Iterable[str], grid: Grid) -> None:
        """Learns whether zeros are a placeholder.

        Args:
            points_m: (A, 3) positions of a message, metres.
            left_ids: ids that were at zeros, and are no longer.
            grid: the grid of the tracker before this message.
        """
        n_unset = int(np.count_nonzero(~points_m.any(axis=1)))
        if len(self._left_unset) < _MIN_UNSET:
            self._left_unset.update(left_ids)
        if grid.is_possible:
            is_unset = n_unset >= _MIN_UNSET and n_unset == len(points_m) and not grid.has_changes
        else:
            is_unset = max(n_unset, len(self._left_unset)) >= _MIN_UNSET
        if is_unset:
            self._add(_UNSET)

    def learn_jumps(
        self, from_m: FloatArray, to_m: FloatArray, came_from_m: FloatArray, others_m: FloatArray
    ) -> FloatArray:
        """Learns from tracks that jump, unless these only exchange ids.

        Args:
            from_m: (J, 3) positions before the jumps, metres.
            to_m: (J, 3) positions after them, metres.
            came_from_m: (J, 3) positions before earlier jumps that ended at `from_m`, metres; NaN
                for other tracks.
            others_m: (N, 3) positions of these and other people which they left, metres.

        Returns:
            (J, 3) values of `came_from_m` for the next jumps of these tracks.
        """
        distances_m = np.linalg.norm(to_m[:, None] - others_m, axis=2)
        is_exchange = (distances_m <= _APART_M).any(axis=1)
        self._are_exchanges.extend(is_exchange.tolist())
        has_come = ~np.isnan(came_from_m[:, 0])
        for row in np.flatnonzero(~is_exchange).tolist():
            here = point_of(from_m[row])
            if _UNSET in (here, point_of(to_m[row])):
                self._add(_UNSET)
            elif has_come[row]:
                first_m = self._suspects.setdefault(here, came_from_m[row])
                if np.linalg.norm(first_m - came_from_m[row]) > _APART_M:
                    self._add(here)
                if len(self._suspects) > _MAX_SUSPECTS:
                    del self._suspects[next(iter(self._suspects))]
        return np.where((is_exchange | has_come)[:, None], np.nan, from_m)

    def _add(self, point: Point) -> None:
        if point not in self._points and len(self._points) < _MAX_PLACEHOLDERS:
            self._points.append(point)


def point_of(position_m: FloatArray) -> Point:
    """The coordinates of a (3,) position, metres."""
    x, y, z = position_m.tolist()
    return x, y, z
