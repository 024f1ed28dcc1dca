"""Pictures and animations of predictions; the only importer of matplotlib and Pillow.

Seen from above: the solid line is the past, the dashed line the mean trajectory, the translucent
shapes contain the position with the stated confidence, up to the ellipse at the horizon, and the
dots are the ground truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path as Outline
from matplotlib.ticker import MultipleLocator
from PIL import Image

from social_implicit_ros.evaluation.published import PAST_S, PublishedPrediction, ScoredPrediction
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.types import FloatArray
from social_implicit_ros.uncertainty.ellipses import ellipse_axes

#: Confidence -> opacity, drawn from the outside in.
CONFIDENCES = {0.95: 0.08, 0.5: 0.24}

_COLOURS = (
    *("#2f6fde", "#f28e2b", "#e15759", "#1ba39c", "#59a14f"),
    *("#b07aa1", "#d4a800", "#e377c2", "#8c5a3c", "#6a4fc4"),
)
_INK, _GREY, _GRID, _FADED = "#1f2328", "#6b7280", "#e9ebef", "#8a94a3"
_DASHES = (0, (2.6, 1.5))
#: Factor of the opacity of the highlighted agent's regions.
_HIGHLIGHT = 2.0
#: Number of colours of an animation. One palette for all frames keeps the file small, as only
#: changes are stored.
_PALETTE = 96
_DIRECTIONS = 72
_WALL = (0.30, 0.33, 0.38)


@dataclass(frozen=True)
class View:
    """The part of the plane that is drawn, and the text beside it.

    Attributes:
        x_m, y_m: left and right, and lower and upper edge in metres.
        title: first line above the drawing.
        subtitle: second line, to which the time and the number of people are appended.
        start_ns: origin of that time, integer nanoseconds.
        floor_plan: walls; None for no walls.
        highlighted: the agent that is drawn in colour, with its ground truth; None for all.
    """

    x_m: tuple[float, float]
    y_m: tuple[float, float]
    title: str
    subtitle: str
    start_ns: int
    floor_plan: FloorPlan | None = None
    highlighted: int | None = None

    @property
    def is_upright(self) -> bool:
        """Whether the plane is drawn with y along the width, to fit a wide picture."""
        return self.y_m[1] - self.y_m[0] > self.x_m[1] - self.x_m[0]

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height as drawn, metres."""
        width_m, height_m = self.x_m[1] - self.x_m[0], self.y_m[1] - self.y_m[0]
        return (height_m, width_m) if self.is_upright else (width_m, height_m)


def view_of(
    predictions: Sequence[ScoredPrediction],
    *,
    title: str,
    subtitle: str,
    floor_plan: FloorPlan | None = None,
    margin_m: float = 1.0,
) -> View:
    """A view of all predicted people; raises ValueError if there are none."""
    presents = [_pasts(scored)[1] for scored in predictions]
    places = np.concatenate(presents) if presents else np.empty((0, 2))
    if not len(places):
        raise ValueError("no prediction to draw")
    low, high = places.min(axis=0) - margin_m, places.max(axis=0) + margin_m
    x_m, y_m = np.stack([low, high], axis=1).tolist()
    start_ns = min(scored.prediction.stamp_ns for scored in predictions)
    return View(tuple(x_m), tuple(y_m), title, subtitle, start_ns, floor_plan)


def write_picture(
    path: Path, scored: ScoredPrediction, view: View, *, width_px: int = 1600
) -> None:
    """Draws one prediction as PNG."""
    _Canvas(view, width_px).draw(scored).save(path, optimize=True)


