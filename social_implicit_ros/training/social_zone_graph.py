"""Social-Zone as an ONNX graph: the same function, in few and large operations.

At a robot's sizes an operation costs more to call than to compute, so what is linear is multiplied
out beforehand:

* vectors are kept flat, x and y in turn, beside themselves turned by a right angle: so a rotation
  is one product with the cosines and sines of an agent's heading, and the sum that completes it is
  part of the layer that reads it;
* everything that a future is a sum of is a path: the mean, one path per noise value, one per code
  value. One product makes them all, and one each the samples and the representative futures;
* walking straight on, which the heads add to, is added to the paths at the end, in world axes.

Training sums the nearest neighbours, the graph everybody in the scene: the others weigh zero.

The weights themselves stand in the file's metadata, for whoever trains the model further.
"""

from __future__ import annotations

import base64

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from social_implicit_ros.training.onnx_graph import GraphBuilder
from social_implicit_ros.training.social_zone import (
    LOG_SCALE_RANGE,
    N_OBSERVED,
    N_PREDICTED,
    RELATIVE_SPEED_FLOOR_M,
    SCALE_CENTRE_M,
    STANDING_M,
    VARIANCE_FLOOR,
    SocialZone,
)

#: Where the file holds the weights, as base64 of float32 in the order of the parameters.
WEIGHTS = "weights"
#: Predicted steps.
_TIME = np.arange(1.0, N_PREDICTED + 1.0)
#: Keeps the share of noise in a history without third differences from being 0 / 0, m^2.
_NO_NOISE_M2 = 1e-9
#: Independent directions of the noise that samples get beside the network's own.
N_FLOOR = 2
_N_STEPS = N_OBSERVED - 1
#: Turn row vectors by a right angle.
_LEFT = np.array([[0.0, 1.0], [-1.0, 0.0]])
_RIGHT = _LEFT.T
#: Vectors of an agent that are turned into its frame: the displacements, its position, and its
#: last displacement once more, in the unit of relative speeds.
_POSITION, _LAST = _N_STEPS, _N_STEPS + 1
_N_VECTORS = _N_STEPS + 2
#: What each product of a heading is a product with: places in `_Writer._headings`.
_PER_SCALE, _PLAIN, _PER_UNIT, _TIMES_SCALE = range(4)
#: Somebody who stands at the centre has no direction and faces along x, metres.
_NO_DIRECTION_M = 1e-10


def social_zone_graph(model: SocialZone, *, sample_floor_m: float) -> onnx.ModelProto:
    """The model as an ONNX graph, for any number of agents and samples.

    Args:
        model: a trained model.
        sample_floor_m: standard deviation that is added to the samples' at the last step, growing
            in proportion to time from zero: nobody's future is certain.
    """
    file = _Writer(model, sample_floor_m).graph()
    weights = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    text = base64.b64encode(weights.astype("<f4").tobytes()).decode("ascii")
    onnx.helper.set_model_props(file, {WEIGHTS: text})
    return file


