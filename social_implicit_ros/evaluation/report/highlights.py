"""Content of the report page: an animated scene, the largest errors, and a map.

Each is selected while the recording is streamed; memory does not grow with its length.
"""

from __future__ import annotations

import base64
import heapq
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from social_implicit_ros.evaluation.errors import Measures, ScoredTick, ScoredTicks
from social_implicit_ros.evaluation.tally import sums_by_group
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray, Prediction
from social_implicit_ros.uncertainty.ellipses import ellipse_axes, radius_at

#: Scene: duration and time between frames, seconds; maximum number of people in a frame.
SCENE_S, FRAME_S, SCENE_PEOPLE = 24.0, 0.2, 40
#: Number of largest errors of each model; for each, the maximum number of people that are shown,
#: and their maximum distance, metres.
N_WORST, WORST_PEOPLE, WORST_RADIUS_M = 10, 12, 8.0
#: Of the errors of one person within this time, only the largest is shown, seconds.
SAME_ERROR_S = 6.0
#: Map: initial edge of a cell, metres, which doubles until the map has at most this number of
#: cells, and of columns and rows.
CELL_M, MAX_CELLS, MAX_CELLS_PER_SIDE = 0.5, 4000, 400
#: Map: maximum numbers of tracks and of points per track; distance of points, seconds and metres.
N_TRACKS, TRACK_POINTS, TRACK_PERIOD_S, TRACK_SPACING_M = 150, 150, 0.4, 0.25
#: Distance from the people up to which walls are drawn, metres; maximum number of rectangles.
NEAR_M, MAX_RECTANGLES = 10.0, 5000

#: Confidence levels of the ellipses that are drawn.
CONFIDENCES = (0.95, 0.5)
#: Units of the page for the values of `_ellipses`: 1 mm, 1 mm, 0.1 mrad and 1/10000.
_ELLIPSE_UNITS = np.array([1e3, 1e3, 1e4, 1e4])
#: Maximum length of an id on the page; a UUID has 36 characters.
MAX_ID = 48


class Highlights:
    """Content of the report: a scene, the largest errors of each model, and a map."""

    def __init__(self, models: Iterable[str]) -> None:
        """Begins without ticks; the first of the models is the primary model."""
        names = tuple(models)
        self._scene, self._map = SceneChooser(), TrackMap(names)
        self._worst = {name: LargestErrors() for name in names}

    def add(self, batch: Sequence[ScoredTicks], measures: Mapping[str, Measures]) -> None:
        """Adds some ticks of all models, and their errors by model."""
        for ticks in batch:
            self._scene.add(ticks)
        for name, worst in self._worst.items():
            worst.add(measures[name], batch)
        self._map.add(measures)

    def encoded(self, walls: FloorPlan | None) -> dict[str, Any]:
        """The form that the page reads."""
        return {
            "scene": self._scene.encoded(walls),
            "worst": {name: worst.encoded() for name, worst in self._worst.items()},
            "map": self._map.encoded(),
        }


@dataclass(frozen=True, eq=False)
class Snapshot:
    """People at one tick, the predictions of each model, and the ground truth.

    Attributes:
        past_m: (A, H, 2) positions in metres, NaN before the first observation.
        truth_m: (A, T, 2) ground truth at the first model's steps, NaN where unknown.
        predictions: prediction of each model, NaN for agents without one; the mean is the only
            sample.
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

        def packed_cm(places_m: FloatArray) -> str:
            return _packed((places_m - origin_m) * 100.0)

        return {
            "stamp_ns": str(self.stamp_ns),
            "ids": [shown_id(agent) for agent in self.ids],
            "people": self.n_people,
            "past": packed_cm(self.past_m),
            "truth": packed_cm(self.truth_m),
            "models": {
                name: {
                    "mean": packed_cm(prediction.mean),
                    "ellipse": _packed(_ellipses(prediction) * _ELLIPSE_UNITS),
                }
                for name, prediction in self.predictions.items()
            },
        }


def snapshot(ticks: ScoredTicks, rows: IntArray) -> Snapshot:
    """Takes people of the first model's forecast, with the predictions of all models."""
    primary = next(iter(ticks.values()))
    ids = tuple(primary.forecast.ids[row] for row in rows.tolist())
    predictions = {}
    for name, tick in ticks.items():
        row_of = {agent: row for row, agent in enumerate(tick.forecast.ids)}
        of_ids = np.array([row_of.get(agent, -1) for agent in ids], dtype=np.int64)
        predictions[name] = _rows_of(tick.forecast.prediction, of_ids)
    return Snapshot(
        stamp_ns=primary.forecast.stamp_ns,
        ids=ids,
        past_m=primary.forecast.past_m[rows],
        truth_m=primary.ground_truth[rows],
        predictions=predictions,
        n_people=len(primary.forecast.ids),
    )


def _rows_of(prediction: Prediction, rows: IntArray) -> Prediction:
    """Some agents of a prediction, NaN for a row of -1; the mean replaces the samples."""

    def taken(values: FloatArray) -> FloatArray:
        # Index -1 takes the appended row.
        return np.concatenate([values, np.full((1, *values.shape[1:]), np.nan)])[rows]

    mean, factors = taken(prediction.mean), prediction.radius_scales
    factors = None if factors is None else taken(factors)
    covariance = taken(prediction.covariance)
    return Prediction(mean[None], mean, covariance, prediction.step_s, factors)


