"""An onnxruntime session whose tensors stay where they are from run to run.

For few people a run is a good part handing tensors over: each is wrapped on its way in and made
anew on its way out. Where sizes come again, as they do from tick to tick, onnxruntime reads and
writes arrays that it knows already.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime

from social_implicit_ros.models.features import Float32Array

#: The inputs, in the order of a model file's contract.
INPUTS = ("observed", "mask", "noise")
#: Above so many output values, copying them takes longer than making arrays for them.
_MOST_VALUES = 25_000
#: Of so many sizes arrays are kept: a small crowd has no more.
_MOST_BINDINGS = 32

#: Numbers of samples and agents -> shapes of all outputs, by name.
ShapesOf = Callable[[int, int], Mapping[str, tuple[int, ...]]]


class BoundSession:
    """Runs a session; of the same small size again and again, without making tensors."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        """Wraps a session.

        Args:
            session: of a model file, whose contract `onnx_model` has.
        """
        self._session = session
        self._bindings: dict[tuple[int, int], _Binding] = {}
        # Threads share the arrays.
        self._lock = threading.Lock()

    def run(
        self, observed: Float32Array, mask: Float32Array, noise: Float32Array, shapes_of: ShapesOf
    ) -> dict[str, Float32Array]:
        """The outputs by name, in arrays of the caller's own.

        Args:
            observed: (A, H, 2), as the file's inputs.
            mask: (A, H)
            noise: (K, D)
            shapes_of: gives the shapes that the outputs must have.

        Raises:
            RuntimeError: the file puts out another shape than it should, or a bound run fails.
            Exception: what onnxruntime raises where another run fails.
        """
        inputs = (observed, mask, noise)
        size = len(noise), len(observed)
        with self._lock:
            binding = self._bindings.get(size)
            if binding is None:
                outputs = self._run(inputs, shapes_of(*size))
                if sum(values.size for values in outputs.values()) <= _MOST_VALUES:
                    self._bind(inputs, outputs, size)
                return outputs
            for array, values in zip(binding.inputs, inputs, strict=True):
                array[...] = values
            self._session.run_with_iobinding(binding.io)
            return {name: values.copy() for name, values in binding.outputs.items()}

    def _run(
        self, inputs: tuple[Float32Array, ...], shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, Float32Array]:
        """A run without a binding, which looks at the shapes."""
        feed = dict(zip(INPUTS, inputs, strict=True))
        outputs = dict(zip(shapes, self._session.run(list(shapes), feed), strict=True))
        for name, values in outputs.items():
            if values.shape != shapes[name]:
                raise RuntimeError(
                    f"it put out {name} of shape {values.shape}, expected {shapes[name]}"
                )
        return outputs

    def _bind(
        self,
        inputs: tuple[Float32Array, ...],
        outputs: Mapping[str, Float32Array],
        size: tuple[int, int],
    ) -> None:
        """Keeps arrays like those of a run for the next of its size."""
        binding = _Binding(
            self._session.io_binding(),
            [np.empty_like(values) for values in inputs],
            {name: np.empty_like(values) for name, values in outputs.items()},
        )
        # A tensor made of an array is that array's memory, and the binding keeps both.
        of_numpy = onnxruntime.OrtValue.ortvalue_from_numpy
        for name, array in zip(INPUTS, binding.inputs, strict=True):
            binding.io.bind_ortvalue_input(name, of_numpy(array))
        for name, array in binding.outputs.items():
            binding.io.bind_ortvalue_output(name, of_numpy(array))
        if len(self._bindings) == _MOST_BINDINGS:
            del self._bindings[next(iter(self._bindings))]
        self._bindings[size] = binding


@dataclass(frozen=True, eq=False)
class _Binding:
    """Arrays that a session reads and writes."""

    io: onnxruntime.IOBinding
    inputs: list[Float32Array]
    outputs: dict[str, Float32Array]
