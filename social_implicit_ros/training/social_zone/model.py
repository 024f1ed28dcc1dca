"""Social-Zone in PyTorch: one distribution, a mixture of modes, from one small network.

It keeps the ideas of Social-Implicit (Mohamed et al., ECCV 2022, arXiv 2203.03057): a tiny network
per agent that depends on its speed and is trained by Implicit Maximum Likelihood Estimation. It
differs in these points:

* inputs and outputs are in the frame of the agent's heading and scaled by its speed, so that the
  prediction is equivariant (Bae et al., EigenTrajectory, ICCV 2023);
* a trajectory is a vector of coefficients of polynomials in time (low-rank, always smooth);
* neighbours enter through a sum over pairs, which is invariant to their order;
* unknown steps of a short history are masked.

Four linear heads read the same hidden state: the `mean`, from which the modes start; the `reach`,
whose rows times a learnt set of codes are the modes about it (`representatives` in code and files);
the logits of the modes' `shares`; and the `spread`, whose rows times normal noise are the
distribution about each mode. The codes are learnt such that K modes cover best what people do. Mean
and covariance are the moments of this mixture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from social_implicit_ros.recordings.text_formats.eth_ucy import N_OBSERVED, N_PREDICTED


@dataclass(frozen=True)
class SocialZoneSizes:
    """Sizes and fixed constants of the network.

    Attributes:
        hidden: width of the first layer.
        encoded: width of the second layer, which the heads read.
        rank: polynomials in time per axis, degree 1 to `rank`.
        spread: independent directions of the distribution about a mode.
        reach: length of a code.
        representatives: number of codes, and so of modes.
        social: features of the sum over neighbours; 0 disables it.
        social_range_m: neighbours farther away are ignored, metres.
        heading_decay: weight of each step's displacement in the heading, relative to the next.
        scale_floor_m: minimum scale, for standing agents, metres per step.
        smooth_m: jerk RMS (third differences) at which the share of noise in the last step is one
            half, metres.
    """

    hidden: int = 48
    encoded: int = 40
    rank: int = 4
    spread: int = 3
    reach: int = 8
    representatives: int = 20
    social: int = 8
    social_range_m: float = 3.0
    heading_decay: float = 0.8
    scale_floor_m: float = 0.2
    smooth_m: float = 0.15


#: Below this displacement per step, metres, a heading is mostly tracker noise and imprecise in
#: float32: such agents face the centre of the scene.
STANDING_M = 0.005
#: Minimum unit of relative velocities, metres per step.
RELATIVE_SPEED_FLOOR_M = 0.2
#: Scale whose logarithm is zero, metres per step, and the range of the logarithm.
SCALE_CENTRE_M = 0.3
LOG_SCALE_RANGE = (-2.0, 1.0)
#: Added to each variance of the distribution, in units of the squared scale: 3 cm for a standing
#: agent. Some annotations are exact lines, which tracked positions never are.
VARIANCE_FLOOR = 0.02


@dataclass(frozen=True)
class Neighbours:
    """Relative states of the other agents of the scene, padded.

    Attributes:
        position: (A, N, 2) last positions relative to the agent, metres; padding is out of range.
        velocity: (A, N, 2) last displacements minus the agent's own, metres per step.
    """

    position: torch.Tensor
    velocity: torch.Tensor


@dataclass(frozen=True)
class Frame:
    """Frame of each agent in the world.

    Attributes:
        heading: (A, 2) unit vector along the frame's x axis.
        scale: (A,) length of the frame's unit, metres.
        velocity: (A, 2) smoothed displacement per step, metres, world axes.
        walk: (A, 2) displacement per step for the extrapolation: between the last one (smooth
            history) and the smoothed one (noisy history).
        displacement: (A, 7, 2) observed displacements, metres, world axes, zero where unknown.
        known: (A, 7) 1 where a displacement was observed.
    """

    heading: torch.Tensor
    scale: torch.Tensor
    velocity: torch.Tensor
    walk: torch.Tensor
    displacement: torch.Tensor
    known: torch.Tensor


@dataclass(frozen=True)
class Mixture:
    """Modes as coefficients in each agent's frame; `SocialZone.paths` converts them to positions.

    Attributes:
        frame: frame of each agent.
        centre: (A, rank, 2) coefficients of the centre of the modes.
        mean: (A, rank, 2) coefficients of the mean, without a gradient to the centre.
        spread: (A, S, rank, 2) change of the coefficients per unit of each noise value.
        representatives: (A, R, rank, 2) coefficients of the modes.
        around: (A, R, rank, 2) the same relative to the mean, without a gradient.
        logits: (A, R) of the probabilities of the modes.
    """

    frame: Frame
    centre: torch.Tensor
    mean: torch.Tensor
    spread: torch.Tensor
    representatives: torch.Tensor
    around: torch.Tensor
    logits: torch.Tensor

    @property
    def probabilities(self) -> torch.Tensor:
        """(A, R) of the modes; their sum is 1."""
        return torch.softmax(self.logits, dim=1)


class SocialZone(nn.Module):
    """The network; see the module's docstring.

    Attributes:
        sizes: sizes of the network.
        trust: shrinkage factor of the learnt correction to constant velocity, for a full history;
            the part that is removed almost doubles towards a history of two steps. 1 in training,
            less in use: at other places, part of the correction is better than all of it.
        basis: (T, rank) orthogonal polynomials of time without a constant: trajectories start at
            the agent's position. Each has a root mean square of 1 over the predicted steps.
    """

    basis: torch.Tensor

    def __init__(self, sizes: SocialZoneSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes = sizes or SocialZoneSizes()
        self.trust = 1.0
        n_coefficients = 2 * sizes.rank
        self.register_buffer("basis", time_basis(sizes.rank), persistent=False)
        n_features = 2 * (N_OBSERVED - 1) + 3
        if sizes.social:
            self.social = nn.Linear(5, sizes.social)
        self.first = nn.Linear(n_features + sizes.social, sizes.hidden)
        self.second = nn.Linear(sizes.hidden, sizes.encoded)
        self.mean = nn.Linear(sizes.encoded, n_coefficients)
        self.spread = nn.Linear(sizes.encoded, sizes.spread * n_coefficients)
        self.reach = nn.Linear(sizes.encoded, sizes.reach * n_coefficients)
        self.shares = nn.Linear(sizes.encoded, sizes.representatives)
        self.codes = nn.Parameter(torch.randn(sizes.representatives, sizes.reach))
        with torch.no_grad():
            self.mean.weight.zero_()
            self.mean.bias.zero_()
            self.shares.weight.zero_()
            self.shares.bias.zero_()
            self.spread.weight.mul_(0.3)
            self.spread.bias.copy_(0.5 * torch.eye(sizes.spread, n_coefficients).flatten())

    def forward(
        self, observed: torch.Tensor, mask: torch.Tensor, neighbours: Neighbours
    ) -> Mixture:
        """Predicts.

        Args:
            observed: (A, 8, 2) positions in metres relative to the scene's centre.
            mask: (A, 8) 1 where a step was observed, 0 in leading steps that were not.
            neighbours: neighbours of each agent.
        """
        frame = self.frame(observed, mask)
        speed = frame.velocity.norm(dim=1)
        features = [
            (to_frame(frame.displacement, frame.heading) / frame.scale[:, None, None]).flatten(1),
            frame.known.mean(dim=1, keepdim=True),
            self.log_scale(frame)[:, None],
            (speed / frame.scale)[:, None],
        ]
        if self.sizes.social:
            features.append(self._social(frame, neighbours))
        hidden = torch.relu(self.first(torch.cat(features, dim=1)))
        hidden = torch.relu(self.second(hidden))
        rank = self.sizes.rank
        straight = self._straight(frame)
        centre = straight + self.mean(hidden).view(-1, rank, 2)
        spread = self.spread(hidden).view(-1, self.sizes.spread, rank, 2)
        reach = self.reach(hidden).view(-1, self.sizes.reach, 2 * rank)
        around = (self.codes @ reach).view(-1, self.sizes.representatives, rank, 2)
        # IMLE trains the modes about the centre. Detached, so that the probabilities adapt to the
        # modes and not the modes to the probabilities.
        logits = self.shares(hidden.detach())
        fixed = around.detach()
        offset = (torch.softmax(logits, dim=1)[..., None, None] * fixed).sum(dim=1)
        mean = centre.detach() + offset
        share = (1.0 - self.trust) * (2.0 - frame.known.mean(dim=1))[:, None, None]
        shift = share * (straight - mean)
        modes = (centre.detach() + shift.detach())[:, None] + around
        return Mixture(frame, centre, mean + shift, spread, modes, fixed - offset[:, None], logits)

    def frame(self, observed: torch.Tensor, mask: torch.Tensor) -> Frame:
        """Computes the frames of all agents; arguments as for `forward`."""
        known = mask[:, :-1]
        displacement = differences(observed) * known[..., None]
        age = torch.arange(N_OBSERVED - 2, -1, -1, dtype=torch.float32)
        weight = self.sizes.heading_decay**age * known
        weight = weight / weight.sum(dim=1, keepdim=True)
        velocity = (weight[..., None] * displacement).sum(dim=1)
        energy = (weight * (displacement**2).sum(dim=-1)).sum(dim=1)
        towards = torch.where(
            velocity.norm(dim=1, keepdim=True) > STANDING_M, velocity, -observed[:, -1]
        )
        distance = towards.norm(dim=1, keepdim=True)
        # An agent that stands at the centre has no direction.
        heading = torch.where(
            distance > 1e-4, towards / distance.clamp_min(1e-4), torch.tensor([1.0, 0.0])
        )
        scale = (energy + self.sizes.scale_floor_m**2).sqrt()
        noise = self._noise_share(displacement, known)
        walk = displacement[:, -1] + noise * (velocity - displacement[:, -1])
        return Frame(heading, scale, velocity, walk, displacement, known)

    def _noise_share(self, displacement: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """(A, 1) 0 for a smooth history or one of fewer than 4 positions, up to 1 for pure noise.

        Third differences of positions separate tracker noise from manoeuvres: noise is amplified
        4.5 times, steady turning or braking vanishes.
        """
        jerk = differences(differences(displacement))
        all_known = known[:, :-2, None]
        energy = (jerk**2 * all_known).sum(dim=(1, 2))
        smooth = self.sizes.smooth_m**2 * all_known.sum(dim=(1, 2))
        return (energy / (energy + smooth).clamp_min(1e-9))[:, None]

    def paths(self, coefficients: torch.Tensor, frame: Frame) -> torch.Tensor:
        """Converts coefficients to positions relative to each agent's last one.

        (A, ..., rank, 2) coefficients in the agents' frames -> (A, ..., T, 2) metres, world axes.
        """
        shape = (-1,) + (1,) * (coefficients.dim() - 1)
        metres = (self.basis @ coefficients) * frame.scale.view(shape)
        return from_frame(metres, frame.heading)

    def moments(self, mixture: Mixture) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(A, T) variances along x and y and their covariance, in the agents' frames and units."""
        weight = mixture.probabilities.sqrt()[..., None, None]
        rows = self.basis @ torch.cat([weight * mixture.around, mixture.spread], dim=1)
        xx, yy = ((rows**2).sum(dim=1) + VARIANCE_FLOOR).unbind(dim=-1)
        return xx, yy, (rows[..., 0] * rows[..., 1]).sum(dim=1)

    def coefficients(self, future: torch.Tensor, frame: Frame) -> torch.Tensor:
        """Projects (A, T, 2) positions relative to the last one, metres, onto the basis."""
        return self.basis.T @ self.in_frame(future, frame) / N_PREDICTED

    @staticmethod
    def in_frame(future: torch.Tensor, frame: Frame) -> torch.Tensor:
        """Converts (A, T, 2) positions relative to the last one, metres, to the agents' frames."""
        return to_frame(future, frame.heading) / frame.scale[:, None, None]

    def _straight(self, frame: Frame) -> torch.Tensor:
        """(A, rank, 2) coefficients of the extrapolation at constant velocity."""
        steps = torch.arange(1, N_PREDICTED + 1, dtype=torch.float32)
        walk = self.in_frame(frame.walk[:, None], frame)
        return (self.basis.T @ steps / N_PREDICTED)[:, None] * walk

    @staticmethod
    def log_scale(frame: Frame) -> torch.Tensor:
        """(A,) logarithm of the scale relative to `SCALE_CENTRE_M`, within its range."""
        return torch.log(frame.scale / SCALE_CENTRE_M).clamp(*LOG_SCALE_RANGE)

    def _social(self, frame: Frame, neighbours: Neighbours) -> torch.Tensor:
        distance_2 = (neighbours.position**2).sum(dim=-1, keepdim=True)
        weight = torch.relu(1.0 - distance_2 / self.sizes.social_range_m**2) ** 2
        unit = frame.scale.clamp_min(RELATIVE_SPEED_FLOOR_M)[:, None, None]
        log_scale = self.log_scale(frame)[:, None, None]
        features = torch.cat(
            [
                to_frame(neighbours.position, frame.heading),
                to_frame(neighbours.velocity, frame.heading) / unit,
                log_scale.expand_as(distance_2),
            ],
            dim=-1,
        )
        return (torch.relu(self.social(features)) * weight).sum(dim=1)