class _Writer:
    """Writes the nodes; strings are names of tensors."""

    def __init__(self, model: SocialZone, sample_floor_m: float) -> None:
        self.model, self.sizes = model, model.sizes
        self.sample_floor_m = sample_floor_m
        self.build = GraphBuilder()
        self.basis: NDArray = model.basis.numpy().astype(np.float64)  # (T, rank)
        self.flat = self._reshape("observed", [-1, 2 * N_OBSERVED])

    def graph(self) -> onnx.ModelProto:
        """The whole graph."""
        sizes, node = self.sizes, self.build.node
        vectors = self._vectors()
        velocity, energy = self._motion(vectors)
        scale, speed = node("Sqrt", energy), self._norm(velocity)
        headings = self._headings(velocity, speed, scale)
        log_energy = self._log_energy(energy)
        in_frame = node("Mul", vectors, self._product(headings, _into_frame()))
        ratio = node("Div", speed, scale)
        features = node("Concat", in_frame, "mask", log_energy, ratio, headings, axis=1)
        rows = self._rows(self._hidden(features, log_energy), headings)
        paths = self._product(rows, self._over_time(np.eye(2)))
        mean, spread, learnt, reach = self.build.nodes(
            "Split",
            4,
            self._reshape(paths, [self.n_rows, -1]),
            self.build.indices([1, sizes.spread + N_FLOOR, 1, sizes.reach]),
            axis=0,
        )
        straight = self._straight(velocity)
        mean, learnt = node("Add", mean, straight), node("Add", learnt, straight)
        codes = self.build.constant(self.model.codes.detach().numpy())
        return self.build.model(
            self._futures(node("Gemm", "noise", spread, mean)),
            n_observed=N_OBSERVED,
            n_predicted=N_PREDICTED,
            noise_dimension=sizes.spread + N_FLOOR,
            mean=self._reshape(mean, [-1, N_PREDICTED, 2]),
            covariance=self._covariance(rows, energy),
            representatives=self._futures(node("Gemm", codes, reach, learnt)),
            n_representatives=sizes.representatives,
        )

    def _vectors(self) -> str:
        """(A, 36) the vectors in world axes, zero where unknown; then all of them turned right."""
        take = np.zeros((2 * N_OBSERVED, _N_VECTORS, 2))
        seen = np.zeros((N_OBSERVED, _N_VECTORS, 2))
        always = np.zeros((_N_VECTORS, 2))
        for step in range(_N_STEPS):
            take[:, step] = _position(step + 1) - _position(step)
            seen[step, step] = 1.0
        take[:, _POSITION] = _position(N_OBSERVED - 1)
        take[:, _LAST] = take[:, _N_STEPS - 1]
        always[_POSITION:] = 1.0
        both = np.concatenate([take, take @ _RIGHT], axis=1).reshape(2 * N_OBSERVED, -1)
        known = self._affine("mask", np.tile(_flat(seen), 2), np.tile(always.ravel(), 2))
        # A sum of one position, minus one position, and zeros: as exact as a subtraction.
        return self.build.node("Mul", self._product(self.flat, both), known)

    def _motion(self, vectors: str) -> tuple[str, str]:
        """(A, 2) smoothed displacement per step and (A, 1) mean square of it and of a floor."""
        node = self.build.node
        decay = self.sizes.heading_decay ** np.arange(_N_STEPS - 1, -1, -1)[:, None]
        rest = ((0, 4 * _N_VECTORS - 2 * _N_STEPS), (0, 0))
        total = self._product("mask", np.pad(decay, ((0, 1), (0, 0))))
        velocity = self._product(vectors, np.pad(np.kron(decay, np.eye(2)), rest))
        squares = self.build.constant(np.pad(np.kron(decay, np.ones((2, 1))), rest))
        energy = node(
            "Gemm",
            node("Mul", vectors, vectors),
            squares,
            total,
            beta=self.sizes.scale_floor_m**2,
        )
        return node("Div", velocity, total), node("Div", energy, total)

    def _headings(self, velocity: str, speed: str, scale: str) -> str:
        """(A, 8) cosine and sine of the heading, times or by what `_PER_SCALE` and so on say."""
        node, number = self.build.node, self.build.constant
        centre = self._affine(
            self.flat, -_position(N_OBSERVED - 1), np.array([_NO_DIRECTION_M, 0.0])
        )
        walks = node("Greater", speed, number([[STANDING_M]]))
        heading = node("LpNormalization", node("Where", walks, velocity, centre), axis=1, p=2)
        unit = node("Max", scale, number([[RELATIVE_SPEED_FLOOR_M]]))
        return node(
            "Concat",
            node("Div", heading, scale),
            heading,
            node("Div", heading, unit),
            node("Mul", heading, scale),
            axis=1,
        )

    def _straight(self, velocity: str) -> str:
        """(1, A * 2 T) walking straight on in metres, world axes; see `SocialZone.frame`."""
        node = self.build.node
        n_jerks = N_OBSERVED - 3
        jerk = np.zeros((2 * N_OBSERVED, n_jerks, 2))
        seen = np.zeros((N_OBSERVED, n_jerks, 2))
        # Somebody of whom too little is known has no noise; the last step is always known.
        smooth = np.full((N_OBSERVED, 1), _NO_NOISE_M2)
        for step in range(n_jerks):
            for place, factor in enumerate((-1.0, 3.0, -3.0, 1.0)):
                jerk[:, step] += factor * _position(step + place)
            seen[step, step] = 1.0
            smooth[step] = self.sizes.smooth_m**2
        known = node(
            "Mul", self._product(self.flat, _flat(jerk)), self._product("mask", _flat(seen))
        )
        energy = node("ReduceSumSquare", known, axes=[1], keepdims=1)
        noise = node("Div", energy, node("Gemm", "mask", self.build.constant(smooth), energy))
        last = self._product(self.flat, _position(N_OBSERVED - 1) - _position(N_OBSERVED - 2))
        walk = node("Add", last, node("Mul", noise, node("Sub", velocity, last)))
        path = self._product(walk, np.kron(_TIME[None], np.eye(2)))
        return self._reshape(path, [1, -1])

    def _log_energy(self, energy: str) -> str:
        """(A, 1) of which `_of_log_scale` makes the logarithm of the scale."""
        number = self.build.constant
        lowest, highest = (2.0 * (bound + np.log(SCALE_CENTRE_M)) for bound in LOG_SCALE_RANGE)
        return self.build.node(
            "Clip", self.build.node("Log", energy), number(lowest), number(highest)
        )

    def _hidden(self, features: str, log_energy: str) -> str:
        """(A, encoded) what the heads read."""
        sizes, node = self.sizes, self.build.node
        weight, bias = _weights(self.model.first)
        weight, social = np.split(weight, [len(weight) - sizes.social])
        relative, known, log_scale, ratio = np.split(weight, np.cumsum([2 * _N_STEPS, 1, 1]))
        first = _Reader(sizes.hidden)
        first.bias += bias
        hidden = slice(0, sizes.hidden)
        for step in range(_N_STEPS):
            first.read_vector(step, relative[2 * step : 2 * step + 2], hidden)
        first.weight[_MASK][:_N_STEPS, hidden] = known / _N_STEPS
        first.read_log_scale(log_scale[0], hidden)
        first.weight[_RATIO, hidden] = ratio[0]
        if sizes.social:
            others, himself = self._social(features, log_energy)
            features = node("Concat", features, others, himself, axis=1)
            first.weight = np.concatenate([first.weight, social, -social])
        hidden_1 = node("Relu", self._affine(features, first.weight, first.bias))
        return node("Relu", self._affine(hidden_1, *_weights(self.model.second)))

    def _social(self, features: str, log_energy: str) -> tuple[str, str]:
        """(A, F) sum over all of relu(linear(relative state)) times a weight, and own share in it.

        What one feature of a pair is before its relu, is linear in the other's state and in a one,
        with five factors that are the agent's own.
        """
        node, n_features = self.build.node, self.sizes.social
        weight, bias = _weights(self.model.social)
        position, velocity, log_scale = weight[0:2], weight[2:4], weight[4]
        factors = _Reader(n_features * 5)
        for axis in (0, 1):
            ahead = slice(axis, None, 5)
            factors.weight[_heading(_PLAIN), ahead] = [position[axis], (_RIGHT @ position)[axis]]
            ahead = slice(2 + axis, None, 5)
            factors.weight[_heading(_PER_UNIT), ahead] = [velocity[axis], (_RIGHT @ velocity)[axis]]
        constant = slice(4, None, 5)
        factors.read_vector(_POSITION, -position, constant)
        factors.read_vector(_LAST, -velocity, constant)
        factors.bias[constant] = bias
        factors.read_log_scale(log_scale, constant)
        own = self._affine(features, factors.weight, factors.bias)
        own = self._reshape(own, [-1, n_features, 5])

        last = _position(N_OBSERVED - 1)
        step = last - _position(N_OBSERVED - 2)
        state = np.concatenate([last, step, np.zeros((2 * N_OBSERVED, 1))], axis=1)
        states = self._transposed_affine(state, np.array([[0.0], [0], [0], [0], [1]]))  # (5, A)
        pairs = node("Relu", node("MatMul", own, states))  # (A, F, A)
        others = self._sum(node("Mul", pairs, self._pair_weight()), 2)
        # Everybody is at distance 0 from himself, with weight 1.
        himself = self._affine(log_energy, *_of_log_scale(log_scale[None], bias))
        return others, node("Relu", himself)

    def _pair_weight(self) -> str:
        """(A, 1, A) weights of the distances between agents."""
        node, number = self.build.node, self.build.constant
        place = _position(N_OBSERVED - 1) / self.sizes.social_range_m
        own = node("Unsqueeze", self._product(self.flat, place), self.build.indices([2]))
        between = node("Sub", own, self._transposed_affine(place, np.zeros((2, 1))))  # (A, 2, A)
        distance_2 = self._sum(node("Mul", between, between), 1, keepdims=1)
        near = node("Relu", node("Sub", number([[[1.0]]]), distance_2))
        return node("Mul", near, near)

    @property
    def n_rows(self) -> int:
        """Paths of an agent: mean, spread, floor of the samples, learnt mean, reach."""
        return 2 + self.sizes.spread + N_FLOOR + self.sizes.reach

    def _rows(self, hidden: str, headings: str) -> str:
        """(rows, A, 4 rank) coefficients in metres, world axes: the sum of the two halves."""
        sizes, node, rank = self.sizes, self.build.node, self.sizes.rank
        weight = np.zeros((sizes.encoded, self.n_rows, 2 * rank))
        bias = np.zeros((self.n_rows, 2 * rank))
        first_floor = 1 + sizes.spread
        learnt = first_floor + N_FLOOR
        for head, rows, trust in (
            (self.model.mean, slice(0, 1), self.model.trust),
            (self.model.spread, slice(1, first_floor), 1.0),
            (self.model.mean, slice(learnt, learnt + 1), 1.0),
            (self.model.reach, slice(learnt + 1, None), 1.0),
        ):
            head_weight, head_bias = _weights(head)
            weight[:, rows] = trust * head_weight.reshape(sizes.encoded, -1, 2 * rank)
            bias[rows] = trust * head_bias.reshape(-1, 2 * rank)
        # The floor is isotropic and grows in proportion to time, which is within the span of the
        # basis; it still turns with the agent, so that each sample does.
        walk = np.kron(_TIME @ self.basis / N_PREDICTED, np.eye(2))  # (2, 2 rank)
        bias[first_floor:learnt] = self.sample_floor_m * walk / N_PREDICTED
        turn = np.kron(np.eye(rank), _LEFT)
        weight, bias = (np.concatenate([part, part @ turn], axis=-1) for part in (weight, bias))
        unit = np.zeros((8, self.n_rows, 2, 2 * rank))
        for half in (0, 1):  # cosine, sine
            unit[2 * _TIMES_SCALE + half, :, half] = 1.0
            unit[:, first_floor:learnt, half] = 0.0
            unit[2 * _PLAIN + half, first_floor:learnt, half] = 1.0
        flat = node(
            "Mul",
            self._affine(hidden, _flat(weight), bias.ravel()),
            self._product(headings, _flat(unit)),
        )
        by_row = self._reshape(flat, [-1, self.n_rows, 4 * rank])
        return node("Transpose", by_row, perm=[1, 0, 2])

    def _over_time(self, axes: NDArray) -> NDArray:
        """(4 rank, T n) takes rows to positions, each times the (2, n) axes."""
        return np.tile(np.kron(self.basis.T, axes), (2, 1))

    def _covariance(self, rows: str, energy: str) -> str:
        """(A, T, 2, 2) from the rows of the spread."""
        node = self.build.node
        spread = node(
            "Slice", rows, *(self.build.indices([value]) for value in (1, 1 + self.sizes.spread, 0))
        )
        # The variances along x, y and the diagonal between tell the covariance of x and y.
        paths = self._product(spread, self._over_time(np.array([[1.0, 0, 1], [0, 1, 1]])))
        variances = self._sum(node("Mul", paths, paths), 0)  # (A, 3 T)
        entries = np.array([[1.0, -0.5, -0.5, 0], [0, -0.5, -0.5, 1], [0, 0.5, 0.5, 0]])
        place = np.kron(np.eye(N_PREDICTED), entries)
        floor = VARIANCE_FLOOR * np.tile([[1.0, 0, 0, 1]], N_PREDICTED)
        flat = node("Gemm", variances, self.build.constant(place), self._product(energy, floor))
        return self._reshape(flat, [-1, N_PREDICTED, 2, 2])

    def _futures(self, flat: str) -> str:
        """(K, A * 2 T) -> (K, A, T, 2)."""
        return self._reshape(flat, [0, -1, N_PREDICTED, 2])

    def _product(self, values: str, matrix: NDArray) -> str:
        return self.build.node("MatMul", values, self.build.constant(matrix))

    def _affine(self, values: str, weight: NDArray, bias: NDArray) -> str:
        number = self.build.constant
        return self.build.node("Gemm", values, number(weight), number(bias))

    def _transposed_affine(self, weight: NDArray, bias: NDArray) -> str:
        """(n, A) from the (A, 16) positions, (16, n) weights and an (n, 1) bias."""
        number = self.build.constant
        return self.build.node("Gemm", number(weight.T), self.flat, number(bias), transB=1)

    def _norm(self, vectors: str) -> str:
        return self.build.node("ReduceL2", vectors, axes=[1], keepdims=1)

    def _sum(self, tensor: str, axis: int, keepdims: int = 0) -> str:
        return self.build.node("ReduceSum", tensor, self.build.indices([axis]), keepdims=keepdims)

    def _reshape(self, tensor: str, shape: list[int]) -> str:
        return self.build.node("Reshape", tensor, self.build.indices(shape))


