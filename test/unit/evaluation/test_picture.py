"""Pictures show every prediction, in the right place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from PIL import Image

from social_implicit_ros.evaluation.published import (
    PublishedPrediction,
    ScoredPrediction,
    score_published,
)
from social_implicit_ros.evaluation.report.picture import (
    View,
    tube_outlines,
    view_of,
    write_animation,
    write_picture,
)
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.types import FloatArray, Tracks

STEPS = np.arange(1, 13)


def predictions(
    n_moments: int = 3, direction: FloatArray | None = None
) -> list[PublishedPrediction]:
    """Two people on parallel ways, 0.5 m per step."""
    towards = np.array([0.5, 0.1]) if direction is None else direction
    way = STEPS[:, None] * towards
    mean = np.stack([way, way + np.array([0.0, 3.0])])
    covariance = np.broadcast_to((0.1 * STEPS[:, None, None]) ** 2 * np.eye(2), (2, 12, 2, 2))
    return [
        PublishedPrediction(
            stamp_ns=(10 + moment) * 200_000_000,
            agents=np.array([1, 2]),
            times_s=STEPS * 0.4,
            mean=mean + 0.25 * moment * towards,
            covariance=covariance,
            n_observed=np.array([8, 8]),
        )
        for moment in range(n_moments)
    ]


def nobody() -> PublishedPrediction:
    return PublishedPrediction(
        stamp_ns=2_000_000_000,
        agents=np.empty(0, np.int64),
        times_s=STEPS * 0.4,
        mean=np.empty((0, 12, 2)),
        covariance=np.empty((0, 12, 2, 2)),
        n_observed=np.empty(0, np.int64),
    )


def scored(entries: list[PublishedPrediction]) -> list[ScoredPrediction]:
    recording = [
        Tracks(
            index * 200_000_000,
            ("1", "2"),
            np.array([[0.0, 0.0], [0.0, 3.0]]) + 0.25 * (index - 10) * np.array([0.5, 0.1]),
        )
        for index in range(60)
    ]
    return score_published(entries, recording)


@pytest.mark.parametrize("seed", range(5))
def test_a_tube_contains_the_present_position_and_every_ellipse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean = np.cumsum(rng.normal(size=(1, 6, 2)), axis=1)
    root = rng.normal(size=(1, 6, 2, 2))
    covariance = root @ np.swapaxes(root, -1, -2) + 0.2 * np.eye(2)
    start = rng.normal(size=(1, 2))
    parts = [Outline(part) for part in tube_outlines(start, mean, 1.5**2 * covariance)[0]]
    angles = np.linspace(0, 2 * np.pi, 50)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    for step in range(6):
        # A polygon of 48 corners lies a little inside its ellipse.
        ellipse = mean[0, step] + 0.95 * 1.5 * circle @ np.linalg.cholesky(covariance[0, step]).T
        assert parts[step].contains_points(ellipse).all()
    assert parts[0].contains_point(start[0], radius=1e-6) or parts[0].contains_point(
        start[0], radius=-1e-6
    )


def test_the_picture_shows_people_in_colour_where_they_are(tmp_path: Path) -> None:
    (entry,) = scored(predictions(1))
    # Wide enough for both, and for one of them.
    both, one = (View((-1.0, 8.0), (-2.0, top_m), "", "", 0) for top_m in (6.0, 2.0))
    colourful = []
    for view in (both, one):
        write_picture(tmp_path / "people.png", entry, view, width_px=800)
        image = np.asarray(Image.open(tmp_path / "people.png").convert("RGB")).astype(int)
        assert image.shape[1] == 800
        colourful.append(image.max(axis=2) - image.min(axis=2) > 25)
    assert 1.5 < colourful[0].sum() / colourful[1].sum() < 2.5
    # They walk to the right, and the ellipses widen.
    rows, columns = np.nonzero(colourful[1])
    left, right = np.percentile(columns, [10, 90])
    assert np.ptp(rows[columns > right]) > 1.4 * np.ptp(rows[columns < left])


def test_the_animation_has_a_frame_per_moment_and_repeats(tmp_path: Path) -> None:
    entries = scored(predictions(n_moments=4))
    view = view_of(entries, title="Title", subtitle="test")
    write_animation(tmp_path / "all.gif", entries, view, width_px=400)
    with Image.open(tmp_path / "all.gif") as animation:
        assert animation.n_frames == 4  # type: ignore[attr-defined]
        assert animation.info["duration"] == 200
        assert animation.info["loop"] == 0


def test_a_tall_scene_is_rotated_to_fit_a_wide_picture() -> None:
    view = View(x_m=(0.0, 4.0), y_m=(-5.0, 5.0), title="", subtitle="", start_ns=0)
    assert view.is_upright
    assert view.size_m == (10.0, 4.0)


@pytest.mark.parametrize("upright", [False, True])
def test_walls_are_drawn_at_their_positions(tmp_path: Path, upright: bool) -> None:
    occupied = np.zeros((40, 40), bool)
    occupied[:4, :20] = True  # along the lower edge, left half
    y_m = (-10.0, 12.0) if upright else (0.0, 4.0)
    plan = FloorPlan(occupied, 0.1, (0.0, 0.0))
    view = View((0.0, 4.0) if upright else (-10.0, 12.0), y_m, "", "", 0, plan)
    write_picture(tmp_path / "walls.png", scored([nobody()])[0], view, width_px=600)
    image = np.asarray(Image.open(tmp_path / "walls.png").convert("L"))
    # The wall is 2.0 m x 0.4 m, and the only large dark patch above the legend.
    rows, columns = np.nonzero(image[: int(0.8 * len(image))] < 100)
    assert rows.size > 100
    width, height = np.ptp(np.percentile(columns, [5, 95])), np.ptp(np.percentile(rows, [5, 95]))
    assert (width < height) if upright else (width > height)


def test_without_predictions_there_is_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no prediction to draw"):
        view_of([], title="", subtitle="")
    view = view_of(scored(predictions()), title="", subtitle="")
    with pytest.raises(ValueError, match="two or more"):
        write_animation(tmp_path / "all.gif", scored(predictions(1)), view)