def time_basis(rank: int) -> torch.Tensor:
    """(T, rank) orthogonal polynomials without a constant, root mean square 1 each."""
    time = torch.arange(1, N_PREDICTED + 1, dtype=torch.float64) / N_PREDICTED
    powers = torch.stack([time ** (degree + 1) for degree in range(rank)], dim=1)
    orthogonal, triangle = torch.linalg.qr(powers)
    signed = orthogonal * torch.sign(torch.diagonal(triangle))
    return (signed * math.sqrt(N_PREDICTED)).to(torch.float32)


def differences(positions: torch.Tensor) -> torch.Tensor:
    """(A, N - 1, 2) differences of consecutive steps; torch.onnx.export has no torch.diff."""
    return positions[:, 1:] - positions[:, :-1]


def to_frame(vectors: torch.Tensor, heading: torch.Tensor) -> torch.Tensor:
    """Rotates (A, ..., 2) vectors from world axes to the agents' frames."""
    shape = (-1,) + (1,) * (vectors.dim() - 2)
    cos, sin = heading[:, 0].view(shape), heading[:, 1].view(shape)
    x, y = vectors[..., 0], vectors[..., 1]
    return torch.stack([cos * x + sin * y, cos * y - sin * x], dim=-1)


def from_frame(vectors: torch.Tensor, heading: torch.Tensor) -> torch.Tensor:
    """Rotates (A, ..., 2) vectors from the agents' frames to world axes."""
    return to_frame(vectors, heading * torch.tensor([1.0, -1.0]))


def live_parameters(model: nn.Module) -> int:
    """Number of parameters that affect the output."""
    return sum(values.numel() for values in model.parameters())
