"""An interactive page: the reader moves a prediction and sees how trajectory metrics respond."""

from __future__ import annotations

from typing import Any

import numpy as np

from social_implicit_ros.evaluation.output_files import filled_page
from social_implicit_ros.metrics.amd import fit_sample_mixtures, mixture_distances
from social_implicit_ros.metrics.gaussian_mixture import REGULARISATION_M2
from social_implicit_ros.models.noise import standard_normal
from social_implicit_ros.recordings.text_formats.eth_ucy import N_PREDICTED
from social_implicit_ros.types import FloatArray

#: Number of samples for AMD, AMV and KDE, and of those from which ADE and FDE choose.
N_SAMPLES = 1000
N_PATHS = 20
#: Grid points of the AMD table: stretch along the path, and distance between the two halves of the
#: samples in standard deviations.
STRETCHES = np.geomspace(0.25, 4.0, 17)
SPLITS = np.append(np.arange(0.0, 12.25, 0.25), 50.0)
#: Distance of the ground truth for which the table is computed, standard deviations.
_OFFSET = 2.0


def demo_page(seed: int = 0) -> str:
    """The page as text."""
    # The first two numbers are the offset of a sample; the sign of the third selects its half.
    normals = standard_normal(N_SAMPLES, 3, seed, "sobol").astype(np.float64).round(4)
    data = {
        "normals": normals.tolist(),
        "paths": N_PATHS,
        "steps": N_PREDICTED,
        "regularisation": REGULARISATION_M2,
        "amd": amd_table(normals),
    }
    return filled_page(__package__, "metric_demo.html", data)


def amd_table(normals: FloatArray) -> dict[str, Any]:
    """AMD of the page's predictions, from (K, 3) draws, for the page to interpolate.

    The page has one or two groups of samples, so that AMD is sqrt(sideways * u^2 + ahead * v^2)
    to within 3 %, u and v being the offsets of the ground truth in standard deviations. Both
    factors depend only on the shape of the prediction. They jump where BIC begins to prefer two
    components to one; within a grid cell of that shape the interpolation is coarse.
    """
    half = np.where(normals[:, 2] < 0, -0.5, 0.5)
    shape = (len(STRETCHES), len(SPLITS), len(half))
    x = np.broadcast_to(normals[:, 0] + SPLITS[:, None] * half, shape)
    y = np.broadcast_to((STRETCHES[:, None] * normals[:, 1])[:, None], shape)
    # (K, A, T, 2): a stretch takes the place of an agent, a split that of a step.
    mixtures = fit_sample_mixtures(np.moveaxis(np.stack([x, y], axis=-1), 2, 0))
    stretch = np.repeat(STRETCHES, len(SPLITS))
    nothing = np.zeros_like(stretch)
    table: dict[str, Any] = {"stretch": STRETCHES.round(6).tolist(), "split": SPLITS.tolist()}
    for name, truth in (
        ("sideways", [nothing + _OFFSET, nothing]),
        ("ahead", [nothing, _OFFSET * stretch]),
    ):
        distances, _ = mixture_distances(mixtures, np.stack(truth, axis=-1))
        factors = (distances / _OFFSET) ** 2
        table[name] = factors.reshape(len(STRETCHES), -1).round(4).tolist()
    return table
