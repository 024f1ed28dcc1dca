"""Social-Zone as an ONNX graph: the same function with few and large operations.

For the small crowds around a robot the call of an operation costs more than its computation.
torch.onnx.export writes almost four times as many operations, which take 2.3 times as long or more
(`scripts/compare_onnx_export.py`). Therefore linear operations are multiplied out at export:

* vectors are flat, x and y alternating, and stored a second time rotated by 90 degrees: a rotation
  is one product with the cosines and sines of an agent's heading, and the sum that completes it is
  part of the next layer;
* a trajectory is a sum of paths: the centre, one path per noise value, one per code value. One
  product computes all paths;
* moments of the codes, weighted by the probabilities of the modes, give mean and covariance;
* the extrapolation at constant velocity is one more coefficient of the paths, in world axes;
* all quotients, such as means over known steps, are computed by one division.

Training sums over the nearest neighbours, the graph over all agents; those out of range have
weight 0.

The file's metadata contains the weights, from which `train_model` continues.
"""

from __future__ import annotations

import base64

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from social_implicit_ros.training.onnx_graph import GraphBuilder
from social_implicit_ros.training.social_zone import graph_columns as col
from social_implicit_ros.training.social_zone.model import (
    LOG_SCALE_RANGE,
    N_OBSERVED,
    N_PREDICTED,
    RELATIVE_SPEED_FLOOR_M,
    SCALE_CENTRE_M,
    STANDING_M,
    VARIANCE_FLOOR,
    SocialZone,
)

#: Metadata key of the weights: base64 of float32 in the order of the parameters.
WEIGHTS = "weights"
#: Predicted steps.
_TIME = np.arange(1.0, N_PREDICTED + 1.0)
#: Avoids 0 / 0 in the share of noise of a history without third differences, m^2.
_NO_NOISE_M2 = 1e-9
#: Noise values of a draw: the first chooses the mode, the last are the floor of the variance, which
#: offsets all steps equally.
N_CHOICE, N_FLOOR = 1, 2
#: Rotate row vectors by 90 degrees.
_LEFT = np.array([[0.0, 1.0], [-1.0, 0.0]])
_RIGHT = _LEFT.T
#: Larger than every logarithm.
_NO_BOUND = 1e3
#: An agent that stands at the centre has no direction and faces along x, metres.
_NO_DIRECTION_M = 1e-10


def social_zone_graph(model: SocialZone) -> onnx.ModelProto:
    """A trained model as an ONNX graph, for any number of agents and samples."""
    file = _Writer(model).graph()
    weights = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    text = base64.b64encode(weights.astype("<f4").tobytes()).decode("ascii")
    onnx.helper.set_model_props(file, {WEIGHTS: text})
    return file


