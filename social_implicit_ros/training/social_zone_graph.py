"""Social-Zone as an ONNX graph: the same function, in few and small operations.

Everything that a future is a sum of is a path: the mean, one path per noise value, one per code
value. They are computed once per agent; samples and representative futures are then each a single
matrix product. Tensors are kept flat, `(A, 2 n)` with x and y in turn, because products of many
small matrices cost more than their arithmetic.

Training sums the nearest neighbours, the graph everybody in the scene: the others weigh zero.
"""

from __future__ import annotations

import numpy as np
import onnx
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

#: Independent directions of the noise that samples get beside the network's own.
N_FLOOR = 2
_N_STEPS = N_OBSERVED - 1
#: Turns a row vector to its left by a right angle.
_LEFT = np.array([[0.0, 1.0], [-1.0, 0.0]])


def social_zone_graph(model: SocialZone, *, sample_floor_m: float) -> onnx.ModelProto:
    """The model as an ONNX graph, for any number of agents and samples.

    Args:
        model: a trained model.
        sample_floor_m: standard deviation that is added to the samples' at the last step, growing
            in proportion to time from zero: nobody's future is certain.
    """
    return _Writer(model, sample_floor_m).graph()


class _Writer:
    """Writes the nodes; strings are names of tensors."""

    def __init__(self, model: SocialZone, sample_floor_m: float) -> None:
        self.model, self.sizes = model, model.sizes
        self.sample_floor_m = sample_floor_m
        self.build = GraphBuilder()
        # (2 rank, 2 T): flat coefficients -> flat positions
        self.over_time = np.kron(model.basis.numpy().T, np.eye(2))

    def graph(self) -> onnx.ModelProto:
        """The whole graph."""
        sizes, node, number = self.sizes, self.build.node, self.build.constant
        displacement, known = self._displacement()
        age = np.arange(_N_STEPS - 1, -1, -1)
        decay = sizes.heading_decay ** age[:, None]  # (7, 1)
        total = node("MatMul", known, number(decay))
        velocity = node("MatMul", displacement, number(np.kron(decay, np.eye(2))))
        velocity = node("Div", velocity, total)  # (A, 2)
        energy = node("Mul", displacement, displacement)
        energy = node("MatMul", energy, number(np.kron(decay, np.ones((2, 1)))))
        energy = node("Add", node("Div", energy, total), number([[sizes.scale_floor_m**2]]))
        scale = node("Sqrt", energy)  # (A, 1)
        heading = self._heading(velocity)
        cos, sin = self._columns(heading, 0, 1), self._columns(heading, 1, 2)

        into_sin = node("Neg", sin)
        relative = node("Div", self._turned(displacement, cos, into_sin, _N_STEPS), scale)
        hidden = self._hidden(velocity, relative, known, scale, heading)
        straight = self._straight(relative)
        correction, spread, reach = (
            self._linear(head, hidden)
            for head in (self.model.mean, self.model.spread, self.model.reach)
        )
        trusted = node("Mul", correction, number([[self.model.trust]]))
        mean, learnt = (node("Add", straight, part) for part in (trusted, correction))
        rows = node("Mul", node("Concat", mean, spread, learnt, reach, axis=1), scale)
        n_rows = 2 + sizes.spread + sizes.reach
        rows = self._turned(rows, cos, sin, n_rows * sizes.rank)  # metres, world axes
        rows = self._reshape(rows, [0, n_rows, 2 * sizes.rank])
        rows = node("Transpose", rows, perm=[1, 0, 2])
        paths = node("MatMul", rows, number(self.over_time))  # (rows, A, 2 T)
        return self.build.model(
            self._samples(paths, heading),
            n_observed=N_OBSERVED,
            n_predicted=N_PREDICTED,
            noise_dimension=sizes.spread + N_FLOOR,
            mean=self._reshape(self._slice(paths, 0, 1, axis=0), [-1, N_PREDICTED, 2]),
            covariance=self._covariance(self._slice(paths, 1, 1 + sizes.spread, axis=0), energy),
            representatives=self._representatives(paths),
            n_representatives=sizes.representatives,
        )

    def _displacement(self) -> tuple[str, str]:
        """(A, 14) displacements, zero where unknown, and (A, 7) 1 where known."""
        node = self.build.node
        known = self._columns("mask", 0, _N_STEPS)
        flat = self._reshape("observed", [-1, 2 * N_OBSERVED])
        later = self._columns(flat, 2, 2 * N_OBSERVED)
        earlier = self._columns(flat, 0, 2 * _N_STEPS)
        both_axes = self.build.constant(np.kron(np.eye(_N_STEPS), np.ones((1, 2))))
        difference = node("Sub", later, earlier)
        return node("Mul", difference, node("MatMul", known, both_axes)), known

    def _heading(self, velocity: str) -> str:
        """(A, 2) unit vectors."""
        node, number = self.build.node, self.build.constant
        walks = node("Greater", self._norm(velocity), number(STANDING_M))
        towards = node("Where", walks, velocity, node("Neg", self._position(N_OBSERVED - 1)))
        distance = self._norm(towards)
        unit = node("Div", towards, node("Max", distance, number(1e-4)))
        somewhere = node("Greater", distance, number(1e-4))
        return node("Where", somewhere, unit, number([[1.0, 0.0]]))

    def _turned(self, flat: str, cos: str, sin: str, n_vectors: int) -> str:
        """(A, 2 n) vectors, turned to the left by an angle per agent."""
        node = self.build.node
        left = node("MatMul", self._reshape(flat, [-1, 2]), self.build.constant(_LEFT))
        left = self._reshape(left, [-1, 2 * n_vectors])
        return node("Add", node("Mul", flat, cos), node("Mul", left, sin))

    def _hidden(self, velocity: str, relative: str, known: str, scale: str, heading: str) -> str:
        """(A, encoded) what the heads read."""
        node, number = self.build.node, self.build.constant
        log_scale = node("Log", node("Div", scale, number(SCALE_CENTRE_M)))
        log_scale = node("Clip", log_scale, *(number(bound) for bound in LOG_SCALE_RANGE))
        features = [
            relative,
            node("ReduceMean", known, axes=[1], keepdims=1),
            log_scale,
            node("Div", self._norm(velocity), scale),
        ]
        if self.sizes.social:
            features.append(self._social(scale, log_scale, heading))
        hidden = node("Concat", *features, axis=1)
        for layer in (self.model.first, self.model.second):
            hidden = node("Relu", self._linear(layer, hidden))
        return hidden

    def _social(self, scale: str, log_scale: str, heading: str) -> str:
        """(A, F) sum over all others of relu(linear(relative state)) times a weight.

        The layer's columns are turned into world axes once per agent, which is linear in the
        heading's two components; a pair then costs one product with the other's state.
        """
        node, number = self.build.node, self.build.constant
        n_features = self.sizes.social
        weights = self.model.social.weight.detach().numpy()  # (F, 5): position, velocity, scale
        bias = self.model.social.bias.detach().numpy()
        unit = node("Max", scale, number(RELATIVE_SPEED_FLOOR_M))
        headings = node("Concat", heading, node("Div", heading, unit), axis=1)  # (A, 4)
        turned = np.zeros((4, n_features, 4))
        for axis, part in enumerate((weights[:, 0:2], weights[:, 2:4])):
            columns = slice(2 * axis, 2 * axis + 2)
            turned[2 * axis, :, columns] = part  # times cos
            turned[2 * axis + 1, :, columns] = part @ _LEFT  # times sin
        matrix = node("MatMul", headings, number(turned.reshape(4, -1)))  # (A, 4 F)
        matrix = self._reshape(matrix, [-1, 4])  # (A F, 4)
        position = self._position(N_OBSERVED - 1)
        velocity = node("Sub", position, self._position(N_OBSERVED - 2))
        state = node("Concat", position, velocity, axis=1)  # (A, 4)
        constant = node("MatMul", log_scale, number(weights[:, 4:].T))
        constant = node("Add", constant, number(bias))  # (A, F)
        by_feature = self._reshape(matrix, [-1, n_features, 4])
        own = node("Mul", by_feature, node("Unsqueeze", state, self.build.indices([1])))
        shift = node("Sub", constant, self._sum(own, 2))
        shift = self._reshape(shift, [-1, 1])
        pairs = node("MatMul", matrix, node("Transpose", state, perm=[1, 0]))  # (A F, A)
        pairs = node("Relu", node("Add", pairs, shift))
        weight = node("Unsqueeze", self._pair_weight(position), self.build.indices([2]))
        n_others = node("Shape", "mask", start=0, end=1)
        shape = node("Concat", self.build.indices([-1, n_features]), n_others, axis=0)
        others = node("MatMul", node("Reshape", pairs, shape), weight)  # (A, F, 1)
        # Everybody is at distance 0 from himself, with weight 1.
        return node("Sub", self._reshape(others, [-1, n_features]), node("Relu", constant))

    def _pair_weight(self, position: str) -> str:
        """(A, A) weights of the distances between agents."""
        node, number = self.build.node, self.build.constant
        squares = []
        for axis in (0, 1):
            column = self._columns(position, axis, axis + 1)
            difference = node("Sub", column, node("Transpose", column, perm=[1, 0]))
            squares.append(node("Mul", difference, difference))
        distance_2 = node("Add", *squares)
        near = node("Mul", distance_2, number([[-1.0 / self.sizes.social_range_m**2]]))
        near = node("Relu", node("Add", near, number([[1.0]])))
        return node("Mul", near, near)

    def _straight(self, relative: str) -> str:
        """(A, 2 rank) coefficients of walking on as in the last step."""
        steps = np.arange(1, N_PREDICTED + 1) / N_PREDICTED
        on_basis = np.kron(steps @ self.model.basis.numpy(), np.eye(2))  # (2, 2 rank)
        last = self._columns(relative, 2 * (_N_STEPS - 1), 2 * _N_STEPS)
        return self.build.node("MatMul", last, self.build.constant(on_basis))

    def _samples(self, paths: str, heading: str) -> str:
        """(K, A, T, 2): the mean, plus noise times the spread's paths and the floor's."""
        node, number = self.build.node, self.build.constant
        sizes = self.sizes
        honest = self._flat(self._slice(paths, 0, 1 + sizes.spread, axis=0))
        # The floor is isotropic; it still turns with the agent, so that each sample does.
        time = self.sample_floor_m * np.arange(1, N_PREDICTED + 1) / N_PREDICTED
        ahead = node("MatMul", heading, number(np.kron(time, np.eye(2))))
        left = node("MatMul", heading, number(np.kron(time, _LEFT)))
        paths = node(
            "Concat", honest, self._reshape(ahead, [1, -1]), self._reshape(left, [1, -1]), axis=0
        )
        one = node("Add", node("Mul", self._columns("noise", 0, 1), number(0.0)), number(1.0))
        factors = node("Concat", one, "noise", axis=1)
        return self._futures(node("MatMul", factors, paths))

    def _representatives(self, paths: str) -> str:
        """(R, A, T, 2): the learnt mean, plus the codes times the reach's paths."""
        codes = self.model.codes.detach().numpy()
        first = 1 + self.sizes.spread
        factors = np.zeros((len(codes), first + 1 + self.sizes.reach))
        factors[:, first] = 1.0
        factors[:, first + 1 :] = codes
        return self._futures(
            self.build.node("MatMul", self.build.constant(factors), self._flat(paths))
        )

    def _covariance(self, spread: str, energy: str) -> str:
        """(A, T, 2, 2) from the paths of the spread, (S, A, 2 T)."""
        node, number = self.build.node, self.build.constant
        n_columns = 2 * N_PREDICTED
        squared = self._sum(node("Mul", spread, spread), 0)  # (A, 2 T)
        floor = node("Mul", energy, number([[VARIANCE_FLOOR]]))
        squared = node("Add", squared, floor)
        x = self._slice(spread, 0, n_columns, axis=2, step=2)
        y = self._slice(spread, 1, n_columns, axis=2, step=2)
        mixed = self._sum(node("Mul", x, y), 0)  # (A, T)
        # (A, 2 T) and (A, T) -> (A, 4 T), for each step xx, xy, xy, yy
        place = np.zeros((3, N_PREDICTED, N_PREDICTED, 4))
        for step in range(N_PREDICTED):
            place[0, step, step, 0] = place[1, step, step, 3] = 1.0
            place[2, step, step, 1:3] = 1.0
        on_axes = np.stack([place[0], place[1]], axis=1).reshape(n_columns, -1)
        flat = node(
            "Add",
            node("MatMul", squared, number(on_axes)),
            node("MatMul", mixed, number(place[2].reshape(N_PREDICTED, -1))),
        )
        return self._reshape(flat, [-1, N_PREDICTED, 2, 2])

    def _futures(self, flat: str) -> str:
        """(K, A * 2 T) -> (K, A, T, 2)."""
        return self._reshape(flat, [0, -1, N_PREDICTED, 2])

    def _flat(self, paths: str) -> str:
        """(N, A, 2 T) -> (N, A * 2 T)."""
        return self._reshape(paths, [0, -1])

    def _position(self, step: int) -> str:
        """(A, 2) observed positions at a step."""
        return self._reshape(self._slice("observed", step, step + 1), [-1, 2])

    def _linear(self, layer: nn.Linear, values: str) -> str:
        weight, bias = (tensor.detach().numpy() for tensor in (layer.weight, layer.bias))
        return self.build.node(
            "Gemm", values, self.build.constant(weight.T), self.build.constant(bias)
        )

    def _norm(self, vectors: str) -> str:
        return self.build.node("ReduceL2", vectors, axes=[1], keepdims=1)

    def _columns(self, tensor: str, start: int, end: int) -> str:
        return self._slice(tensor, start, end)

    def _slice(self, tensor: str, start: int, end: int, axis: int = 1, step: int = 1) -> str:
        limits = (self.build.indices([value]) for value in (start, end, axis, step))
        return self.build.node("Slice", tensor, *limits)

    def _sum(self, tensor: str, axis: int) -> str:
        return self.build.node("ReduceSum", tensor, self.build.indices([axis]), keepdims=0)

    def _reshape(self, tensor: str, shape: list[int]) -> str:
        return self.build.node("Reshape", tensor, self.build.indices(shape))
