"""`metric_demo`: writes a page on which a reader moves a prediction and sees the metrics answer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from social_implicit_ros.metrics import gaussian_mixture
from social_implicit_ros.models.noise import standard_normal
from social_implicit_ros.recordings.eth_ucy import N_PREDICTED

#: Futures that AMD, AMV and KDE see, and how many of them ADE and FDE choose from.
N_SAMPLES = 1000
N_PATHS = 20
#: What the template holds where the page's data go.
PLACEHOLDER = "/*DATA*/null"


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the page; returns the exit code, 2 where it cannot be written."""
    parser = argparse.ArgumentParser(
        prog="metric_demo",
        description="Writes one self-contained HTML page on which a reader moves, widens and "
        "splits a prediction and sees ADE, FDE, AMD, AMV and KDE answer.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("metric_demo.html"),
        metavar="FILE",
        help="where to write it (default: metric_demo.html)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the futures (default: 0)")
    options = parser.parse_args(arguments)
    try:
        options.out.write_text(demo_page(options.seed), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"metric_demo: {error}", file=sys.stderr)
        return 2
    print(f"wrote {options.out}: open it in a browser, no network needed")
    return 0


def demo_page(seed: int = 0) -> str:
    """The page as text.

    Args:
        seed: of the standard normal draws that every future on the page is made from.

    Raises:
        ValueError: a negative seed.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected a number from 0 on")
    # Two numbers place a future, the sign of the third says which way round it goes.
    normals = standard_normal(N_SAMPLES, 3, seed, "sobol").astype(np.float64)
    data = {
        "normals": normals.round(4).tolist(),
        "paths": N_PATHS,
        "steps": N_PREDICTED,
        "regularisation": gaussian_mixture.REGULARISATION_M2,
        "massFloor": gaussian_mixture.MASS_FLOOR,
        "tolerance": gaussian_mixture.TOLERANCE,
        "maxIterations": gaussian_mixture.MAX_ITERATIONS,
        "maxComponents": gaussian_mixture.MAX_COMPONENTS,
        "startPoints": gaussian_mixture.START_POINTS,
        "startRounds": gaussian_mixture.START_ROUNDS,
    }
    template = (resources.files(__package__) / "metric_demo.html").read_text(encoding="utf-8")
    before, after = template.split(PLACEHOLDER)
    return before + json.dumps(data, separators=(",", ":")) + after


if __name__ == "__main__":
    sys.exit(main())
