"""Social-Zone as it is exported: the same function with few large operations.

For the small crowds around a robot, calling an operation costs more than its computation.
Therefore linear operations are multiplied out before `torch.onnx.export`:

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

The file's metadata contains the weights, so that `train_model` can continue the training.
"""

from __future__ import annotations

import base64
import copy
import math

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from social_implicit_ros.training.export import constant, exported
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
#: See `models.onnx_model`.
OUTPUTS = ("samples", "mean", "covariance", "representatives", "probabilities")
#: Predicted steps.
_TIME = np.arange(1.0, N_PREDICTED + 1.0)
#: Avoids 0 / 0 in the share of noise of a history without third differences, m^2.
_NO_NOISE_M2 = 1e-9
#: Numbers of noise values in a draw: the first value chooses the mode; the last ones make the floor
#: of the variance and offset all steps equally.
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
    n_noise = N_CHOICE + model.sizes.spread + N_FLOOR
    file = exported(SocialZoneGraph(model), OUTPUTS, noise_dimension=n_noise)
    weights = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    text = base64.b64encode(weights.astype("<f4").tobytes()).decode("ascii")
    onnx.helper.set_model_props(file, {WEIGHTS: text})
    return file


class SocialZoneGraph:
    """A trained model as a function of the tensors of a model file, see `models.onnx_model`."""

    def __init__(self, model: SocialZone) -> None:
        self.model, self.sizes = copy.deepcopy(model).requires_grad_(False), model.sizes
        # (T, rank + 1) with a constant for the floor of the variance.
        basis = model.basis.numpy().astype(np.float64)
        self.basis: NDArray = np.concatenate([basis, np.ones((N_PREDICTED, 1))], axis=1)
        self.codes: NDArray = self.model.codes.numpy().astype(np.float64)
        #: (7,) weights of the displacements in the heading.
        self.decay: NDArray = self.sizes.heading_decay ** np.arange(col.N_STEPS - 1.0, -1.0, -1.0)
        #: Paths of an agent: the centre, one per noise value, one per code value.
        self.row_sizes = [1, self.sizes.spread + N_FLOOR, self.sizes.reach]

    def __call__(self, observed: Tensor, mask: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """The `OUTPUTS`."""
        positions = observed.reshape(-1, 2 * N_OBSERVED)
        inputs = self._inputs(positions, mask)
        headings, logarithm = self._motion(inputs)
        # Within the range of the logarithm of the scale.
        bounds = [2.0 * (bound + math.log(SCALE_CENTRE_M)) for bound in LOG_SCALE_RANGE]
        log_energy = logarithm.clamp(*bounds)
        in_frame = inputs * _product(headings, col.into_frame())
        features = torch.cat([in_frame, mask, log_energy, headings], dim=1)
        hidden = self._hidden(features, log_energy, positions)
        rows = self._rows(hidden, headings)
        probabilities = torch.softmax(_affine(hidden, *col.weights(self.model.shares)), dim=1)
        code_mean, code_covariance = self._code_moments(probabilities)
        paths = rows @ constant(self._over_time(np.eye(2)))  # (rows, A, 2 T)
        centre, spread, reach = paths.split(self.row_sizes)
        offset = (code_mean.T[..., None] * reach).sum(dim=0)
        mean = self._shrunk(centre.squeeze(0) + offset, mask, headings)  # (A, 2 T)
        start = (mean - offset).reshape(1, -1)
        modes = torch.addmm(start, constant(self.codes), reach.flatten(1))  # (R, A * 2 T)
        return (
            self._draws(noise, probabilities, start, spread, reach),
            mean.reshape(-1, N_PREDICTED, 2),
            self._covariance(rows, code_covariance),
            modes.reshape(self.sizes.representatives, -1, N_PREDICTED, 2),
            probabilities,
        )

    def _shrunk(self, mean: Tensor, mask: Tensor, headings: Tensor) -> Tensor:
        """(A, 2 T) means, shrunk towards the extrapolation by `SocialZone.trust`."""
        left_out = 1.0 - self.model.trust
        per_step = np.zeros((N_OBSERVED, 1))
        per_step[: col.N_STEPS] = -left_out / col.N_STEPS
        share = _affine(mask, per_step, np.array([2.0 * left_out]))
        walk = np.zeros((col.N_FEATURES - col.FIRST_HEADING, 2 * N_PREDICTED))
        walk[-2:] = np.kron(_TIME, np.eye(2))
        return mean + share * (_product(headings, walk) - mean)

    def _code_moments(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """(A, C) mean and (A, C, C) covariance of the code of each agent's mode."""
        length = self.sizes.reach
        products = col.flat(self.codes[:, :, None] * self.codes[:, None])
        mean = _product(probabilities, self.codes)
        square = _product(probabilities, products).reshape(-1, length, length)
        return mean, square - mean[:, :, None] * mean[:, None]

    def _draws(
        self, noise: Tensor, probabilities: Tensor, start: Tensor, spread: Tensor, reach: Tensor
    ) -> Tensor:
        """(K, A, T, 2) draws: the first noise value chooses the mode of each agent."""
        choice, values = noise.split([N_CHOICE, self.sizes.spread + N_FLOOR], dim=1)
        # The normal value becomes a uniform one, which is compared with cumulative probabilities.
        uniform = 0.5 + 0.5 * torch.erf(choice * math.sqrt(0.5))
        n_modes = self.sizes.representatives
        below = _product(probabilities, np.triu(np.ones((n_modes, n_modes)))[:, :-1])
        beyond = (uniform > below[:, None]).float()  # (A, K, modes - 1)
        code = beyond @ constant(np.diff(self.codes, axis=0)) + constant(self.codes[0])
        about = (code @ reach.transpose(0, 1)).transpose(0, 1)  # (K, A, 2 T)
        draws = torch.addmm(start, values, spread.flatten(1)) + about.flatten(1)
        return draws.reshape(noise.shape[0], -1, N_PREDICTED, 2)

    def _inputs(self, positions: Tensor, mask: Tensor) -> Tensor:
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
        known[: col.N_STEPS, col.TOTAL] = self.decay
        # The share of noise of a short history is 0; the last step is always known.
        known[:, col.SMOOTH] = _NO_NOISE_M2
        known[: col.N_JERKS, col.SMOOTH] = self.sizes.smooth_m**2
        always[col.ONE] = 1.0
        # A sum of one position, minus one position, and zeros: exact like a subtraction.
        return _affine(positions, take, ones) * _affine(mask, known, always)

    def _motion(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(A, 11) products of the heading, and (A, 1) the logarithm of the energy.

        The energy is the squared scale: the mean square of the steps plus a floor. The columns are
        half the cosine and sine of the heading, multiplied or divided as `col.PER_SCALE` and the
        following say, twice the speed per scale, and the extrapolation in metres per step.
        """
        copies, centre, velocity, last, energy, noise = self._shares(inputs)
        speed = copies.norm(dim=1, keepdim=True)
        towards = torch.where(speed > STANDING_M / col.COPY_LENGTH, copies, centre)
        heading = towards / towards.norm(dim=1, keepdim=True)
        walk = last + noise * (velocity - last)
        # Powers of the energy as exp(power * logarithm); power 0 gives 1.
        powers, most = np.zeros((1, 11)), np.full((1, 11), _NO_BOUND)
        for product, power in ((col.PER_SCALE, -0.5), (col.PER_UNIT, -0.5), (col.TIMES_SCALE, 0.5)):
            powers[:, 2 * product : 2 * product + 2] = power
        powers[:, col.RATIO - col.FIRST_HEADING] = -0.5
        most[:, 2 * col.PER_UNIT : 2 * col.PER_UNIT + 2] = -np.log(RELATIVE_SPEED_FLOOR_M)
        logarithm = energy.log()
        bounded = torch.minimum(logarithm * constant(powers), constant(most))
        return torch.cat([heading, speed, walk], dim=1) * bounded.exp(), logarithm

    def _shares(self, inputs: Tensor) -> tuple[Tensor, ...]:
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
        above[: 2 * col.N_STEPS, copies] = np.kron(self.decay[:, None], tiled)
        above[: 2 * col.N_STEPS, velocity] = np.kron(self.decay[:, None], np.eye(2))
        for place in (copies, velocity, energy):
            below[col.TOTAL, place] = 1.0
        above[col.vector(col.POSITION), centre] = -tiled
        above[col.ONE, centre] = np.tile([_NO_DIRECTION_M, 0.0], col.N_COPIES)
        above[col.vector(col.LAST), last] = np.eye(2)
        below[col.ONE, centre] = below[col.ONE, last] = 1.0
        squares_above[: 2 * col.N_STEPS, energy] = np.repeat(self.decay, 2)[:, None]
        above[col.TOTAL, energy] = self.sizes.scale_floor_m**2
        squares_above[col.JERKS, noise] = squares_below[col.JERKS, noise] = 1.0
        below[col.SMOOTH, noise] = 1.0
        of_squares = np.concatenate([squares_above, squares_below], axis=1)
        of_inputs = constant(np.concatenate([above, below], axis=1))
        sums = torch.addmm(_product(inputs * inputs, of_squares), inputs, of_inputs)
        numerators, denominators = sums.chunk(2, dim=1)
        return (numerators / denominators).split(sizes, dim=1)

    def _hidden(self, features: Tensor, log_energy: Tensor, positions: Tensor) -> Tensor:
        """(A, encoded) hidden state."""
        sizes = self.sizes
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
            others, own = self._social(features, log_energy, positions)
            features = torch.cat([features, others, own], dim=1)
            first.weight = np.concatenate([first.weight, social, -social])
        hidden_1 = torch.relu(_affine(features, first.weight, first.bias))
        return torch.relu(_affine(hidden_1, *col.weights(self.model.second)))

    def _social(
        self, features: Tensor, log_energy: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(A, F) sum over all agents of weight * relu(linear(relative state)), and its own term.

        The argument of the relu is linear in the neighbour's state and a constant one, with five
        factors that depend on the agent only.
        """
        n_features = self.sizes.social
        weight, bias = col.weights(self.model.social)
        position, velocity, log_scale = weight[0:2], weight[2:4], weight[4]
        factors = col.FeatureLayer(n_features * 5)
        for axis in (0, 1):
            ahead = slice(axis, None, 5)
            factors.read_heading(col.PLAIN, [position[axis], (_RIGHT @ position)[axis]], ahead)
            ahead = slice(2 + axis, None, 5)
            factors.read_heading(col.PER_UNIT, [velocity[axis], (_RIGHT @ velocity)[axis]], ahead)
        of_one = slice(4, None, 5)
        factors.read_vector(col.POSITION, -position, of_one)
        factors.read_vector(col.LAST, -velocity, of_one)
        factors.bias[of_one] = bias
        factors.read_log_scale(log_scale, of_one)
        own = _affine(features, factors.weight, factors.bias).reshape(-1, n_features, 5)

        last = col.position(N_OBSERVED - 1)
        step = last - col.position(N_OBSERVED - 2)
        state = np.concatenate([last, step, np.zeros((2 * N_OBSERVED, 1))], axis=1)
        states = _affine(positions, state, np.eye(5)[4]).T  # (5, A)
        pairs = torch.relu(own @ states)  # (A, F, A)
        others = (pairs * self._pair_weight(positions)).sum(dim=2)
        # The sum includes every agent as its own neighbour at distance 0, with weight 1.
        itself = _affine(log_energy, *col.of_log_scale(log_scale[None], bias))
        return others, torch.relu(itself)

    def _pair_weight(self, positions: Tensor) -> Tensor:
        """(A, 1, A) weights of pairs by their distance."""
        last = col.position(N_OBSERVED - 1) / self.sizes.social_range_m
        place = _product(positions, last)
        between = place[:, :, None] - place.T  # (A, 2, A)
        near = torch.relu(1.0 - (between * between).sum(dim=1, keepdim=True))
        return near * near

    def _rows(self, hidden: Tensor, headings: Tensor) -> Tensor:
        """(rows, A, 4 rank + 2) coefficients in metres, world axes; rank includes the constant.

        The two halves of 2 rank add up to the coefficients of the basis; the last two are the
        displacement per step of the extrapolation.
        """
        sizes, rank = self.sizes, self.sizes.rank + 1
        n_rows, first_floor = sum(self.row_sizes), 1 + sizes.spread
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
        flat = _affine(hidden, col.flat(weight), bias.ravel()) * _product(headings, col.flat(unit))
        return flat.reshape(-1, n_rows, 4 * rank + 2).transpose(0, 1)

    def _over_time(self, axes: NDArray) -> NDArray:
        """(4 rank + 2, T n) from rows to positions, each times the (2, n) axes."""
        return np.kron(np.concatenate([self.basis.T, self.basis.T, _TIME[None]]), axes)

    def _covariance(self, rows: Tensor, code_covariance: Tensor) -> Tensor:
        """(A, T, 2, 2) covariance of the noise and of the codes."""
        # The variances along x, y and x + y determine the covariance.
        over_time = self._over_time(np.array([[1.0, 0, 1], [0, 1, 1]]))
        spread, reach = (rows[1:] @ constant(over_time)).split(self.row_sizes[1:])
        by_agent = reach.transpose(0, 1)  # (A, C, 3 T)
        of_codes = ((code_covariance @ by_agent) * by_agent).sum(dim=1)
        variances = (spread * spread).sum(dim=0) + of_codes
        entries = np.array([[1.0, -0.5, -0.5, 0], [0, -0.5, -0.5, 1], [0, 0.5, 0.5, 0]])
        flat = _product(variances, np.kron(np.eye(N_PREDICTED), entries))
        return flat.reshape(-1, N_PREDICTED, 2, 2)


def _product(values: Tensor, matrix: NDArray) -> Tensor:
    """Product of two matrices, which is exported as Gemm: it has less overhead than MatMul."""
    return torch.mm(values, constant(matrix))


def _affine(values: Tensor, weight: NDArray, bias: NDArray) -> Tensor:
    return torch.addmm(constant(bias), values, constant(weight))
