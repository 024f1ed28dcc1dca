"""Model and tick beside the paper's model in PyTorch: `make bench`.

The yardstick and what is compared with it take turns on one core. Without `--benchmark-only` every
function is called a few times and nothing is written.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark", reason="needs pytest-benchmark (make bench)")
torch = pytest.importorskip("torch", reason="the yardstick is PyTorch's (make bench)")
onnx = pytest.importorskip("onnx", reason="builds graphs (make bench)")
pytest.importorskip("rclpy", reason="needs ROS 2")

import onnxruntime  # noqa: E402
from onnx import helper  # noqa: E402
from support.released_cells import random_checkpoint  # noqa: E402
from support.speed import on_core, rate_hz, times_s  # noqa: E402
from support.ticking import TickingNode, crowd, ticking_node  # noqa: E402
from support.yardstick import PlainSocialImplicit  # noqa: E402

from social_implicit_ros.models.features import model_input_from_observed  # noqa: E402
from social_implicit_ros.models.onnx_model import OnnxModel  # noqa: E402
from social_implicit_ros.models.registry import model_path  # noqa: E402

AGENTS = (1, 5, 20, 50, 100, 200)
SAMPLES = (20, 100)
MODELS = ("social_zone", "social_implicit")
N_ROUNDS = 9

by_agents = pytest.mark.parametrize("n_agents", AGENTS)
by_samples = pytest.mark.parametrize("n_samples", SAMPLES)


@pytest.fixture(autouse=True)
def one_core(benchmark: Any) -> Iterator[None]:
    if benchmark.disabled:
        pytest.skip("only measured, by `make bench`")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with on_core(0):
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def node(request: pytest.FixtureRequest) -> Iterator[TickingNode]:
    with on_core(0), ticking_node(outputs="[pointcloud]") as ticking:
        yield ticking


@pytest.fixture(scope="module")
def drawing_node() -> Iterator[TickingNode]:
    with on_core(0), ticking_node(outputs="[pointcloud, markers]") as ticking:
        yield ticking


def observed_of(n_agents: int) -> np.ndarray:
    """(A, 8, 2) eight steps of a crowd, metres."""
    positions_m, velocities_m_s = crowd(n_agents)
    steps = np.arange(-7, 1)[:, None] * 0.4
    noise = np.random.default_rng(1).normal(0.0, 0.02, (n_agents, 8, 2))
    return positions_m[:, None] + velocities_m_s[:, None] * steps + noise


def yardstick(n_agents: int, n_samples: int) -> Callable[[], object]:
    """A forward pass of the paper's model."""
    model = PlainSocialImplicit(random_checkpoint()).eval()
    observed = observed_of(n_agents)
    steps = np.diff(observed, axis=1, prepend=observed[:, :1])
    displacements = torch.tensor(steps.transpose(2, 1, 0)[None]).contiguous()

    def forward() -> object:
        with torch.no_grad():
            return model(displacements, n_samples)

    return forward


def forward_of(name: str, n_agents: int, n_samples: int) -> Callable[[], object]:
    """A forward pass of a shipped model through onnxruntime."""
    model = OnnxModel.load(model_path(name))
    tensors = model_input_from_observed(observed_of(n_agents), model.n_observed)
    noise = model.noise(n_samples)
    return lambda: model.file.run(tensors, noise)


@by_samples
@by_agents
def test_forward(benchmark: Any, tables: Any, n_agents: int, n_samples: int) -> None:
    functions = [forward_of(name, n_agents, n_samples) for name in MODELS]
    plain_s, *models_s = times_s([yardstick(n_agents, n_samples), *functions], n_rounds=N_ROUNDS)

    size = f"{n_agents}x{n_samples}"
    tables.add_figure("forward_ratio", size, max(models_s) / plain_s)
    tables.add_row(
        "Forward pass, agents x samples",
        size=size,
        yardstick_ms=1e3 * plain_s,
        **{f"{name}_ms": 1e3 * time_s for name, time_s in zip(MODELS, models_s, strict=True)},
        **{
            f"{name} ratio": time_s / plain_s for name, time_s in zip(MODELS, models_s, strict=True)
        },
    )
    benchmark.group = f"forward pass of {size}"
    benchmark(functions[0])


