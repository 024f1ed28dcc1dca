"""Content of the report page: a scene to play, the worst moments, and a map.

Each is selected while the recording is streamed, in memory independent of its length.
"""

from __future__ import annotations

import base64
import heapq
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from social_implicit_ros.evaluation.errors import Measures
from social_implicit_ros.evaluation.replay import ScoredTick
from social_implicit_ros.evaluation.report.wall_rectangles import encoded_walls
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, Prediction
from social_implicit_ros.uncertainty.ellipses import ellipse_axes, radius_at

#: A scene: its duration, the time between frames, and the most people in a frame.
SCENE_S, FRAME_S, SCENE_PEOPLE = 24.0, 0.2, 40
#: Worst moments kept for each model, and the people shown around the one concerned.
N_WORST, WORST_PEOPLE, WORST_RADIUS_M = 10, 12, 8.0
#: Two failures of one person within this time count as one moment, seconds.
SAME_MOMENT_S = 6.0
#: Edge of a map cell, metres; it doubles when a map has too many cells, or too many side by side.
CELL_M, MAX_CELLS, MAX_CELLS_ABREAST = 0.5, 4000, 400
#: Tracks drawn on a map, points of each, and their distance in time and space.
N_TRACKS, TRACK_POINTS, TRACK_PERIOD_S, TRACK_SPACING_M = 150, 150, 0.4, 0.25

#: Confidences of the ellipses that are drawn.
CONFIDENCES = (0.95, 0.5)
#: Millimetres, tenths of a milliradian, and ten-thousandths.
_ELLIPSE_UNITS = np.array([1e3, 1e3, 1e4, 1e4])
#: Longest id on a page; a UUID has 36 characters.
MAX_ID = 48


@dataclass(frozen=True, eq=False)
class Snapshot:
    """People at one tick, the predictions of each model, and the ground truth.

    Attributes:
        ids: (A,) of the people.
        past_m: (A, H, 2) positions in metres, NaN before the first observation.
        truth_m: (A, T, 2) at the first model's steps, NaN where unknown.
        predictions: of each model, NaN for agents without one; the mean is the only sample.
        n_people: number of people in the tick, shown or not.
    """

    stamp_ns: int
    ids: tuple[str, ...]
    past_m: FloatArray
    truth_m: FloatArray
    predictions: Mapping[str, Prediction]
    n_people: int

    def encoded(self, origin_m: FloatArray) -> dict[str, Any]:
        """The form that the page reads; lengths in centimetres from the origin."""
        models = {}
        for name, prediction in self.predictions.items():
            models[name] = {
                "mean": _packed((prediction.mean - origin_m) * 100.0),
                "ellipse": _packed(_ellipses(prediction) * _ELLIPSE_UNITS),
            }
        return {
            "stamp_ns": str(self.stamp_ns),
            "ids": [shown_id(agent) for agent in self.ids],
            "people": self.n_people,
            "past": _packed((self.past_m - origin_m) * 100.0),
            "truth": _packed((self.truth_m - origin_m) * 100.0),
            "models": models,
        }


def snapshot(ticks: Mapping[str, ScoredTick], rows: IntArray) -> Snapshot:
    """People of the first model's forecast, with the other models' predictions of them."""
    lead = next(iter(ticks.values()))
    ids = tuple(lead.forecast.ids[row] for row in rows.tolist())
    # Unless the crowd is large, all people are taken: no copy is needed.
    taken = None if ids == lead.forecast.ids else rows
    predictions = {}
    for name, tick in ticks.items():
        if tick.forecast.ids == lead.forecast.ids:
            predictions[name] = _rows_of(tick.forecast.prediction, taken)
            continue
        row_of = {agent: row for row, agent in enumerate(tick.forecast.ids)}
        of_ids = np.array([row_of.get(agent, -1) for agent in ids], dtype=np.int64)
        predictions[name] = _rows_of(tick.forecast.prediction, of_ids)
    return Snapshot(
        stamp_ns=lead.forecast.stamp_ns,
        ids=ids,
        past_m=lead.forecast.past_m[rows],
        truth_m=lead.context.ground_truth[rows],
        predictions=predictions,
        n_people=len(lead.forecast.ids),
    )