def write_animation(
    path: Path, predictions: Sequence[ScoredPrediction], view: View, *, width_px: int = 840
) -> None:
    """Draws two or more successive predictions as a GIF that repeats in real time."""
    if len(predictions) < 2:
        raise ValueError(f"an animation of {len(predictions)} predictions, expected two or more")
    canvas = _Canvas(view, width_px)
    pictures = [canvas.draw(scored) for scored in predictions]
    some = np.concatenate([np.asarray(each) for each in pictures[:: max(len(pictures) // 4, 1)]])
    palette = Image.fromarray(some).quantize(_PALETTE)
    # The pillow of Ubuntu 22.04 has no Image.Dither.
    no_dither = getattr(Image, "Dither", Image).NONE
    frames = [each.quantize(palette=palette, dither=no_dither) for each in pictures]
    stamps_ns = np.array([scored.prediction.stamp_ns for scored in predictions])
    periods_ms = np.diff(stamps_ns) // 1_000_000
    # GIF stores hundredths of a second; viewers slow down frames shorter than two.
    durations_ms = [max(int(period) // 10 * 10, 20) for period in [*periods_ms, periods_ms[-1]]]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations_ms, loop=0)


def tube_outlines(start_m: FloatArray, mean: FloatArray, ellipses: FloatArray) -> FloatArray:
    """(A, T, D, 2) outlines of the convex hulls of each two successive ellipses, metres.

    They are counter-clockwise. A hull is found through its support function: in each of D
    directions, it takes the point of the ellipse that extends further.

    Args:
        start_m: (A, 2) present positions, metres.
        mean: (A, T, 2) mean positions, metres.
        ellipses: (A, T, 2, 2) covariances whose one-sigma ellipses are drawn, square metres.
    """
    angles = np.linspace(0.0, 2.0 * np.pi, _DIRECTIONS, endpoint=False)
    direction = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    projected = np.einsum("atij,dj->atdi", ellipses, direction)
    deviation = np.sqrt(np.maximum(np.einsum("atdi,di->atd", projected, direction), 1e-12))
    furthest = mean[:, :, None] + projected / deviation[..., None]
    present = np.broadcast_to(start_m[:, None, None], (len(mean), 1, _DIRECTIONS, 2))
    earlier = np.concatenate([present, furthest[:, :-1]], axis=1)
    ahead = np.einsum("atdi,di->atd", furthest - earlier, direction) > 0
    return np.where(ahead[..., None], furthest, earlier)


def ellipse_outlines(mean: FloatArray, ellipses: FloatArray) -> FloatArray:
    """(A, D, 2) outlines, metres, of the one-sigma ellipses of (A, 2, 2) m^2 about (A, 2) m."""
    major_m, minor_m, yaw = ellipse_axes(ellipses)
    angles = np.linspace(0.0, 2.0 * np.pi, 64)
    along = major_m[:, None] * np.cos(angles)
    across = minor_m[:, None] * np.sin(angles)
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    offsets = np.stack([cos * along - sin * across, sin * along + cos * across], axis=-1)
    return np.asarray(mean[:, None] + offsets)


class _Canvas:
    """A figure that is redrawn for each prediction."""

    def __init__(self, view: View, width_px: int) -> None:
        self._view = view
        width_in, dpi = 10.0, width_px / 10.0
        width_m, height_m = view.size_m
        self._left_in, bottom_in, top_in = 0.55, 0.95, 0.75
        axes_in = width_in - self._left_in - 0.15
        height_in = axes_in * height_m / width_m + bottom_in + top_in
        self._figure = Figure(figsize=(width_in, height_in), dpi=dpi, facecolor="white")
        self._canvas = FigureCanvasAgg(self._figure)
        corner = self._left_in / width_in, bottom_in / height_in
        size = axes_in / width_in, 1.0 - (bottom_in + top_in) / height_in
        self._axes: Axes = self._figure.add_axes((*corner, *size))
        self._write_frame()
        # The background does not change: it is drawn once.
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(self._figure.bbox)

    def draw(self, scored: ScoredPrediction) -> Image.Image:
        """Draws one prediction."""
        prediction = scored.prediction
        self._canvas.restore_region(self._background)
        pasts, presents = _pasts(scored)
        agents = prediction.agents.tolist()
        drawn = [self._view.highlighted in (None, agent) for agent in agents]
        colours = [
            _COLOURS[agent % len(_COLOURS)] if in_colour else _FADED
            for agent, in_colour in zip(agents, drawn, strict=True)
        ]
        means = np.concatenate([presents[:, None], prediction.mean], axis=1)
        ground_truth = scored.ground_truth_m[drawn].reshape(-1, 2)
        widest = prediction.ellipses(max(CONFIDENCES))
        horizon = ellipse_outlines(prediction.mean[:, -1], widest[:, -1])
        for artist in (
            self._tubes(presents, prediction, colours, max(CONFIDENCES)),
            self._tubes(presents, prediction, colours, min(CONFIDENCES)),
            self._lines(horizon, colours, linewidths=0.8, alpha=0.6),
            self._lines(pasts, colours, linewidths=2.6),
            self._lines(means, colours, linewidths=1.5, linestyles=[_DASHES]),
            self._dots(ground_truth, 3.5, _INK),
            self._dots(presents, 52.0, colours, edgecolors="white", linewidths=1.2),
        ):
            if artist.axes is None:
                self._axes.add_artist(artist)
            self._axes.draw_artist(artist)
            artist.remove()
        elapsed_s = (prediction.stamp_ns - self._view.start_ns) * 1e-9
        self._caption.set_text(
            f"{self._view.subtitle}  ·  t = {elapsed_s:.1f} s  ·  {len(colours)} people"
        )
        self._figure.draw_artist(self._caption)
        return Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB")

    def _tubes(
        self,
        presents: FloatArray,
        prediction: PublishedPrediction,
        colours: list[str],
        confidence: float,
    ) -> Artist:
        outlines = tube_outlines(presents, prediction.mean, prediction.ellipses(confidence))
        # One compound path per tube, so that overlaps do not get darker.
        paths = [
            Outline.make_compound_path(
                *(Outline([*part, part[0]], closed=True) for part in self._drawn_m(parts))
            )
            for parts in outlines
        ]
        opacity: Any = CONFIDENCES[confidence]
        if self._view.highlighted is not None:
            agents = prediction.agents == self._view.highlighted
            opacity = np.where(agents, _HIGHLIGHT * opacity, opacity)
        return PathCollection(paths, facecolors=colours, alpha=opacity, linewidths=0)

    def _lines(
        self, paths_m: Iterable[FloatArray], colours: list[str], **style: Any
    ) -> LineCollection:
        return LineCollection([self._drawn_m(path) for path in paths_m], colors=colours, **style)

    def _dots(self, places_m: FloatArray, size: float, colours: Any, **style: Any) -> Artist:
        x_m, y_m = self._drawn_m(places_m).T
        return self._axes.scatter(x_m, y_m, s=size, c=colours, **{"linewidths": 0.0, **style})

    def _drawn_m(self, places_m: FloatArray) -> FloatArray:
        """(..., 2) positions with the horizontal coordinate of the picture first."""
        return places_m[..., ::-1] if self._view.is_upright else places_m

    def _write_walls(self, floor_plan: FloorPlan) -> None:
        extent = left, right, low, high = floor_plan.extent_m
        walls = np.zeros((*floor_plan.occupied.shape, 4))
        walls[floor_plan.occupied] = (*_WALL, 1.0)
        if self._view.is_upright:
            walls, extent = walls.swapaxes(0, 1), (low, high, left, right)
        # imshow resets the limits.
        limits = self._axes.axis()
        self._axes.imshow(walls, extent=extent, origin="lower", zorder=1.5)
        self._axes.axis(limits)

    def _write_frame(self) -> None:
        axes, view = self._axes, self._view
        if view.is_upright:
            # Rotated by a right angle, not mirrored: x points down.
            axes.set(xlim=view.y_m, ylim=view.x_m[::-1], xlabel="y [m]", ylabel="x [m]")
        else:
            axes.set(xlim=view.x_m, ylim=view.y_m, xlabel="x [m]", ylabel="y [m]")
        if view.floor_plan is not None:
            self._write_walls(view.floor_plan)
        axes.set_aspect("equal")
        tick_m = next(
            step_m for step_m in (1.0, 2.0, 5.0, 10.0, 1e3) if view.size_m[0] / step_m < 16
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MultipleLocator(tick_m))
            axis.label.set(color=_GREY, size=9)
        axes.grid(color=_GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=_GREY, labelsize=8, length=0)
        for spine in axes.spines.values():
            spine.set_color(_GRID)
        height_in = self._figure.get_size_inches()[1]
        left, top = self._left_in / 10.0, 1.0 - 0.34 / height_in
        self._figure.text(left, top, view.title, color=_INK, size=15, weight="bold")
        self._caption = self._figure.text(left, top - 0.26 / height_in, "", color=_GREY, size=9.5)
        style: dict[str, Any] = {"frameon": False, "fontsize": 9, "labelcolor": _INK}
        style |= {"loc": "lower center", "bbox_to_anchor": (0.5, 0.0), "ncol": 7}
        handles = _legend(has_walls=view.floor_plan is not None)
        self._figure.legend(handles=handles, handlelength=2.4, columnspacing=1.5, **style)


def _pasts(scored: ScoredPrediction) -> tuple[list[FloatArray], FloatArray]:
    """Recent positions of each agent, newest last, and the positions at the tick."""
    presents_m = scored.present_m.copy()
    pasts_m = []
    for row, past_m in enumerate(scored.past_m[:, :-1]):
        past_m = past_m[~np.isnan(past_m[:, 0])]
        if np.isnan(presents_m[row]).any():
            # Not observed at the tick: the last position, else the start of the prediction.
            presents_m[row] = past_m[-1] if len(past_m) else scored.prediction.mean[row, 0]
        pasts_m.append(np.concatenate([past_m, presents_m[row : row + 1]]))
    return pasts_m, presents_m


def _legend(*, has_walls: bool) -> list[Artist]:
    half, most = sorted(CONFIDENCES)
    # The inner shape is drawn over the outer one.
    inner = 1.0 - (1.0 - CONFIDENCES[half]) * (1.0 - CONFIDENCES[most])
    return [
        Line2D([], [], color=_GREY, linewidth=2.6, label=f"past {PAST_S:g} s"),
        Line2D([], [], color=_GREY, marker="o", ms=7, mec="white", linewidth=0, label="now"),
        Line2D([], [], color=_GREY, linewidth=1.5, linestyle=_DASHES, label="mean trajectory"),
        Patch(facecolor=_GREY, alpha=inner, label=f"{half:.0%} region"),
        Patch(facecolor=_GREY, alpha=CONFIDENCES[most], label=f"{most:.0%} region"),
        Line2D([], [], color=_INK, marker="o", markersize=2.6, linewidth=0, label="ground truth"),
        *([Patch(facecolor=_WALL, label="wall")] if has_walls else []),
    ]
