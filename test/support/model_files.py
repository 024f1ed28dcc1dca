"""Small model files for tests."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from social_implicit_ros.models.card import ModelCard, file_sha256

onnx = pytest.importorskip("onnx", reason="onnx builds the model files of these tests")

N_STEPS = 3
STEP = (1.0, 2.0)
Axes = Sequence["int | str"]


def write_model(
    folder: Path,
    *,
    inputs: dict[str, Axes] | None = None,
    output: Axes = ("K", "A", N_STEPS, 2),
    output_name: str = "samples",
    element: int | None = None,
    **card_changes: Any,
) -> Path:
    """Writes a model whose samples are the noise, plus 1 m in x and 2 m in y at every step."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    kind = onnx.TensorProto.FLOAT if element is None else element
    inputs = inputs or {"observed": ("A", 8, 2), "mask": ("A", 8), "noise": ("K", 2)}
    number = onnx.helper.tensor_dtype_to_np_dtype(kind)
    initializers = {
        "axes": np.array([1, 2]),
        "steps": np.arange(1, N_STEPS + 1)[:, None].astype(number) * np.array(STEP, dtype=number),
        "first": np.array([0]),
        "one": np.array([1]),
        "observed_axes": np.array([1]),
    }
    graph = helper.make_graph(
        [
            # (K, 1, 1, 2) noise + (T, 2) steps + (A, 1, 2) zeros -> (K, A, T, 2)
            helper.make_node("Unsqueeze", ["noise", "axes"], ["spread"]),
            helper.make_node("Add", ["spread", "steps"], ["moved"]),
            helper.make_node("Slice", ["observed", "first", "one", "observed_axes"], ["position"]),
            helper.make_node("Sub", ["position", "position"], ["zeros"]),
            helper.make_node("Add", ["moved", "zeros"], [output_name]),
        ],
        "test",
        [helper.make_tensor_value_info(name, kind, axes) for name, axes in inputs.items()],
        [helper.make_tensor_value_info(output_name, kind, output)],
        [numpy_helper.from_array(values, name) for name, values in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "walker.onnx"
    path.write_bytes(model.SerializeToString())
    write_card(path, **card_changes)
    return path


def write_nodes(path: Path, model: Any, nodes: Sequence[Any]) -> None:
    """Replaces the nodes of a model and writes it with its card."""
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    path.write_bytes(model.SerializeToString())
    write_card(path)


def write_card(path: Path, **changes: Any) -> None:
    card = ModelCard(
        name="walker",
        architecture="test",
        description="For tests.",
        sha256=file_sha256(path),
        parameters=2,
        step_s=0.4,
        n_observed=8,
        n_predicted=N_STEPS,
    )
    path.with_suffix(".json").write_text(json.dumps({**dataclasses.asdict(card), **changes}))
