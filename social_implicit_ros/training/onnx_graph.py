"""Builds ONNX graphs node by node, with the inputs and outputs of the model file contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

#: Runs on onnxruntime 1.12 (2022) and newer.
OPSET = 17
IR_VERSION = 8


class GraphBuilder:
    """Collects nodes and constants; tensors are referred to by name.

    The inputs `observed`, `mask` and `noise` always exist, see `models.onnx_model`.
    """

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple, str] = {}
        self._initializers: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Appends an operation with one output and returns the output's name."""
        return self.nodes(kind, 1, *inputs, **attributes)[0]

    def nodes(self, kind: str, n_outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Appends an operation with several outputs and returns their names."""
        outputs = [f"{kind.lower()}_{len(self._nodes)}_{n}" for n in range(n_outputs)]
        self._nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs

    def constant(self, values: ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        """Stores values in the file and returns their name; equal values are stored once."""
        array: NDArray = np.asarray(values, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = name
            self._initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def indices(self, values: ArrayLike) -> str:
        """Stores integers, as shapes, axes and indices require."""
        return self.constant(values, np.int64)

    def model(
        self,
        samples: str,
        *,
        n_observed: int,
        n_predicted: int,
        noise_dimension: int,
        mean: str = "",
        covariance: str = "",
        representatives: str = "",
        probabilities: str = "",
        n_representatives: int = 0,
    ) -> onnx.ModelProto:
        """The finished model, from names of tensors; raises ValidationError if it is invalid.

        Their shapes: `samples` (K, A, T, 2), and optionally `mean` (A, T, 2), `covariance`
        (A, T, 2, 2), `representatives` (R, A, T, 2) and with these `probabilities` (A, R).
        """
        outputs: dict[str, tuple[str, list[str | int]]] = {
            "samples": (samples, ["K", "A", n_predicted, 2]),
            "mean": (mean, ["A", n_predicted, 2]),
            "covariance": (covariance, ["A", n_predicted, 2, 2]),
            "representatives": (representatives, [n_representatives, "A", n_predicted, 2]),
            "probabilities": (probabilities, ["A", n_representatives]),
        }
        outputs = {name: entry for name, entry in outputs.items() if entry[0]}
        for name, (source, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [source], [name]))
        tensor = helper.make_tensor_value_info
        graph = helper.make_graph(
            self._nodes,
            "social_implicit_ros",
            inputs=[
                tensor("observed", TensorProto.FLOAT, ["A", n_observed, 2]),
                tensor("mask", TensorProto.FLOAT, ["A", n_observed]),
                tensor("noise", TensorProto.FLOAT, ["K", noise_dimension]),
            ],
            outputs=[
                tensor(name, TensorProto.FLOAT, shape) for name, (_, shape) in outputs.items()
            ],
            initializer=self._initializers,
        )
        model = helper.make_model(
            graph,
            producer_name="social_implicit_ros",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        return model