class _Writer:
    """Builds the graph; strings are names of tensors."""

    def __init__(self, model: SocialZone) -> None:
        self.model, self.sizes = model, model.sizes
        self.build = GraphBuilder()
        # (T, rank + 1) with a constant for the floor of the variance.
        basis = model.basis.numpy().astype(np.float64)
        self.basis: NDArray = np.concatenate([basis, np.ones((N_PREDICTED, 1))], axis=1)
        self.codes: NDArray = model.codes.detach().numpy().astype(np.float64)
        self.flat = self._reshape("observed", [-1, 2 * N_OBSERVED])

    def graph(self) -> onnx.ModelProto:
        """The whole graph."""
        sizes, node = self.sizes, self.build.node
        inputs = self._inputs()
        headings, logarithm = self._motion(inputs)
        log_energy = self._log_energy(logarithm)
        in_frame = node("Mul", inputs, self._product(headings, col.into_frame()))
        features = node("Concat", in_frame, "mask", log_energy, headings, axis=1)
        hidden = self._hidden(features, log_energy)
        rows = self._rows(hidden, headings)
        logits = self._affine(hidden, *col.weights(self.model.shares))
        probabilities = node("Softmax", logits, axis=1)
        code_mean, code_covariance = self._code_moments(probabilities)
        paths = self._products(rows, self._over_time(np.eye(2)))  # (rows, A, 2 T)
        centre, spread, reach = self.build.nodes(
            "Split", 3, paths, self.build.indices(self._row_sizes), axis=0
        )
        by_code = node("Unsqueeze", node("Transpose", code_mean, perm=[1, 0]), self._axes(2))
        offset = self._sum(node("Mul", by_code, reach), 0, keepdims=1)
        mean = self._shrunk(node("Add", centre, offset), headings)
        start, spread, reach_flat = (
            self._reshape(one, [size, -1])
            for one, size in zip(
                (node("Sub", mean, offset), spread, reach), self._row_sizes, strict=True
            )
        )
        modes = node("Gemm", self.build.constant(self.codes), reach_flat, start)
        return self.build.model(
            self._futures(self._draws(probabilities, start, spread, reach)),
            n_observed=N_OBSERVED,
            n_predicted=N_PREDICTED,
            noise_dimension=N_CHOICE + sizes.spread + N_FLOOR,
            mean=self._reshape(mean, [-1, N_PREDICTED, 2]),
            covariance=self._covariance(rows, code_covariance),
            representatives=self._futures(modes),
            probabilities=probabilities,
            n_representatives=sizes.representatives,
        )

    def _shrunk(self, mean: str, headings: str) -> str:
        """(1, A, 2 T) means, moved towards the extrapolation as `SocialZone.trust` says."""
        node, left_out = self.build.node, 1.0 - self.model.trust
        per_step = np.zeros((N_OBSERVED, 1))
        per_step[: col.N_STEPS] = -left_out / col.N_STEPS
        share = self._affine("mask", per_step, np.array([2.0 * left_out]))
        walk = np.zeros((col.N_FEATURES - col.FIRST_HEADING, 2 * N_PREDICTED))
        walk[-2:] = np.kron(_TIME, np.eye(2))
        away = node("Sub", self._product(headings, walk), mean)
        return node("Add", mean, node("Mul", share, away))

    @property
    def _row_sizes(self) -> list[int]:
        """Paths of an agent: the centre, one per noise value, one per code value."""
        return [1, self.sizes.spread + N_FLOOR, self.sizes.reach]

    def _code_moments(self, probabilities: str) -> tuple[str, str]:
        """(A, C) mean and (A, C, C) covariance of the code of each agent's mode."""
        node, length = self.build.node, self.sizes.reach
        products = self.codes[:, :, None] * self.codes[:, None]
        mean = self._product(probabilities, self.codes)
        square = self._reshape(
            self._product(probabilities, col.flat(products)), [-1, length, length]
        )
        column, row = (self._reshape(mean, shape) for shape in ([-1, length, 1], [-1, 1, length]))
        return mean, node("Sub", square, node("MatMul", column, row))

    def _draws(self, probabilities: str, start: str, spread: str, reach: str) -> str:
        """(K, A * 2 T) draws: the first noise value chooses the mode of each agent."""
        node, number, sizes = self.build.node, self.build.constant, self.sizes
        n_noise = sizes.spread + N_FLOOR
        choice, noise = self.build.nodes(
            "Split", 2, "noise", self.build.indices([N_CHOICE, n_noise]), axis=1
        )
        within = node("Gemm", noise, spread, start)
        # The normal value as a uniform one, against the cumulative probabilities.
        error = node("Erf", node("Mul", choice, number(np.sqrt(0.5))))
        uniform = node(
            "Unsqueeze", node("Add", node("Mul", error, number(0.5)), number(0.5)), self._axes(2)
        )
        n_modes = sizes.representatives
        below = self._product(probabilities, np.triu(np.ones((n_modes, n_modes)))[:, :-1])
        beyond = node("Cast", node("Greater", uniform, below), to=onnx.TensorProto.FLOAT)
        code = node(
            "Add", self._products(beyond, np.diff(self.codes, axis=0)), number(self.codes[0])
        )
        about = node(
            "MatMul",
            node("Transpose", code, perm=[1, 0, 2]),
            node("Transpose", reach, perm=[1, 0, 2]),
        )  # (A, K, 2 T)
        return node("Add", within, self._reshape(node("Transpose", about, perm=[1, 0, 2]), [0, -1]))

    def _inputs(self) -> str:
        """(A, 49) linear functions of an agent's positions, zero where unknown; `graph_columns`."""
        take = np.zeros((2 * N_OBSERVED, col.N_INPUTS))
        ones = np.zeros(col.N_INPUTS)
        known = np.zeros((N_OBSERVED, col.N_INPUTS))
        always = np.zeros(col.N_INPUTS)
        vectors = np.zeros((2 * N_OBSERVED, col.N_VECTORS, 2))
        jerks = np.zeros((2 * N_OBSERVED, col.N_JERKS, 2))
        for step in range(col.N_STEPS):
            vectors[:, step] = col.position(step + 1) - col.position(step)
            known[step, col.vector(step)] = known[step, col.vector(step, turned=True)] = 1.0
        vectors[:, col.POSITION] = col.position(N_OBSERVED - 1)
        vectors[:, col.LAST] = vectors[:, col.N_STEPS - 1]
        take[:, : 2 * col.N_VECTORS] = col.flat(vectors)
        take[:, col.TURNED] = col.flat(vectors @ _RIGHT)
        for place in (col.POSITION, col.LAST):
            always[col.vector(place)] = always[col.vector(place, turned=True)] = 1.0
        for step in range(col.N_JERKS):
            for offset, factor in enumerate((-1.0, 3.0, -3.0, 1.0)):
                jerks[:, step] += factor * col.position(step + offset)
            known[step, col.JERKS.start + 2 * step : col.JERKS.start + 2 * step + 2] = 1.0
        take[:, col.JERKS] = col.flat(jerks)
        ones[col.TOTAL :] = 1.0
        known[: col.N_STEPS, col.TOTAL] = self._decay
        # Too short a history has no noise; the last step is always known.
        known[:, col.SMOOTH] = _NO_NOISE_M2
        known[: col.N_JERKS, col.SMOOTH] = self.sizes.smooth_m**2
        always[col.ONE] = 1.0
        # A sum of one position, minus one position, and zeros: exact like a subtraction.
        return self.build.node(
            "Mul", self._affine(self.flat, take, ones), self._affine("mask", known, always)
        )

    @property
    def _decay(self) -> NDArray:
        """(7,) weights of the displacements in the heading."""
        return self.sizes.heading_decay ** np.arange(col.N_STEPS - 1.0, -1.0, -1.0)

    def _motion(self, inputs: str) -> tuple[str, str]:
        """(A, 11) products of the heading, and (A, 1) the logarithm of the energy.

        The energy is the squared scale: the mean square of the steps plus a floor. The columns are
        half the cosine and sine of the heading, multiplied or divided as `col.PER_SCALE` and the
        following say, twice the speed per scale, and the extrapolation in metres per step.
        """
        node, number = self.build.node, self.build.constant
        copies, centre, velocity, last, energy, noise = self._shares(inputs)
        speed = node("ReduceL2", copies, axes=[1], keepdims=1)
        walks = node("Greater", speed, number([[STANDING_M / col.COPY_LENGTH]]))
        heading = node("LpNormalization", node("Where", walks, copies, centre), axis=1, p=2)
        astray = node("Mul", noise, node("Sub", velocity, last))
        walk = node("Add", last, astray)
        # Powers of the energy as exp(power * logarithm); power 0 gives 1.
        powers, most = np.zeros((1, 11)), np.full((1, 11), _NO_BOUND)
        for product, power in ((col.PER_SCALE, -0.5), (col.PER_UNIT, -0.5), (col.TIMES_SCALE, 0.5)):
            powers[:, 2 * product : 2 * product + 2] = power
        powers[:, col.RATIO - col.FIRST_HEADING] = -0.5
        most[:, 2 * col.PER_UNIT : 2 * col.PER_UNIT + 2] = -np.log(RELATIVE_SPEED_FLOOR_M)
        logarithm = node("Log", energy)
        bounded = node("Min", node("Mul", logarithm, number(powers)), number(most))
        factors = node("Mul", node("Concat", heading, speed, walk, axis=1), node("Exp", bounded))
        return factors, logarithm

    def _shares(self, inputs: str) -> list[str]:
        """Quotients of sums over the steps, computed by one division.

        (A, 8) smoothed displacement per step and (A, 8) direction to the centre, four copies each;
        (A, 2) the former once; (A, 2) last displacement; (A, 1) mean square of the displacements
        plus a floor, m^2; (A, 1) share of noise in the history.
        """
        sizes = [2 * col.N_COPIES, 2 * col.N_COPIES, 2, 2, 1, 1]
        copies, centre, velocity, last, energy, noise = col.slices(sizes)
        above, below = np.zeros((2, col.N_INPUTS, sum(sizes)))
        squares_above, squares_below = np.zeros((2, col.N_INPUTS, sum(sizes)))
        tiled = np.tile(np.eye(2), col.N_COPIES)
        above[: 2 * col.N_STEPS, copies] = np.kron(self._decay[:, None], tiled)
        above[: 2 * col.N_STEPS, velocity] = np.kron(self._decay[:, None], np.eye(2))
        for place in (copies, velocity, energy):
            below[col.TOTAL, place] = 1.0
        above[col.vector(col.POSITION), centre] = -tiled
        above[col.ONE, centre] = np.tile([_NO_DIRECTION_M, 0.0], col.N_COPIES)
        above[col.vector(col.LAST), last] = np.eye(2)
        below[col.ONE, centre] = below[col.ONE, last] = 1.0
        squares_above[: 2 * col.N_STEPS, energy] = np.repeat(self._decay, 2)[:, None]
        above[col.TOTAL, energy] = self.sizes.scale_floor_m**2
        squares_above[col.JERKS, noise] = squares_below[col.JERKS, noise] = 1.0
        below[col.SMOOTH, noise] = 1.0
        node, number = self.build.node, self.build.constant
        squares = self._product(
            node("Mul", inputs, inputs), np.concatenate([squares_above, squares_below], axis=1)
        )
        sums = node("Gemm", inputs, number(np.concatenate([above, below], axis=1)), squares)
        halves = self.build.nodes("Split", 2, sums, self.build.indices([sum(sizes)] * 2), axis=1)
        shares = node("Div", *halves)
        return self.build.nodes("Split", len(sizes), shares, self.build.indices(sizes), axis=1)

    def _log_energy(self, logarithm: str) -> str:
        """(A, 1) logarithm of the energy, within the range of the logarithm of the scale."""
        bounds = (2.0 * (bound + np.log(SCALE_CENTRE_M)) for bound in LOG_SCALE_RANGE)
        return self.build.node("Clip", logarithm, *map(self.build.constant, bounds))

    def _hidden(self, features: str, log_energy: str) -> str:
        """(A, encoded) hidden state."""
        sizes, node = self.sizes, self.build.node
        weight, bias = col.weights(self.model.first)
        weight, social = np.split(weight, [len(weight) - sizes.social])
        relative, known, log_scale, ratio = np.split(weight, np.cumsum([2 * col.N_STEPS, 1, 1]))
        first = col.FeatureLayer(sizes.hidden)
        first.bias += bias
        hidden = slice(0, sizes.hidden)
        for step in range(col.N_STEPS):
            first.read_vector(step, relative[2 * step : 2 * step + 2], hidden)
        first.weight[col.MASK][: col.N_STEPS, hidden] = known / col.N_STEPS
        first.read_log_scale(log_scale[0], hidden)
        first.weight[col.RATIO, hidden] = col.COPY_LENGTH * ratio[0]
        if sizes.social:
            others, own = self._social(features, log_energy)
            features = node("Concat", features, others, own, axis=1)
            first.weight = np.concatenate([first.weight, social, -social])
        hidden_1 = node("Relu", self._affine(features, first.weight, first.bias))
        return node("Relu", self._affine(hidden_1, *col.weights(self.model.second)))

    def _social(self, features: str, log_energy: str) -> tuple[str, str]:
        """(A, F) sum over all agents of weight * relu(linear(relative state)), and its own term.

        The argument of the relu is linear in the neighbour's state and a constant one, with five
        factors that depend on the agent only.
        """
        node, n_features = self.build.node, self.sizes.social
        weight, bias = col.weights(self.model.social)
        position, velocity, log_scale = weight[0:2], weight[2:4], weight[4]
        factors = col.FeatureLayer(n_features * 5)
        for axis in (0, 1):
            ahead = slice(axis, None, 5)
            factors.read_heading(col.PLAIN, [position[axis], (_RIGHT @ position)[axis]], ahead)
            ahead = slice(2 + axis, None, 5)
            factors.read_heading(col.PER_UNIT, [velocity[axis], (_RIGHT @ velocity)[axis]], ahead)
        constant = slice(4, None, 5)
        factors.read_vector(col.POSITION, -position, constant)
        factors.read_vector(col.LAST, -velocity, constant)
        factors.bias[constant] = bias
        factors.read_log_scale(log_scale, constant)
        own = self._affine(features, factors.weight, factors.bias)
        own = self._reshape(own, [-1, n_features, 5])

        last = col.position(N_OBSERVED - 1)
        step = last - col.position(N_OBSERVED - 2)
        state = np.concatenate([last, step, np.zeros((2 * N_OBSERVED, 1))], axis=1)
        states = self._transposed_affine(state, np.array([[0.0], [0], [0], [0], [1]]))  # (5, A)
        pairs = node("Relu", node("MatMul", own, states))  # (A, F, A)
        others = self._sum(node("Mul", pairs, self._pair_weight()), 2)
        # Every agent is its own neighbour at distance 0, with weight 1.
        itself = self._affine(log_energy, *col.of_log_scale(log_scale[None], bias))
        return others, node("Relu", itself)

    def _pair_weight(self) -> str:
        """(A, 1, A) weights of pairs by their distance."""
        node = self.build.node
        place = col.position(N_OBSERVED - 1) / self.sizes.social_range_m
        own = node("Unsqueeze", self._product(self.flat, place), self.build.indices([2]))
        between = node("Sub", own, self._transposed_affine(place, np.zeros((2, 1))))  # (A, 2, A)
        distance_2 = self._sum(node("Mul", between, between), 1, keepdims=1)
        # relu(1 - squared distance)
        near = node("HardSigmoid", distance_2, alpha=-1.0, beta=1.0)
        return node("Mul", near, near)

    def _rows(self, hidden: str, headings: str) -> str:
        """(rows, A, 4 rank + 2) coefficients in metres, world axes; rank includes the constant.

        The two halves of 2 rank add up to the coefficients of the basis; the last two are the
        displacement per step of the extrapolation.
        """
        sizes, node, rank = self.sizes, self.build.node, self.sizes.rank + 1
        n_rows, first_floor = sum(self._row_sizes), 1 + sizes.spread
        first_reach = first_floor + N_FLOOR
        weight = np.zeros((sizes.encoded, n_rows, 2 * rank))
        bias = np.zeros((n_rows, 2 * rank))
        for head, rows in (
            (self.model.mean, slice(0, 1)),
            (self.model.spread, slice(1, first_floor)),
            (self.model.reach, slice(first_reach, None)),
        ):
            head_weight, head_bias = col.weights(head)
            learnt = slice(0, 2 * sizes.rank)
            weight[:, rows, learnt] = head_weight.reshape(sizes.encoded, -1, learnt.stop)
            bias[rows, learnt] = head_bias.reshape(-1, learnt.stop)
        bias[first_floor:first_reach, 2 * sizes.rank :] = np.sqrt(VARIANCE_FLOOR) * np.eye(N_FLOOR)
        turn = np.kron(np.eye(rank), _LEFT)
        walks = np.zeros((n_rows, 2))
        walks[0] = 1.0
        bias = np.concatenate([bias, bias @ turn, walks], axis=-1)
        weight = np.concatenate([weight, weight @ turn, np.zeros((*weight.shape[:2], 2))], axis=-1)
        unit = np.zeros((col.N_FEATURES - col.FIRST_HEADING, n_rows, 4 * rank + 2))
        for half in (0, 1):  # cosine, sine
            columns = slice(2 * rank * half, 2 * rank * (half + 1))
            unit[2 * col.TIMES_SCALE + half, :, columns] = 1.0 / col.COPY_LENGTH
        unit[-2:, :, 4 * rank :] = np.eye(2)[:, None]
        flat = node(
            "Mul",
            self._affine(hidden, col.flat(weight), bias.ravel()),
            self._product(headings, col.flat(unit)),
        )
        by_row = self._reshape(flat, [-1, n_rows, 4 * rank + 2])
        return node("Transpose", by_row, perm=[1, 0, 2])

    def _over_time(self, axes: NDArray) -> NDArray:
        """(4 rank + 2, T n) from rows to positions, each times the (2, n) axes."""
        return np.kron(np.concatenate([self.basis.T, self.basis.T, _TIME[None]]), axes)

    def _covariance(self, rows: str, code_covariance: str) -> str:
        """(A, T, 2, 2) covariance of the noise and of the codes."""
        node = self.build.node
        about = node("Slice", rows, *map(self._axes, (1, sum(self._row_sizes), 0)))
        # The variances along x, y and x + y determine the covariance.
        paths = self._products(about, self._over_time(np.array([[1.0, 0, 1], [0, 1, 1]])))
        spread, reach = self.build.nodes(
            "Split", 2, paths, self.build.indices(self._row_sizes[1:]), axis=0
        )
        by_agent = node("Transpose", reach, perm=[1, 0, 2])  # (A, C, 3 T)
        weighted = node("Mul", node("MatMul", code_covariance, by_agent), by_agent)
        variances = node(
            "Add", self._sum(node("Mul", spread, spread), 0), self._sum(weighted, 1)
        )  # (A, 3 T)
        entries = np.array([[1.0, -0.5, -0.5, 0], [0, -0.5, -0.5, 1], [0, 0.5, 0.5, 0]])
        flat = self._product(variances, np.kron(np.eye(N_PREDICTED), entries))
        return self._reshape(flat, [-1, N_PREDICTED, 2, 2])

    def _axes(self, *values: int) -> str:
        return self.build.indices(list(values))

    def _futures(self, flat: str) -> str:
        """(K, A * 2 T) -> (K, A, T, 2)."""
        return self._reshape(flat, [0, -1, N_PREDICTED, 2])

    def _product(self, values: str, matrix: NDArray) -> str:
        """Product of two matrices; Gemm has less overhead than MatMul."""
        return self.build.node("Gemm", values, self.build.constant(matrix))

    def _products(self, values: str, matrix: NDArray) -> str:
        """Product of every matrix in a stack."""
        return self.build.node("MatMul", values, self.build.constant(matrix))

    def _affine(self, values: str, weight: NDArray, bias: NDArray) -> str:
        number = self.build.constant
        return self.build.node("Gemm", values, number(weight), number(bias))

    def _transposed_affine(self, weight: NDArray, bias: NDArray) -> str:
        """(n, A) from the (A, 16) positions, (16, n) weights and an (n, 1) bias."""
        number = self.build.constant
        return self.build.node("Gemm", number(weight.T), self.flat, number(bias), transB=1)

    def _sum(self, tensor: str, axis: int, keepdims: int = 0) -> str:
        return self.build.node("ReduceSum", tensor, self.build.indices([axis]), keepdims=keepdims)

    def _reshape(self, tensor: str, shape: list[int]) -> str:
        return self.build.node("Reshape", tensor, self.build.indices(shape))