#: Columns of the features: vectors in the agent's frame as two summands, mask, logarithm of the
#: energy, speed per scale, headings.
_MASK = slice(4 * _N_VECTORS, 4 * _N_VECTORS + N_OBSERVED)
_LOG_ENERGY = _MASK.stop
_RATIO = _LOG_ENERGY + 1
_FIRST_HEADING = _RATIO + 1
_N_FEATURES = _FIRST_HEADING + 8


class _Reader:
    """A linear layer on the features, filled part by part."""

    def __init__(self, n_outputs: int) -> None:
        self.weight = np.zeros((_N_FEATURES, n_outputs))
        self.bias = np.zeros(n_outputs)

    def read_vector(self, place: int, weight: NDArray, outputs: slice) -> None:
        """Adds a vector in the agent's frame, times (2, n) weights."""
        for start in (2 * place, 2 * _N_VECTORS + 2 * place):
            self.weight[start : start + 2, outputs] += weight

    def read_log_scale(self, weight: NDArray, outputs: slice) -> None:
        """Adds the logarithm of the scale, times (n,) weights."""
        self.weight[_LOG_ENERGY, outputs], self.bias[outputs] = _of_log_scale(
            weight, self.bias[outputs]
        )


def _of_log_scale(weight: NDArray, bias: NDArray) -> tuple[NDArray, NDArray]:
    """Weights and bias on the logarithm of the scale -> the same on that of the energy."""
    return 0.5 * weight, bias - np.log(SCALE_CENTRE_M) * weight.reshape(bias.shape)