def _ellipses(prediction: Prediction) -> FloatArray:
    """(A, T, 4): semi-axes of the 95 % region in metres, its yaw in radians, and the scale of the
    50 % region relative to it.
    """
    major, minor, yaw = ellipse_axes(prediction.covariance)
    wide, narrow = (radius_at(prediction, confidence) for confidence in CONFIDENCES)
    return np.stack([major * wide, minor * wide, yaw, narrow / wide], axis=-1)


class SceneChooser:
    """Selects the section of a recording with the most complete ground truth."""

    def __init__(self) -> None:
        self._frames: list[Snapshot] = []
        self._score = 0
        self._best: list[Snapshot] = []
        self._best_score = -1

    def add(self, ticks: ScoredTicks) -> None:
        """Adds one tick of all models."""
        primary = next(iter(ticks.values()))
        stamp_ns = primary.forecast.stamp_ns
        if self._frames:
            since_ns = stamp_ns - self._frames[0].stamp_ns
            if not 0 <= since_ns < SCENE_S * NS_PER_S:
                self._close()
            elif stamp_ns - self._frames[-1].stamp_ns < FRAME_S * NS_PER_S - 1e6:
                return
        known = np.isfinite(primary.ground_truth).all(axis=(1, 2))
        self._score += int(known.sum())
        self._frames.append(snapshot(ticks, _nearest_to_all(primary.forecast.present_m)))

    def encoded(self, walls: FloorPlan | None = None) -> dict[str, Any]:
        """The scene, and walls in its frame, in the form that the page reads."""
        self._close()
        if not self._best:
            return {"origin_m": [0.0, 0.0], "frames": [], "walls": []}
        places = np.concatenate([frame.past_m[:, -1] for frame in self._best])
        origin_m = np.round((places.min(axis=0) + places.max(axis=0)) / 2)
        return {
            "origin_m": origin_m.tolist(),
            "frames": [frame.encoded(origin_m) for frame in self._best],
            "walls": encoded_walls(walls, places, origin_m),
        }

    def _close(self) -> None:
        if self._frames and self._score > self._best_score:
            self._best, self._best_score = self._frames, self._score
        self._frames, self._score = [], 0


class LargestErrors:
    """Keeps the predictions with the largest final errors, for one model."""

    def __init__(self) -> None:
        # FDE in metres, and a snapshot in which the agent with this error comes first.
        self._failures: list[tuple[float, Snapshot]] = []

    def add(self, measures: Measures, ticks: Sequence[ScoredTicks]) -> None:
        """Adds some ticks of all models; the measures are of this model, in the same order."""
        fde_m = np.where(measures.complete, measures.fde_m, -1.0)
        of_ticks = np.split(fde_m, measures.first_rows[1:])
        for of_tick, tick, all_models in zip(of_ticks, measures.ticks, ticks, strict=True):
            if len(of_tick):
                row = int(of_tick.argmax())
                self._consider(float(of_tick[row]), row, tick, all_models)

    def _consider(self, fde_m: float, row: int, tick: ScoredTick, ticks: ScoredTicks) -> None:
        is_full = len(self._failures) == N_WORST
        if fde_m < 0 or (is_full and fde_m <= self._failures[-1][0]):
            return
        agent, stamp_ns = tick.forecast.ids[row], tick.forecast.stamp_ns

        def is_same(known: Snapshot) -> bool:
            is_near = abs(known.stamp_ns - stamp_ns) < SAME_ERROR_S * NS_PER_S
            return known.ids[0] == agent and is_near

        primary = next(iter(ticks.values())).forecast
        is_smaller = any(known_m >= fde_m and is_same(known) for known_m, known in self._failures)
        if agent not in primary.ids or is_smaller:
            return
        kept = [failure for failure in self._failures if not is_same(failure[1])]
        distance_m = np.hypot(*(primary.present_m - tick.forecast.present_m[row]).T)
        near = np.argsort(distance_m, kind="stable")[:WORST_PEOPLE]
        near = near[distance_m[near] < WORST_RADIUS_M]
        here = primary.ids.index(agent)
        near = np.concatenate([[here], near[near != here]])
        kept.append((fde_m, snapshot(ticks, near)))
        kept.sort(key=lambda known: (known[0], known[1].stamp_ns, known[1].ids[0]), reverse=True)
        self._failures = kept[:N_WORST]

    def encoded(self) -> list[dict[str, Any]]:
        """The form that the page reads, the largest error first."""
        encoded = []
        for fde_m, shown in self._failures:
            origin_m = np.round(shown.past_m[0, -1])
            of_error = {"agent": shown_id(shown.ids[0]), "fde_m": round(fde_m, 3)}
            encoded.append({**shown.encoded(origin_m), **of_error, "origin_m": origin_m.tolist()})
        return encoded