def _rows_of(prediction: Prediction, rows: IntArray | None) -> Prediction:
    """Some agents of a prediction, all if `rows` is None, NaN for a row of -1.

    The mean replaces the samples.
    """

    def taken(values: FloatArray) -> FloatArray:
        if rows is None:
            return values
        if (rows >= 0).all():
            return values[rows]
        # Index -1 takes the appended row.
        unknown = np.full((1, *values.shape[1:]), np.nan)
        return np.concatenate([values, unknown])[rows]

    mean, factors = taken(prediction.mean), prediction.level_factors
    return Prediction(
        mean[None],
        mean,
        taken(prediction.covariance),
        prediction.step_s,
        None if factors is None else taken(factors),
    )


def _ellipses(prediction: Prediction) -> FloatArray:
    """(A, T, 4): semi-axes of the 95 % region in metres, its yaw in radians, and the scale of the
    50 % region relative to it.
    """
    major, minor, yaw = ellipse_axes(prediction.covariance)
    wide, narrow = (radius_at(prediction, confidence) for confidence in CONFIDENCES)
    return np.stack([major * wide, minor * wide, yaw, narrow / wide], axis=-1)


class SceneChooser:
    """Finds the part of a recording with the most complete ground truth."""

    def __init__(self) -> None:
        self._frames: list[Snapshot] = []
        self._score = 0
        self._best: list[Snapshot] = []
        self._best_score = -1

    def add(self, ticks: Mapping[str, ScoredTick]) -> None:
        """Adds one tick of all models."""
        lead = next(iter(ticks.values()))
        stamp_ns = lead.forecast.stamp_ns
        if self._frames:
            since_ns = stamp_ns - self._frames[0].stamp_ns
            if not 0 <= since_ns < SCENE_S * NS_PER_S:
                self._close()
            elif stamp_ns - self._frames[-1].stamp_ns < FRAME_S * NS_PER_S - 1e6:
                return
        known = np.isfinite(lead.context.ground_truth).all(axis=(1, 2))
        self._score += int(known.sum())
        self._frames.append(snapshot(ticks, _nearest_to_all(lead.forecast.present_m)))

    def frames(self) -> list[Snapshot]:
        """The scene, oldest frame first; empty without predictions."""
        self._close()
        return self._best

    def _close(self) -> None:
        if self._frames and self._score > self._best_score:
            self._best, self._best_score = self._frames, self._score
        self._frames, self._score = [], 0


@dataclass(order=True)
class _Failure:
    fde_m: float
    stamp_ns: int
    agent: str
    snapshot: Snapshot = field(compare=False)


class WorstMoments:
    """Keeps the predictions with the largest final errors, for one model."""

    def __init__(self) -> None:
        self._worst: list[_Failure] = []  # a heap, the least bad first

    def add(self, measures: Measures, ticks: Sequence[Mapping[str, ScoredTick]]) -> None:
        """Adds some ticks of all models; the measures are of this model, in the same order."""
        fde_m = np.where(measures.complete, measures.fde_m, -1.0)
        if not len(fde_m):
            return
        ends = [*measures.first_rows[1:].tolist(), len(fde_m)]
        for index, (first, end) in enumerate(zip(measures.first_rows.tolist(), ends, strict=True)):
            if end > first:
                row = int(fde_m[first:end].argmax())
                self._consider(float(fde_m[first + row]), row, measures.ticks[index], ticks[index])

    def failures(self) -> list[_Failure]:
        """The worst first."""
        return sorted(self._worst, reverse=True)

    def _consider(
        self, fde_m: float, row: int, tick: ScoredTick, ticks: Mapping[str, ScoredTick]
    ) -> None:
        if fde_m < 0 or (len(self._worst) == N_WORST and fde_m <= self._worst[0].fde_m):
            return
        agent, stamp_ns = tick.forecast.ids[row], tick.forecast.stamp_ns
        for known in self._worst:
            if known.agent == agent and abs(known.stamp_ns - stamp_ns) < SAME_MOMENT_S * NS_PER_S:
                if known.fde_m >= fde_m:
                    return
                self._worst.remove(known)
                break
        lead = next(iter(ticks.values()))
        if agent not in lead.forecast.ids:
            return
        places_m = lead.forecast.present_m
        distance_m = np.hypot(*(places_m - tick.forecast.present_m[row]).T)
        near = np.argsort(distance_m, kind="stable")[:WORST_PEOPLE]
        near = near[distance_m[near] < WORST_RADIUS_M]
        # The agent concerned comes first.
        here = lead.forecast.ids.index(agent)
        near = np.concatenate([[here], near[near != here]])
        self._worst.append(_Failure(fde_m, stamp_ns, agent, snapshot(ticks, near)))
        heapq.heapify(self._worst)
        if len(self._worst) > N_WORST:
            heapq.heappop(self._worst)