def _heading(product: int) -> slice:
    """Where cosine and sine stand, in the features, times a product of `_Writer._headings`."""
    start = _FIRST_HEADING + 2 * product
    return slice(start, start + 2)


def _into_frame() -> NDArray:
    """(8, 36) takes headings to the factors of `_Writer._vectors`."""
    product = np.full(_N_VECTORS, _PER_SCALE)
    product[_POSITION], product[_LAST] = _PLAIN, _PER_UNIT
    factors = np.zeros((4, 2, 2, _N_VECTORS, 2))  # product, cosine or sine, as is or turned
    for half in (0, 1):
        factors[product, half, half, np.arange(_N_VECTORS)] = 1.0
    return factors.reshape(8, -1)


def _position(step: int) -> NDArray:
    """(16, 2) takes flat positions to the one at a step."""
    return np.eye(2 * N_OBSERVED)[:, 2 * step : 2 * step + 2]


def _flat(weight: NDArray) -> NDArray:
    return weight.reshape(len(weight), -1)


def _weights(layer: nn.Linear) -> tuple[NDArray, NDArray]:
    """(inputs, outputs) weights and (outputs,) bias."""
    weight, bias = (
        values.detach().numpy().astype(np.float64) for values in (layer.weight, layer.bias)
    )
    return weight.T, bias
