"""Social-Zone as it is exported: the network with the moments and draws of its mixture.

For the small crowds around a robot, calling an operation costs more than its computation. So the
graph computes few large products where the network has many small ones:

* positions are flat, x and y alternating, so that one product converts the coefficients of all
  paths of an agent: the centre, one path per noise value, one per code value;
* moments of the codes, weighted by the probabilities of the modes, give mean and covariance;
* the argument of each pair's feature is linear in the neighbour's state, with factors that depend
  on the agent only. Training sums over the nearest neighbours, the graph over all agents; those out
  of range have weight 0.

The file's metadata contains the weights, so that `train_model` can continue the training.
"""

from __future__ import annotations

import base64
import copy
import math

import numpy as np
import onnx
import torch
from torch import Tensor

from social_implicit_ros.training.export import constant, exported
from social_implicit_ros.training.social_zone.model import (
    N_PREDICTED,
    RELATIVE_SPEED_FLOOR_M,
    VARIANCE_FLOOR,
    Frame,
    SocialZone,
)

#: Metadata key of the weights: base64 of float32 in the order of the parameters.
WEIGHTS = "weights"
#: See `models.model_file`.
OUTPUTS = ("samples", "mean", "covariance", "representatives", "probabilities")
#: Numbers of noise values in a draw: the first value chooses the mode; the last ones make the floor
#: of the variance and offset all steps equally.
N_CHOICE, N_FLOOR = 1, 2


def social_zone_graph(model: SocialZone) -> onnx.ModelProto:
    """A trained model as an ONNX graph, for any number of agents and samples."""
    n_noise = N_CHOICE + model.sizes.spread + N_FLOOR
    file = exported(SocialZoneGraph(model), OUTPUTS, noise_dimension=n_noise)
    weights = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    text = base64.b64encode(weights.astype("<f4").tobytes()).decode("ascii")
    onnx.helper.set_model_props(file, {WEIGHTS: text})
    return file


