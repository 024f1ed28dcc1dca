"""Forward passes of the shipped model files beside those that torch.onnx.export writes.

    python scripts/compare_onnx_export.py

The training networks are exported as they are, with the same weights. All files run in one process
on one thread, in turns.
"""

from __future__ import annotations

import io
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from social_implicit_ros.models.card import load_card
from social_implicit_ros.models.registry import model_path
from social_implicit_ros.training.social_implicit.graph import social_implicit_graph
from social_implicit_ros.training.social_implicit.model import (
    SocialImplicit,
    observed_displacements,
)
from social_implicit_ros.training.social_zone.file import read_social_zone
from social_implicit_ros.training.social_zone.graph import N_CHOICE, N_FLOOR
from social_implicit_ros.training.social_zone.model import (
    N_PREDICTED,
    VARIANCE_FLOOR,
    Neighbours,
    SocialZone,
)

AGENTS = (1, 5, 20, 100)
N_SAMPLES = 20
N_ROUNDS = 100
INPUTS = ("observed", "mask", "noise")
Arrays = dict[str, np.ndarray]


class SocialZoneFile(nn.Module):
    """Social-Zone with the outputs of a model file."""

    def __init__(self, model: SocialZone) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, observed: torch.Tensor, mask: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Samples, mean, covariance, modes and probabilities, see `models.onnx_model`."""
        model, last = self.model, observed[:, -1]
        step = last - observed[:, -2]
        # Everybody is a neighbour; an agent itself is moved beyond the social range.
        itself = 1e4 * torch.eye(observed.shape[0])[..., None]
        neighbours = Neighbours(last - last[:, None] + itself, step - step[:, None])
        forecast = model(observed, mask, neighbours)
        heading, scale = forecast.frame.heading, forecast.frame.scale
        left = torch.stack([-heading[:, 1], heading[:, 0]], dim=-1)
        floor = torch.stack([heading, left], dim=1) * scale[:, None, None] * VARIANCE_FLOOR**0.5
        spread = model.paths(forecast.spread, forecast.frame)  # (A, S, T, 2)
        rows = torch.cat([spread, floor[:, :, None].expand(-1, -1, N_PREDICTED, -1)], dim=1)
        probabilities = forecast.probabilities
        around = model.paths(forecast.around, forecast.frame)
        between = probabilities.sqrt()[..., None, None] * around
        about = torch.cat([rows, between], dim=1)
        covariance = torch.einsum("astx,asty->atxy", about, about)
        uniform = 0.5 + 0.5 * torch.erf(noise[:, 0] * 0.5**0.5)
        below = (probabilities @ torch.ones(20, 20).triu())[:, :-1]
        mode = (uniform[:, None, None] > below).sum(dim=2)
        modes = model.paths(forecast.representatives, forecast.frame).transpose(0, 1)
        chosen = torch.gather(modes, 0, mode[..., None, None].expand(-1, -1, N_PREDICTED, 2))
        samples = chosen + torch.einsum("ks,astx->katx", noise[:, N_CHOICE:], rows)
        return samples, model.paths(forecast.mean, forecast.frame), covariance, modes, probabilities


class SocialImplicitFile(nn.Module):
    """Social-Implicit for one scene, where any zone may be empty."""

    def __init__(self, model: SocialImplicit) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, observed: torch.Tensor, mask: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """Samples, see `models.onnx_model`."""
        displacements = observed_displacements(observed)
        zones = self.model.zones(displacements)
        agents, predicted = [], []
        for zone, cell in enumerate(self.model.cells):
            agents.append(torch.nonzero(zones == zone).squeeze(1))
            zone_noise = self.model.noise_weights[zone] * noise[None, :, None]
            predicted.append(
                cell(displacements[agents[-1]][:, None], zone_noise, torch.ones(1, 1, 1))
            )
        steps = torch.cat(predicted)[torch.argsort(torch.cat(agents))]
        steps = steps.reshape(-1, noise.shape[0], N_PREDICTED, 2)
        return steps.cumsum(dim=2).transpose(0, 1)


def exported(module: nn.Module, noise_dimension: int, outputs: dict[str, dict[int, str]]) -> bytes:
    """The bytes that the exporter writes."""
    example = scene(9, noise_dimension)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(torch.from_numpy(example[name]) for name in INPUTS),
            buffer,
            dynamo=False,
            opset_version=17,
            input_names=list(INPUTS),
            output_names=list(outputs),
            dynamic_axes={
                "observed": {0: "A"},
                "mask": {0: "A"},
                "noise": {0: "K"},
                **outputs,
            },
        )
    return buffer.getvalue()


def scene(n_agents: int, noise_dimension: int) -> Arrays:
    """People of all speeds, one in four square metres."""
    generator = np.random.default_rng(n_agents)
    side_m = 2.0 * n_agents**0.5
    start_m = generator.uniform(-side_m / 2, side_m / 2, (n_agents, 1, 2))
    speed_m = 10.0 ** generator.uniform(-3.0, 0.3, (n_agents, 1, 1))
    steps_m = speed_m * (1.0 + 0.3 * generator.normal(size=(n_agents, 8, 2)))
    return {
        "observed": (start_m + steps_m.cumsum(axis=1)).astype(np.float32),
        "mask": np.ones((n_agents, 8), dtype=np.float32),
        "noise": generator.normal(size=(N_SAMPLES, noise_dimension)).astype(np.float32),
    }


def session(data: bytes) -> onnxruntime.InferenceSession:
    """A session on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def medians_us(sessions: list[onnxruntime.InferenceSession], feed: Arrays) -> list[float]:
    """Median times of a forward pass, microseconds."""
    times_s: list[list[float]] = [[] for _ in sessions]
    for _ in range(N_ROUNDS):
        for one, found_s in zip(sessions, times_s, strict=True):
            own = {entry.name: feed[entry.name] for entry in one.get_inputs()}
            for _ in range(20):
                start_s = time.perf_counter()
                one.run(None, own)
                found_s.append(time.perf_counter() - start_s)
    return [1e6 * statistics.median(found_s) for found_s in times_s]