class TrackMap:
    """Where people walked, and the mean final error of predictions made there."""

    def __init__(self, models: Iterable[str]) -> None:
        """Starts with an empty map."""
        self._models = tuple(models)
        self._cell_m = CELL_M
        # Column and row of the lowest cell.
        self._low = np.zeros(2, dtype=np.int64)
        #: (columns, rows, models, 2) number of predictions, and the sum of their FDE.
        self._sums = np.zeros((0, 0, len(self._models), 2))
        self._tracks: dict[str, list[tuple[float, float]]] = {}
        self._ranks: list[tuple[int, str]] = []  # a heap, the highest rank first
        self._drawn_ns = 0

    def add(self, measures: Mapping[str, Measures]) -> None:
        """Adds some ticks of all models."""
        for model, name in enumerate(self._models):
            self._add_errors(model, measures[name])
        for tick in measures[self._models[0]].ticks:
            since_ns = abs(tick.forecast.stamp_ns - self._drawn_ns)
            if since_ns >= TRACK_PERIOD_S * NS_PER_S:
                self._drawn_ns = tick.forecast.stamp_ns
                self._add_tracks(tick)

    def encoded(self) -> dict[str, Any]:
        """The form that the page reads, metres."""
        cells = np.argwhere(self._is_used())
        sums = self._sums[cells[:, 0], cells[:, 1]]
        counts = sums[..., 0]
        return {
            "cell_m": self._cell_m,
            "cells": (cells + self._low).tolist(),
            "futures": counts.max(axis=1, initial=0.0).astype(int).tolist(),
            "mean_fde": {
                name: [
                    round(total / count, 3) if count else None
                    for count, total in sums[:, index].tolist()
                ]
                for index, name in enumerate(self._models)
            },
            "tracks": [np.round(points, 2).tolist() for _, points in sorted(self._tracks.items())],
        }

    def _add_errors(self, model: int, measures: Measures) -> None:
        rows = np.flatnonzero(measures.complete)
        if not len(rows):
            return
        places_m, fde_m = measures.position_m[rows], measures.fde_m[rows]
        self._make_room(places_m)
        columns, rows_up = (self._cells_of(places_m) - self._low).T
        n_columns, n_rows = self._sums.shape[:2]
        cell, n_cells = columns * n_rows + rows_up, n_columns * n_rows
        for quantity, weights in enumerate((None, fde_m)):
            sums = np.bincount(cell, weights, n_cells)
            self._sums[:, :, model, quantity] += sums.reshape(n_columns, n_rows)
        while np.count_nonzero(self._is_used()) > MAX_CELLS:
            self._coarsen()

    def _cells_of(self, places_m: FloatArray) -> IntArray:
        return np.floor(places_m / self._cell_m).astype(np.int64)

    def _is_used(self) -> BoolArray:
        """(columns, rows) cells with predictions."""
        return np.asarray(self._sums[..., 0].any(axis=-1))

    def _make_room(self, places_m: FloatArray) -> None:
        """Extends the map to some places, with larger cells if it would have too many abreast."""
        while True:
            cells = self._cells_of(places_m)
            low, high = cells.min(axis=0), cells.max(axis=0)
            if self._sums.size:
                low = np.minimum(low, self._low)
                high = np.maximum(high, self._low + self._sums.shape[:2] - 1)
            if (high - low).max() < MAX_CELLS_ABREAST:
                break
            self._coarsen()
        if self._sums.size:
            self._pad(self._low - low, high - self._low - self._sums.shape[:2] + 1)
        else:
            self._sums = np.zeros((*(high - low + 1), *self._sums.shape[2:]))
        self._low = low

    def _coarsen(self) -> None:
        """Doubles the cells."""
        self._cell_m *= 2
        before = self._low % 2
        self._pad(before, (before + self._sums.shape[:2]) % 2)
        n_columns, n_rows, *rest = self._sums.shape
        fours = self._sums.reshape(n_columns // 2, 2, n_rows // 2, 2, *rest)
        self._sums = fours.sum(axis=(1, 3))
        self._low = self._low // 2

    def _pad(self, before: IntArray, after: IntArray) -> None:
        """Adds empty columns and rows on either side."""
        if before.any() or after.any():
            widths = [*zip(before.tolist(), after.tolist(), strict=True), (0, 0), (0, 0)]
            self._sums = np.pad(self._sums, widths)

    def _add_tracks(self, tick: ScoredTick) -> None:
        for agent, place in zip(tick.forecast.ids, tick.forecast.present_m.tolist(), strict=True):
            points = self._tracks.get(agent)
            if points is None:
                points = self._begin(agent)
            if points is None or len(points) >= TRACK_POINTS:
                continue
            if not points or _distance(points[-1], place) >= TRACK_SPACING_M:
                points.append((place[0], place[1]))

    def _begin(self, agent: str) -> list[tuple[float, float]] | None:
        """A new track if the agent is drawn: those with the lowest checksums are."""
        rank = zlib.crc32(agent.encode(errors="backslashreplace"))
        if len(self._ranks) >= N_TRACKS:
            if rank >= -self._ranks[0][0]:
                return None
            _, out = heapq.heappop(self._ranks)
            del self._tracks[out]
        heapq.heappush(self._ranks, (-rank, agent))
        self._tracks[agent] = []
        return self._tracks[agent]


def encoded_scene(frames: Sequence[Snapshot], walls: FloorPlan | None = None) -> dict[str, Any]:
    """A scene in the form that the page reads.

    Args:
        walls: in the frame of the positions.
    """
    if not frames:
        return {"origin_m": [0.0, 0.0], "frames": [], "walls": []}
    places = np.concatenate([frame.past_m[:, -1] for frame in frames])
    origin_m = np.round((places.min(axis=0) + places.max(axis=0)) / 2)
    return {
        "origin_m": origin_m.tolist(),
        "frames": [frame.encoded(origin_m) for frame in frames],
        "walls": encoded_walls(walls, places, origin_m),
    }


def encoded_failures(worst: WorstMoments) -> list[dict[str, Any]]:
    """Worst moments in the form that the page reads."""
    encoded = []
    for failure in worst.failures():
        origin_m = np.round(failure.snapshot.past_m[0, -1])
        encoded.append(
            {
                "agent": shown_id(failure.agent),
                "fde_m": round(failure.fde_m, 3),
                "origin_m": origin_m.tolist(),
                **failure.snapshot.encoded(origin_m),
            }
        )
    return encoded


def shown_id(agent: str) -> str:
    """An id for a page: trackers may send names of a megabyte, which a checksum tells apart."""
    if len(agent) <= MAX_ID:
        return agent
    return f"{agent[: MAX_ID - 10]}~{zlib.crc32(agent.encode(errors='backslashreplace')):08x}"


def _nearest_to_all(places_m: FloatArray) -> IntArray:
    """(A,) rows of the people to show: all, or those nearest to the median position."""
    if len(places_m) <= SCENE_PEOPLE:
        return np.arange(len(places_m))
    middle = np.median(places_m, axis=0)
    nearest = np.argsort(np.hypot(*(places_m - middle).T), kind="stable")[:SCENE_PEOPLE]
    return np.sort(nearest)


def _distance(first: tuple[float, float], second: Sequence[float]) -> float:
    return float(np.hypot(first[0] - second[0], first[1] - second[1]))


def _packed(values: FloatArray) -> str:
    """Values as base64 of little-endian int16; -32768 encodes NaN."""
    whole = np.clip(np.round(values), -32767, 32767)
    packed = np.where(np.isnan(values), -32768, whole).astype("<i2")
    return base64.b64encode(packed.tobytes()).decode()