class SocialZoneGraph:
    """A trained model as a function of the tensors of a model file, see `models.model_file`."""

    def __init__(self, model: SocialZone) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        heads = (self.model.mean, self.model.spread, self.model.reach)
        self.weight = torch.cat([head.weight for head in heads]).T
        self.bias = torch.cat([head.bias for head in heads])
        #: (2 rank, 2 T) from coefficients to positions.
        self.over_time = constant(np.kron(self.model.basis.numpy().T, np.eye(2)))

    def __call__(self, observed: Tensor, mask: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """The `OUTPUTS`."""
        model = self.model
        frame = model.frame(observed, mask)
        cos, sin = frame.heading[:, :1], frame.heading[:, 1:]
        turn = torch.stack([frame.heading, torch.cat([-sin, cos], dim=1)], dim=2)
        hidden = self._hidden(observed, frame, turn)
        probabilities = torch.softmax(model.shares(hidden), dim=1)
        out_of_frame = turn.transpose(1, 2) * frame.scale[:, None, None]  # (A, 2, 2)
        centre, spread, reach = self._paths(hidden, out_of_frame)
        straight = frame.walk.repeat(1, N_PREDICTED) * constant(
            np.arange(1.0, N_PREDICTED + 1).repeat(2)
        )
        code = probabilities @ model.codes
        offset = (code[:, None] @ reach).squeeze(1)
        mean = straight + centre + offset  # (A, 2 T)
        share = (1.0 - model.trust) * (2.0 - frame.known.mean(dim=1, keepdim=True))
        mean = mean + share * (straight - mean)
        start = (mean - offset)[:, None]
        return (
            _positions(self._draws(noise, probabilities, spread, reach) + start),
            mean.reshape(-1, N_PREDICTED, 2),
            self._covariance(probabilities, code, spread, reach),
            _positions(model.codes @ reach + start),
            probabilities,
        )

    def _hidden(self, observed: Tensor, frame: Frame, turn: Tensor) -> Tensor:
        """(A, encoded) hidden state; (A, 2, 2) `turn` rotates row vectors into the frames."""
        model = self.model
        per_scale = 1.0 / frame.scale[:, None]
        log_scale = model.log_scale(frame)[:, None]
        features = [
            (frame.displacement @ (turn * per_scale[:, None])).flatten(1),
            frame.known.mean(dim=1, keepdim=True),
            log_scale,
            frame.velocity.norm(dim=1, keepdim=True) * per_scale,
        ]
        if model.sizes.social:
            features.append(self._social(observed, frame, turn, log_scale))
        hidden = torch.relu(model.first(torch.cat(features, dim=1)))
        return torch.relu(model.second(hidden))

    def _social(self, observed: Tensor, frame: Frame, turn: Tensor, log_scale: Tensor) -> Tensor:
        """(A, F) weighted sum over the features of all other agents."""
        position, velocity, of_scale = self.model.social.weight.split([2, 2, 1], dim=1)
        unit = frame.scale.clamp_min(RELATIVE_SPEED_FLOOR_M)[:, None, None]
        back = turn.transpose(1, 2)
        linear = torch.cat([position @ back, velocity @ (back / unit)], dim=2)  # (A, F, 4)
        last = observed[:, -1]
        states = torch.cat([last, last - observed[:, -2]], dim=1)
        itself = log_scale * of_scale.T + self.model.social.bias
        relative = itself[:, :, None] - linear @ states[:, :, None]
        pairs = torch.relu(linear @ states.T + relative)  # (A, F, A)
        x, y = (last / self.model.sizes.social_range_m).split(1, dim=1)
        near = torch.relu(1.0 - (x - x.T) ** 2 - (y - y.T) ** 2)
        # The sum includes every agent as its own neighbour at distance 0, with weight 1.
        return (pairs * (near * near)[:, None]).sum(dim=2) - torch.relu(itself)

    def _paths(self, hidden: Tensor, out_of_frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(A, 2 T) centre, (A, S, 2 T) path per noise value, (A, C, 2 T) per code value, metres."""
        sizes = self.model.sizes
        n_rows = 1 + sizes.spread + sizes.reach
        in_frame = torch.addmm(self.bias, hidden, self.weight).reshape(-1, n_rows * sizes.rank, 2)
        coefficients = (in_frame @ out_of_frame).reshape(-1, 2 * sizes.rank)
        paths = (coefficients @ self.over_time).reshape(-1, n_rows, 2 * N_PREDICTED)
        centre, spread, reach = paths.split([1, sizes.spread, sizes.reach], dim=1)
        floor = math.sqrt(VARIANCE_FLOOR) * out_of_frame.repeat(1, 1, N_PREDICTED)
        return centre.squeeze(1), torch.cat([spread, floor], dim=1), reach

    def _draws(self, noise: Tensor, probabilities: Tensor, spread: Tensor, reach: Tensor) -> Tensor:
        """(A, K, 2 T) draws relative to the start of the modes."""
        codes, n_modes = self.model.codes, self.model.sizes.representatives
        choice, values = noise.split([N_CHOICE, noise.shape[1] - N_CHOICE], dim=1)
        # The normal value becomes a uniform one, which is compared with cumulative probabilities.
        uniform = 0.5 + 0.5 * torch.erf(choice * math.sqrt(0.5))
        below = probabilities @ torch.triu(torch.ones(n_modes, n_modes))[:, :-1]
        beyond = (uniform > below[:, None]).float()  # (A, K, modes - 1)
        code = beyond @ (codes[1:] - codes[:-1]) + codes[0]
        return code @ reach + values @ spread

    def _covariance(
        self, probabilities: Tensor, code: Tensor, spread: Tensor, reach: Tensor
    ) -> Tensor:
        """(A, T, 2, 2) covariance of the noise and of the codes, of which `code` is the mean."""
        codes = self.model.codes
        square = probabilities @ (codes[:, :, None] * codes[:, None]).flatten(1)
        of_codes = square.reshape(-1, codes.shape[1], codes.shape[1])
        of_codes = of_codes - code[:, :, None] * code[:, None]
        rows = torch.cat([spread, reach], dim=1)
        mixed = torch.cat([spread, of_codes @ reach], dim=1)
        (x, y), (mixed_x, mixed_y) = ((one[..., 0::2], one[..., 1::2]) for one in (rows, mixed))
        xx, xy, yy = (
            (one * other).sum(dim=1) for one, other in ((x, mixed_x), (x, mixed_y), (y, mixed_y))
        )
        return torch.stack([xx, xy, xy, yy], dim=2).reshape(-1, N_PREDICTED, 2, 2)


def _positions(paths: Tensor) -> Tensor:
    """(A, N, 2 T) flat paths -> (N, A, T, 2) positions."""
    return paths.reshape(*paths.shape[:2], N_PREDICTED, 2).transpose(0, 1)