def add_rows(table: Table, name: str, ours: bytes, theirs: bytes, noise_dimension: int) -> None:
    """Measures a model in both forms, a row for each number of agents."""
    sessions = [session(ours), session(theirs)]
    nodes = [len(onnx.load_from_string(data).graph.node) for data in (ours, theirs)]
    for n_agents in AGENTS:
        feed = scene(n_agents, noise_dimension)
        outputs = []
        for one in sessions:
            own = {entry.name: feed[entry.name] for entry in one.get_inputs()}
            outputs.append(one.run(["samples"], own)[0])
        ours_us, theirs_us = medians_us(sessions, feed)
        table.add_row(
            name,
            str(n_agents),
            f"{ours_us:.0f}",
            f"{theirs_us:.0f}",
            f"{theirs_us / ours_us:.2f}",
            " / ".join(map(str, nodes)),
            f"{np.abs(outputs[0] - outputs[1]).max():.0e}",
        )


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    table = Table(
        "model", "agents", "written, us", "exported, us", "ratio", "operations", "difference, m"
    )
    path: Path = model_path("social_zone")
    zone = read_social_zone(path, load_card(path.with_suffix(".json")))
    samples = {"samples": {0: "K", 1: "A"}}
    others = {"out_mean": {0: "A"}, "out_covariance": {0: "A"}, "out_representatives": {1: "A"}}
    others["out_probabilities"] = {0: "A"}
    n_noise = N_CHOICE + zone.sizes.spread + N_FLOOR
    theirs = exported(SocialZoneFile(zone), n_noise, {**samples, **others})
    add_rows(table, "social_zone", path.read_bytes(), theirs, n_noise)

    torch.manual_seed(0)
    implicit = SocialImplicit()
    ours = social_implicit_graph(implicit).SerializeToString()
    theirs = exported(SocialImplicitFile(implicit), 2, samples)
    add_rows(table, "social_implicit", ours, theirs, 2)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