class TrackMap:
    """Map of tracks, and of the mean final error of the predictions made at each place."""

    def __init__(self, models: Iterable[str]) -> None:
        self._models = tuple(models)
        self._cell_m = CELL_M
        # (C, 2) column and row of each cell, sorted; (C, models, 2) number of predictions made
        # there, and sum of their FDE.
        self._cells: IntArray = np.empty((0, 2), dtype=np.int64)
        self._sums = np.empty((0, len(self._models), 2))
        self._tracks: dict[str, list[tuple[float, float]]] = {}
        self._drawn_ns = 0

    def add(self, measures: Mapping[str, Measures]) -> None:
        """Adds some ticks of all models."""
        self._add_errors([measures[name] for name in self._models])
        for tick in measures[self._models[0]].ticks:
            since_ns = abs(tick.forecast.stamp_ns - self._drawn_ns)
            if since_ns >= TRACK_PERIOD_S * NS_PER_S:
                self._drawn_ns = tick.forecast.stamp_ns
                self._add_tracks(tick)

    def encoded(self) -> dict[str, Any]:
        """The form that the page reads, metres."""
        return {
            "cell_m": self._cell_m,
            "cells": self._cells.tolist(),
            "futures": self._sums[..., 0].max(axis=1, initial=0.0).astype(int).tolist(),
            "mean_fde": {
                name: [
                    round(total / count, 3) if count else None
                    for count, total in self._sums[:, index].tolist()
                ]
                for index, name in enumerate(self._models)
            },
            "tracks": [np.round(points, 2).tolist() for _, points in sorted(self._tracks.items())],
        }

    def _add_errors(self, of_models: Sequence[Measures]) -> None:
        cells, sums = [self._cells], [self._sums]
        for model, measures in enumerate(of_models):
            rows = np.flatnonzero(measures.complete)
            cells.append(np.floor(measures.position_m[rows] / self._cell_m).astype(np.int64))
            sums.append(np.zeros((len(rows), len(of_models), 2)))
            sums[-1][:, model, 0], sums[-1][:, model, 1] = 1.0, measures.fde_m[rows]
        self._add_up(np.concatenate(cells), np.concatenate(sums))
        while len(self._cells) > MAX_CELLS or (
            len(self._cells) and np.ptp(self._cells, axis=0).max() >= MAX_CELLS_PER_SIDE
        ):
            self._cell_m *= 2
            self._add_up(self._cells // 2, self._sums)

    def _add_up(self, cells: IntArray, sums: FloatArray) -> None:
        """Replaces the map by (N, 2) cells with their sums; sums of equal cells are added."""
        self._cells, of_cell = np.unique(cells, axis=0, return_inverse=True)
        rows = sums.reshape(len(sums), math.prod(sums.shape[1:]))  # -1 fails without cells
        self._sums = sums_by_group(rows, of_cell.ravel(), len(self._cells)).reshape(
            -1, *sums.shape[1:]
        )

    def _add_tracks(self, tick: ScoredTick) -> None:
        """Adds the present positions. Of more tracks, those with the lowest checksums are drawn."""
        agents, places = tick.forecast.ids, tick.forecast.present_m.tolist()
        known = {(_checksum(agent), agent) for agent in (*self._tracks, *agents)}
        drawn = [agent for _, agent in heapq.nsmallest(N_TRACKS, known)]
        self._tracks = {agent: self._tracks.get(agent, []) for agent in drawn}
        for agent, (x, y) in zip(agents, places, strict=True):
            points = self._tracks.get(agent)
            if points is None or len(points) >= TRACK_POINTS:
                continue
            if not points or math.dist(points[-1], (x, y)) >= TRACK_SPACING_M:
                points.append((x, y))


def _checksum(agent: str) -> int:
    return zlib.crc32(agent.encode(errors="backslashreplace"))


def shown_id(agent: str) -> str:
    """Shortens an id for the page; a checksum distinguishes ids that begin alike."""
    if len(agent) <= MAX_ID:
        return agent
    return f"{agent[: MAX_ID - 10]}~{_checksum(agent):08x}"


def _nearest_to_all(places_m: FloatArray) -> IntArray:
    """(A,) rows of the people to show: all, or those nearest to the median position."""
    if len(places_m) <= SCENE_PEOPLE:
        return np.arange(len(places_m))
    middle = np.median(places_m, axis=0)
    nearest = np.argsort(np.hypot(*(places_m - middle).T), kind="stable")[:SCENE_PEOPLE]
    return np.sort(nearest)


def _packed(values: FloatArray) -> str:
    """Values as base64 of little-endian int16; -32768 encodes NaN."""
    whole = np.clip(np.round(values), -32767, 32767)
    packed = np.where(np.isnan(values), -32768, whole).astype("<i2")
    return base64.b64encode(packed.tobytes()).decode()


def encoded_walls(
    walls: FloorPlan | None, places_m: FloatArray, origin_m: FloatArray
) -> list[list[float]]:
    """Rectangles near (N, 2) people: x, y, width and height in metres from the (2,) origin.

    Successive rows of a map with the same run of occupied cells are one rectangle. A map that is
    rotated, or has more than `MAX_RECTANGLES` of them, is not drawn.
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