def chain(n_operations: int) -> Callable[[], object]:
    """A call of a graph that negates two numbers this many times, one after another."""
    names = [f"values_{n}" for n in range(n_operations + 1)]
    nodes = [helper.make_node("Neg", [a], [b]) for a, b in itertools.pairwise(names)]
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["A", 2]) for n in names]
    graph = helper.make_graph(nodes, "chain", [ends[0]], [ends[-1]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    feed = {names[0]: np.zeros((1, 2), dtype=np.float32)}
    return lambda: session.run([names[-1]], feed)


def test_floor(benchmark: Any, tables: Any) -> None:
    one, many = chain(1), chain(61)
    models = [forward_of(name, 1, 20) for name in MODELS]
    one_s, many_s, *models_s = times_s([one, many, *models], n_rounds=N_ROUNDS)
    title = "Floor of a forward pass"
    tables.add_row(title, of="a graph of one operation", microseconds=1e6 * one_s)
    tables.add_row(
        title,
        of="each further operation, of the simplest",
        microseconds=1e6 * (many_s - one_s) / 60,
    )
    for name, forward_s in zip(MODELS, models_s, strict=True):
        n_operations = len(onnx.load(model_path(name)).graph.node)
        tables.add_row(
            title,
            of=f"{name}, 1x20, {n_operations} operations",
            microseconds=1e6 * forward_s,
        )
    benchmark.group = "floor"
    benchmark(one)


@by_samples
@by_agents
def test_tick(
    benchmark: Any, tables: Any, node: TickingNode, n_agents: int, n_samples: int
) -> None:
    node.set(n_samples=n_samples)
    tick = node.ticks(n_agents)
    plain_s, tick_s = times_s([yardstick(n_agents, n_samples), tick], n_rounds=N_ROUNDS)

    size = f"{n_agents}x{n_samples}"
    tables.add_figure("tick_ratio", size, tick_s / plain_s)
    ticks_per_s = rate_hz(tick)
    if n_samples == SAMPLES[0]:
        tables.add_figure("tick_hz", str(n_agents), ticks_per_s)
    tables.add_row(
        "Tick, message to published cloud, agents x samples",
        size=size,
        yardstick_ms=1e3 * plain_s,
        tick_ms=1e3 * tick_s,
        ratio=tick_s / plain_s,
        ticks_per_s=ticks_per_s,
    )
    benchmark.group = f"tick of {size}"
    benchmark(tick)


@by_agents
def test_markers(
    benchmark: Any, tables: Any, node: TickingNode, drawing_node: TickingNode, n_agents: int
) -> None:
    node.set(n_samples=SAMPLES[0])
    plain, drawn = node.ticks(n_agents), drawing_node.ticks(n_agents)
    plain_s, drawn_s = times_s([plain, drawn], n_rounds=N_ROUNDS)

    markers_ms = 1e3 * (drawn_s - plain_s)
    tables.add_figure("markers_ms", str(n_agents), markers_ms)
    tables.add_row(
        "Markers on top of a tick, with a listener", agents=n_agents, markers_ms=markers_ms
    )
    benchmark.group = f"tick with markers of {n_agents}"
    benchmark(drawn)


def test_growth(benchmark: Any, tables: Any, node: TickingNode) -> None:
    node.set(n_samples=20)
    for n_agents in (10, 30, 100, 300, 1000):
        functions = [forward_of(name, n_agents, 20) for name in MODELS]
        more = forward_of(MODELS[0], n_agents, 200)
        all_s = times_s([*functions, more, node.ticks(n_agents)], n_rounds=5)
        per_agent = [1e6 * time_s / n_agents for time_s in all_s]
        tables.add_row(
            "Growth: microseconds per agent",
            agents=n_agents,
            social_zone=per_agent[0],
            social_implicit=per_agent[1],
            social_zone_with_200_samples=per_agent[2],
            tick=per_agent[3],
        )
    benchmark.group = "tick of 1000x20"
    benchmark(node.ticks(1000))
