"""A model file: its contract, how it is opened, and how its graph runs.

The contract of a model file, for A agents, H observed and T predicted steps, K samples:

=========  ==================  ==========================================================
input      `observed`          (A, H, 2) float32, see `features.ModelInput`
input      `mask`              (A, H) float32, 1 where a step was observed
input      `noise`             (K, D) float32, standard normal, drawn once per sample and scene
output     `samples`           (K, A, T, 2) float32, metres, relative to the last position
=========  ==================  ==========================================================

Exporters omit inputs that a graph does not use, so `mask` and `noise` may be absent.

Optional outputs, for models that compute them without samples:

=========  ==================  ==========================================================
output     `mean`              (A, T, 2) float32, metres, relative to the last position
output     `covariance`        (A, T, 2, 2) float32, square metres
output     `representatives`   (R, A, T, 2) float32, modes, metres, relative likewise
output     `probabilities`     (A, R) float32, of each agent's modes, with sum 1
=========  ==================  ==========================================================

A and K are dynamic; H, T, D and R are fixed in the file, and H and T equal those of the card.
`mean` and `covariance` occur together. `probabilities` needs `representatives`; without it the
modes are equally probable. The R modes represent the distribution best; they are returned if
exactly R samples are requested, else samples are drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from social_implicit_ros.models.card import ModelCard, load_card
from social_implicit_ros.models.features import ModelInput
from social_implicit_ros.models.onnx_file import check_onnx_file
from social_implicit_ros.types import Float32Array, IntArray
from social_implicit_ros.untrusted_files import error_text, read_file

#: The inputs of a model file.
INPUTS = ("observed", "mask", "noise")
#: Larger files are rejected before they are read.
MAX_FILE_BYTES = 64 * 1024 * 1024
#: Output -> its agent axis.
AGENT_AXIS = {"samples": 1, "mean": 0, "covariance": 0, "representatives": 1, "probabilities": 0}
#: Maximum number of agents per run of a model that computes every pair of them. 1000 agents take
#: 18 ms and 150 MB in one run, 10 ms and 100 MB in three.
MAX_BATCH = 400
#: Maximum length of an axis that the file fixes (D, R).
_MAX_AXIS_LENGTH = 4096


class ModelFileError(ValueError):
    """A model file or its card cannot be used; the message says why and how to fix it."""


class ModelFile:
    """The graph of a model file, on one thread.

    Attributes:
        outputs: names of its outputs.
        noise_dimension: length of a noise vector (D).
        n_representatives: number of its modes (R), 0 for none.
    """

    def __init__(self, session: onnxruntime.InferenceSession, card: ModelCard) -> None:
        """Raises ModelFileError for tensors that do not follow the contract."""
        self.noise_dimension = _checked_noise_dimension(session, card)
        outputs = {entry.name: entry.shape for entry in session.get_outputs()}
        self.outputs = tuple(outputs)
        self.n_representatives = int(outputs.get("representatives", [0])[0])
        self._inputs = [entry.name for entry in session.get_inputs()]
        self._session, self._card = session, card

    def run(self, tensors: ModelInput, noise: Float32Array) -> dict[str, Float32Array]:
        """Runs the graph, large crowds in batches.

        Args:
            tensors: inputs of A agents.
            noise: (K, D) standard normal draws.

        Returns:
            The outputs by name, see the module's docstring.

        Raises:
            ModelFileError: the file fails while running, or an output has a wrong shape.
        """
        range_m = self._card.interaction_range_m
        n_agents = len(tensors.observed)
        if range_m is None or n_agents <= MAX_BATCH:
            return self._run(tensors.observed, tensors.mask, noise)
        outputs = {
            name: np.empty(shape, dtype=np.float32)
            for name, shape in self._shapes(len(noise), n_agents).items()
        }
        for own, others in batches(tensors.observed[:, -1], range_m):
            rows = np.concatenate([own, others])
            batch = self._run(tensors.observed[rows], tensors.mask[rows], noise)
            for name, values in batch.items():
                agents_first = np.moveaxis(outputs[name], AGENT_AXIS[name], 0)
                agents_first[own] = np.moveaxis(values, AGENT_AXIS[name], 0)[: len(own)]
        return outputs

    def _run(
        self, observed: Float32Array, mask: Float32Array, noise: Float32Array
    ) -> dict[str, Float32Array]:
        shapes = self._shapes(len(noise), len(observed))
        inputs = dict(zip(INPUTS, (observed, mask, noise), strict=True))
        feed = {name: inputs[name] for name in self._inputs}
        try:
            outputs = dict(zip(shapes, self._session.run(list(shapes), feed), strict=True))
        except _onnxruntime_errors() as error:
            raise ModelFileError(
                f"model {self._card.name!r} failed while running: {error}. Export it again."
            ) from error
        for name, values in outputs.items():
            if values.shape != shapes[name]:
                raise ModelFileError(
                    f"model {self._card.name!r}: output {name} has shape {values.shape}, expected "
                    f"{shapes[name]}. Export it again."
                )
        return outputs

    def _shapes(self, n_samples: int, n_agents: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs that the file has."""
        n_steps = self._card.n_predicted
        shapes = {
            "samples": (n_samples, n_agents, n_steps, 2),
            "mean": (n_agents, n_steps, 2),
            "covariance": (n_agents, n_steps, 2, 2),
            "representatives": (self.n_representatives, n_agents, n_steps, 2),
            "probabilities": (n_agents, self.n_representatives),
        }
        return {name: shapes[name] for name in self.outputs}


