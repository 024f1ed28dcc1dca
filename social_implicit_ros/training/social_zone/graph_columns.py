"""Columns of the tensors in the graph of Social-Zone, and layers that read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from social_implicit_ros.training.social_zone.model import N_OBSERVED, SCALE_CENTRE_M

N_STEPS = N_OBSERVED - 1
#: Vectors that are rotated into the agent's frame: the displacements, the position, and the last
#: displacement again in the unit of relative velocities.
POSITION, LAST = N_STEPS, N_STEPS + 1
N_VECTORS = N_STEPS + 2
#: Products of the heading with or by the scale and the unit, see `SocialZoneGraph._motion`.
PER_SCALE, PLAIN, PER_UNIT, TIMES_SCALE = range(4)
N_COPIES = 4
#: Length of each copy of a heading in a unit vector of all copies.
COPY_LENGTH = N_COPIES**-0.5
#: Third differences of the positions.
N_JERKS = N_OBSERVED - 3
#: Columns of `_inputs`: vectors, vectors rotated to the right, third differences, and three
#: columns of what is known: sum of the weights, expected noise, and a constant one.
TURNED = slice(2 * N_VECTORS, 4 * N_VECTORS)
JERKS = slice(TURNED.stop, TURNED.stop + 2 * N_JERKS)
TOTAL, SMOOTH, ONE = range(JERKS.stop, JERKS.stop + 3)
N_INPUTS = ONE + 1
#: Columns of the features: `_inputs` in the agent's frame as two summands, mask, logarithm
#: of the energy, and `_motion`: headings, speed per scale, extrapolation.
MASK = slice(N_INPUTS, N_INPUTS + N_OBSERVED)
LOG_ENERGY = MASK.stop
FIRST_HEADING = LOG_ENERGY + 1
RATIO = FIRST_HEADING + 2 * N_COPIES
N_FEATURES = RATIO + 3


class FeatureLayer:
    """A linear layer on the features, built step by step."""

    def __init__(self, n_outputs: int) -> None:
        self.weight = np.zeros((N_FEATURES, n_outputs))
        self.bias = np.zeros(n_outputs)

    def read_vector(self, place: int, weight: NDArray, outputs: slice) -> None:
        """Adds a vector in the agent's frame, times (2, n) weights."""
        for columns in (vector(place), vector(place, turned=True)):
            self.weight[columns, outputs] += weight

    def read_heading(self, product: int, weight: ArrayLike, outputs: slice) -> None:
        """Adds cosine and sine, times a product of `_motion`, times (2, n) weights."""
        start = FIRST_HEADING + 2 * product
        self.weight[start : start + 2, outputs] = np.asarray(weight) / COPY_LENGTH

    def read_log_scale(self, weight: NDArray, outputs: slice) -> None:
        """Adds the logarithm of the scale, times (n,) weights."""
        self.weight[LOG_ENERGY, outputs], self.bias[outputs] = of_log_scale(
            weight, self.bias[outputs]
        )


def of_log_scale(weight: NDArray, bias: NDArray) -> tuple[NDArray, NDArray]:
    """Converts weights and bias on the logarithm of the scale to that of the energy."""
    return 0.5 * weight, bias - np.log(SCALE_CENTRE_M) * weight.reshape(bias.shape)


def into_frame() -> NDArray:
    """(11, 49) from headings to the factors of `_inputs`."""
    product = np.full(N_VECTORS, PER_SCALE)
    product[POSITION], product[LAST] = PLAIN, PER_UNIT
    factors = np.zeros((N_FEATURES - FIRST_HEADING, N_INPUTS))
    for place in range(N_VECTORS):
        for half in (0, 1):  # cosine for vectors, sine for rotated ones
            factors[2 * product[place] + half, vector(place, turned=half == 1)] = 1.0 / COPY_LENGTH
    return factors


def vector(place: int, *, turned: bool = False) -> slice:
    """Columns of a vector in `_inputs`."""
    start = 2 * place + (TURNED.start if turned else 0)
    return slice(start, start + 2)


def slices(sizes: Sequence[int]) -> list[slice]:
    """Consecutive slices of given sizes."""
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def position(step: int) -> NDArray:
    """(16, 2) from flat positions to the position at a step."""
    return np.eye(2 * N_OBSERVED)[:, 2 * step : 2 * step + 2]


def flat(weight: NDArray) -> NDArray:
    """Merges all axes but the first."""
    return weight.reshape(len(weight), -1)


def weights(layer: nn.Linear) -> tuple[NDArray, NDArray]:
    """(inputs, outputs) weights and (outputs,) bias."""
    weight, bias = (
        values.detach().numpy().astype(np.float64) for values in (layer.weight, layer.bias)
    )
    return weight.T, bias
