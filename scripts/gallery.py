"""Draws the predictions of a model in situations that matter to a robot.

    python scripts/gallery.py [--model NAME] [--out gallery.png]

Black: the past. Coloured: the mean trajectory, the modes with an opacity by their probability, and
the 50 % and 95 % regions after 1.2 and 4.8 s.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from social_implicit_ros.models.registry import load_model
from social_implicit_ros.types import FloatArray, Prediction
from social_implicit_ros.uncertainty.ellipses import ellipse_axes, radius_at

N_OBSERVED, STEP_S = 8, 0.4
COLOURS = ("#2f6fde", "#f28e2b", "#1ba39c", "#e15759", "#59a14f", "#9467bd", "#8c564b", "#d4a017")
#: Steps whose regions are drawn, and confidence -> opacity.
STEPS, CONFIDENCES = (2, 11), {0.95: 0.10, 0.5: 0.25}


def walk(
    position: tuple[float, float], yaw_deg: float, speeds_m_s: FloatArray | float = 1.2
) -> FloatArray:
    """(8, 2) positions of somebody who walks straight and arrives at `position`, metres."""
    moves = STEP_S * np.broadcast_to(speeds_m_s, N_OBSERVED - 1)
    heading = np.array([np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))])
    along = np.concatenate([[0.0], np.cumsum(moves)])
    return np.array(position) + (along - along[-1])[:, None] * heading


def bend(degrees_per_s: float) -> FloatArray:
    """(8, 2) positions of somebody who turns at a constant rate, metres."""
    heading = np.radians(degrees_per_s) * STEP_S * np.arange(1.0 - N_OBSERVED, 1.0)
    steps = 1.2 * STEP_S * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    path = np.cumsum(steps, axis=0)
    return path - path[-1]


def scenes() -> dict[str, FloatArray]:
    """Name -> (A, 8, 2) observed positions, metres."""
    stopping = np.array([1.2, 1.2, 1.2, 0.9, 0.5, 0.2, 0.0])
    crowd = [walk((-0.6 * n, 0.9 * (n % 3) - 0.9), 4.0 * (1 - n % 3), 0.8) for n in range(6)]
    noisy = walk((0.0, 0.0), 0.0, 0.0) + np.random.default_rng(0).normal(0.0, 0.03, (8, 2))
    return {
        "head-on": np.stack([walk((-2.0, 0.0), 0.0), walk((2.0, 0.1), 180.0)]),
        "crossing": np.stack([walk((-2.5, 0.0), 0.0), walk((0.0, -2.5), 90.0)]),
        "group": np.stack([walk((0.0, 0.6 * n), 0.0, 1.1) for n in range(3)]),
        "towards somebody standing": np.stack(
            [walk((-2.5, 0.05), 0.0), walk((0.0, 0.0), 0.0, 0.0)]
        ),
        "standing, noise of 3 cm": noisy[None],
        "stopping": walk((0.0, 0.0), 0.0, stopping)[None],
        "starting": walk((0.0, 0.0), 0.0, stopping[::-1])[None],
        "turning, 25 degrees/s": bend(25.0)[None],
        "bottleneck": np.stack([*crowd, walk((3.5, 0.0), 180.0, 1.0)]),
    }


def draw(axes: Axes, name: str, observed: FloatArray, prediction: Prediction) -> None:
    """Draws one scene from above."""
    radii = {c: radius_at(prediction, c) for c in CONFIDENCES}
    major, minor, yaw = ellipse_axes(prediction.covariance)
    for agent, past in enumerate(observed):
        colour = COLOURS[agent % len(COLOURS)]
        start = past[-1:]
        for confidence, opacity in CONFIDENCES.items():
            for step in STEPS:
                scale = 2.0 * radii[confidence][agent, step]
                size = (scale * major[agent, step], scale * minor[agent, step])
                angle = np.degrees(yaw[agent, step])
                centre = prediction.mean[agent, step]
                axes.add_patch(
                    Ellipse(centre, *size, angle=angle, color=colour, alpha=opacity, lw=0)
                )
        probabilities = prediction.probabilities[:, agent]
        for mode, share in zip(prediction.samples[:, agent], probabilities, strict=True):
            path = np.concatenate([start, mode])
            axes.plot(
                *path.T, color=colour, lw=0.8, alpha=float(0.1 + 0.8 * share / probabilities.max())
            )
        axes.plot(*np.concatenate([start, prediction.mean[agent]]).T, color=colour, lw=2.2)
        axes.plot(*past.T, color="black", lw=1.5, marker=".", ms=3)
    axes.set_title(name, fontsize=10)
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)


def main() -> None:
    """Draws all scenes into one picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", default="default", help="as in evaluate_bag (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=Path("gallery.png"))
    options = parser.parse_args()
    try:
        model = load_model(options.model)
    except ValueError as error:
        parser.error(str(error))
    figure = Figure(figsize=(15, 13), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, observed) in zip(figure.subplots(3, 3).flat, scenes().items(), strict=True):
        draw(axes, name, observed, model.predict(observed))
    figure.savefig(options.out, dpi=90)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