def open_session(data: bytes, path: Path) -> onnxruntime.InferenceSession:
    """Opens the content of a model file.

    Args:
        data: content that is checked and run, as the file may change in between.
        path: path of the file, for error messages.

    Raises:
        ModelFileError: not ONNX, or operators that are not allowed.
    """
    options = onnxruntime.SessionOptions()
    # Waking a second thread costs more than it saves for models this small.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    refusals: tuple[type[Exception], ...] = (ValueError, *_onnxruntime_errors())
    try:
        check_onnx_file(data)
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except refusals as error:
        raise ModelFileError(
            f"{path} is not a model that onnxruntime {onnxruntime.__version__} can run: "
            f"{str(error).rstrip('.')}. Export it again, or use a shipped model."
        ) from error


def batches(positions_m: Float32Array, range_m: float) -> Iterator[tuple[IntArray, IntArray]]:
    """Cuts a crowd into strips of at most `MAX_BATCH` agents across its longer side.

    Args:
        positions_m: (A, 2) positions, metres.
        range_m: agents farther away than this do not affect a prediction, metres.

    Yields:
        (N,) rows of the agents of a strip, and (M,) rows of the others within range of the strip.
        Every agent is in exactly one strip.
    """
    along_m = positions_m[:, np.ptp(positions_m, axis=0).argmax()]
    n_strips = -(-len(along_m) // MAX_BATCH)
    for own in np.array_split(np.argsort(along_m, kind="stable"), n_strips):
        near = (along_m >= along_m[own[0]] - range_m) & (along_m <= along_m[own[-1]] + range_m)
        near[own] = False
        yield own, np.flatnonzero(near)


def load_checked(path: Path) -> tuple[bytes, ModelCard]:
    """The content of a model file and its card.

    Raises:
        ModelFileError: no such file, or a wrong checksum or card.
    """
    if path.suffix != ".onnx" or not path.is_file():
        raise ModelFileError(f"no model {str(path)!r}: expected an existing .onnx file")
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        raise ModelFileError(
            f"{path} has no model card; expected {card_path} beside it: write it with `make_card "
            f"{path}`"
        )
    try:
        card = load_card(card_path)
        data = read_file(path, MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        raise ModelFileError(error_text(error)) from error
    checksum = hashlib.sha256(data).hexdigest()
    if checksum != card.sha256:
        raise ModelFileError(
            f"{path} has checksum {checksum}, its card has {card.sha256}: the file is damaged "
            "or the card belongs to another model; copy both again"
        )
    return data, card


def _onnxruntime_errors() -> tuple[type[Exception], ...]:
    """Exceptions of onnxruntime, which have no common base class, and RuntimeError."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (
        error
        for error in vars(state).values()
        if isinstance(error, type) and issubclass(error, Exception)
    )
    return (RuntimeError, *own)


def _checked_noise_dimension(session: onnxruntime.InferenceSession, card: ModelCard) -> int:
    """Checks names, types and shapes against the contract; returns the noise dimension."""
    try:
        inputs, outputs = (
            {entry.name: (list(entry.shape), entry.type) for entry in entries}
            for entries in (session.get_inputs(), session.get_outputs())
        )
    except UnicodeDecodeError as error:
        raise ModelFileError(
            f"model {card.name!r}: a name in the file is not UTF-8 ({error}); export it again"
        ) from error
    if not {"observed"} <= set(inputs) <= set(INPUTS):
        raise ModelFileError(
            f"model {card.name!r} has the inputs {sorted(inputs)}, expected observed and, where "
            "used, mask and noise: name them when you export (input_names)"
        )
    if "samples" not in outputs:
        raise ModelFileError(f"model {card.name!r} has no output 'samples'; export it again")
    is_partial = ("mean" in outputs) != ("covariance" in outputs)
    is_partial |= "probabilities" in outputs and "representatives" not in outputs
    if is_partial or not set(outputs) <= set(AGENT_AXIS):
        raise ModelFileError(
            f"model {card.name!r} has the outputs {sorted(outputs)}, expected samples, optionally "
            "mean with covariance, and representatives, optionally with probabilities"
        )
    for name, (have, kind) in {**inputs, **outputs}.items():
        _check_tensor(name, have, kind, card)
    noise_shape, _ = inputs.get("noise", ([None, 1], ""))
    return int(noise_shape[1])


def _check_tensor(name: str, have: list[object], kind: str, card: ModelCard) -> None:
    # None: a dynamic axis; ...: an axis whose length the file fixes.
    expected: dict[str, list[object]] = {
        "observed": [None, card.n_observed, 2],
        "mask": [None, card.n_observed],
        "noise": [None, ...],
        "samples": [None, None, card.n_predicted, 2],
        "mean": [None, card.n_predicted, 2],
        "covariance": [None, card.n_predicted, 2, 2],
        "representatives": [..., None, card.n_predicted, 2],
        "probabilities": [None, ...],
    }
    want = expected[name]
    if kind != "tensor(float)":
        raise ModelFileError(
            f"model {card.name!r}: {name!r} is a {kind}, expected tensor(float): export it in "
            "float32"
        )
    if len(have) != len(want) or not all(map(_axis_fits, have, want)):
        raise ModelFileError(
            f"model {card.name!r}: tensor {name!r} has shape {_shape(have)}, expected "
            f"{_shape(want)}, where any is a dynamic axis: export it so (dynamic_axes or "
            "dynamic_shapes), or write the card again (make_card --overwrite)"
        )


def _axis_fits(have: object, want: object) -> bool:
    if want is None:
        return not isinstance(have, int)
    if want is ...:
        return isinstance(have, int) and 1 <= have <= _MAX_AXIS_LENGTH
    return have == want


def _shape(axes: list[object]) -> str:
    words = ("fixed" if axis is ... else axis if isinstance(axis, int) else "any" for axis in axes)
    return "(" + ", ".join(map(str, words)) + ")"
