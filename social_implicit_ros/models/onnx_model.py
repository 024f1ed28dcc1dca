"""A trajectory model stored as ONNX, run by onnxruntime on one thread.

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

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.card import ModelCard, load_card
from social_implicit_ros.models.coupling import Coupling
from social_implicit_ros.models.features import (
    Float32Array,
    ModelInput,
    model_input_from_observed,
    samples_from_model_output,
)
from social_implicit_ros.models.noise import standard_normal
from social_implicit_ros.models.onnx_file import check_onnx_file
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, Prediction
from social_implicit_ros.uncertainty.calibration import Calibration, observed_motion
from social_implicit_ros.uncertainty.ellipses import sample_moments
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


class OnnxModel(TrajectoryModel):
    """A model file with its card.

    Attributes:
        makes_samples: whether predictions have samples. Without samples, a prediction has the same
            mean and covariance and takes half the time. Files without these outputs always make
            samples.
    """

    makes_samples = True

    def __init__(self, session: onnxruntime.InferenceSession, card: ModelCard) -> None:
        self.card = card
        self.name, self.step_s = card.name, card.step_s
        self.n_observed, self.n_predicted = card.n_observed, card.n_predicted
        self.noise_dimension = _check_signature(session, card)
        outputs = {entry.name: entry.shape for entry in session.get_outputs()}
        self._inputs = [entry.name for entry in session.get_inputs()]
        self._outputs = list(outputs)
        self._session = session
        self._n_representatives = int(outputs.get("representatives", [0])[0])
        try:
            self._calibration = (
                Calibration.from_dict(card.calibration) if card.calibration else None
            )
            self._coupling = Coupling.from_dict(card.coupling) if card.coupling else None
        except ValueError as error:
            raise ModelFileError(f"model {card.name!r}: {error}; export it again") from error
        if self._calibration is not None and self._calibration.n_steps != card.n_predicted:
            raise ModelFileError(
                f"model {card.name!r}: its calibration has {self._calibration.n_steps} steps, "
                f"the model {card.n_predicted}; export it again"
            )

    @classmethod
    def load(cls, path: Path) -> OnnxModel:
        """Loads a model file; see `registry.load_model` for shipped models by name.

        Args:
            path: path of an `.onnx` file; its card is the `.json` file beside it.

        Raises:
            ModelFileError: no such file, wrong checksum or card, not ONNX, or tensors that do not
                follow the contract.
        """
        data, card = _load_checked(path)
        return cls(open_session(data, path), card)

    def _predicted(
        self, observed: FloatArray, n_samples: int, seed: int, planned_m: FloatArray | None
    ) -> Prediction:
        """Predicts by the file.

        Raises:
            ModelFileError: the file fails while running, or an output has a wrong shape.
        """
        if len(observed) == 0:
            samples = np.zeros((n_samples, 0, self.n_predicted, 2))
            mean, covariance = sample_moments(samples)
            return Prediction(samples, mean, covariance, self.step_s)
        if not self.makes_samples and "mean" in self._outputs:
            n_samples = 0
        are_drawn = not self._has_representatives(n_samples)
        tensors = model_input_from_observed(observed, self.n_observed)
        output = self.forward(tensors, self.noise(n_samples, seed))
        futures = output["samples" if are_drawn else "representatives"]
        samples = samples_from_model_output(futures[:n_samples], tensors.last_m)
        probabilities = np.empty(0)
        if not are_drawn and "probabilities" in output:
            probabilities = output["probabilities"].T.astype(np.float64)
            probabilities /= probabilities.sum(axis=0)
        if "mean" in output:
            mean = output["mean"].astype(np.float64) + tensors.last_m[:, None]
            covariance = output["covariance"].astype(np.float64)
        else:
            mean, covariance = sample_moments(samples)
        radius_scales = None
        if self._calibration is not None:
            motion = observed_motion(tensors.observed, tensors.mask, self.step_s)
            covariance, radius_scales = self._calibration.calibrated(covariance, motion)
            if are_drawn and n_samples:
                samples = self._calibration.spread(samples, mean, motion)
        mean, samples = self._coupled(mean, samples, tensors.last_m, planned_m)
        return Prediction(samples, mean, covariance, self.step_s, radius_scales, probabilities)

    def _coupled(
        self,
        mean: FloatArray,
        samples: FloatArray,
        last_m: FloatArray,
        planned_m: FloatArray | None,
    ) -> tuple[FloatArray, FloatArray]:
        """Mean paths and samples, with the plans in place of predictions, after the coupling."""
        fixed: BoolArray | None = None
        if planned_m is not None:
            fixed = np.asarray(np.isfinite(planned_m).all(axis=(1, 2)))
            mean, samples = (
                np.where(fixed[:, None, None], planned_m, paths) for paths in (mean, samples)
            )
        if self._coupling is not None:
            mean, samples = self._coupling.made_way(mean, samples, last_m, fixed)
            if len(samples):
                samples = self._coupling.kept_apart(samples, last_m, fixed)
        return mean, samples

    def noise(self, n_samples: int, seed: int = 0) -> Float32Array:
        """(K, D) noise; a single row if no samples are drawn: for none, or for the modes."""
        if n_samples == 0 or self._has_representatives(n_samples):
            # Its sample is not used.
            return np.zeros((1, self.noise_dimension), dtype=np.float32)
        return standard_normal(n_samples, self.noise_dimension, seed, self.card.noise_sequence)

    def _has_representatives(self, n_samples: int) -> bool:
        return 0 < n_samples == self._n_representatives

    def forward(self, tensors: ModelInput, noise: Float32Array) -> dict[str, Float32Array]:
        """Runs the graph only.

        Args:
            tensors: inputs of A agents.
            noise: (K, D) standard normal draws.

        Returns:
            The outputs by name, see the module's docstring.

        Raises:
            ModelFileError: the file fails while running, or an output has a wrong shape.
        """
        range_m = self.card.interaction_range_m
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
                f"model {self.name!r} failed while running: {error}. Export it again."
            ) from error
        for name, values in outputs.items():
            if values.shape != shapes[name]:
                raise ModelFileError(
                    f"model {self.name!r}: output {name} has shape {values.shape}, expected "
                    f"{shapes[name]}. Export it again."
                )
        return outputs

    def _shapes(self, n_samples: int, n_agents: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs that the file has."""
        n_steps = self.n_predicted
        shapes = {
            "samples": (n_samples, n_agents, n_steps, 2),
            "mean": (n_agents, n_steps, 2),
            "covariance": (n_agents, n_steps, 2, 2),
            "representatives": (self._n_representatives, n_agents, n_steps, 2),
            "probabilities": (n_agents, self._n_representatives),
        }
        return {name: shapes[name] for name in self._outputs}


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


def _load_checked(path: Path) -> tuple[bytes, ModelCard]:
    """The content of a model file and its card, after comparing the checksums."""
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


def _check_signature(session: onnxruntime.InferenceSession, card: ModelCard) -> int:
    """Checks names, types and shapes against the contract; returns the noise dimension D."""
    try:
        inputs, outputs = (
            {entry.name: (list(entry.shape), entry.type) for entry in entries}
            for entries in (session.get_inputs(), session.get_outputs())
        )
    except UnicodeDecodeError as error:
        raise ModelFileError(
            f"model {card.name!r}: a name in the file is not UTF-8 ({error}); export it again"
        ) from error
    tensors = {**inputs, **outputs}
    if not {"observed"} <= set(inputs) <= set(INPUTS):
        raise ModelFileError(
            f"model {card.name!r} has the inputs {sorted(inputs)}, expected observed and, where "
            "used, mask and noise: name them when you export (input_names)"
        )
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
    for name, want in expected.items():
        if name != "samples" and name not in tensors:
            continue
        if name not in tensors:
            raise ModelFileError(f"model {card.name!r} has no output {name!r}; export it again")
        have, kind = tensors[name]
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
    unknown = set(tensors) - set(expected)
    is_partial = ("mean" in tensors) != ("covariance" in tensors)
    is_partial |= "probabilities" in tensors and "representatives" not in tensors
    if unknown or is_partial:
        raise ModelFileError(
            f"model {card.name!r} has the outputs {sorted(outputs)}, expected samples, optionally "
            "mean with covariance, and representatives, optionally with probabilities"
        )
    noise_shape, _ = inputs.get("noise", ([None, 1], ""))
    return int(noise_shape[1])


def _axis_fits(have: object, want: object) -> bool:
    if want is None:
        return not isinstance(have, int)
    if want is ...:
        return isinstance(have, int) and 1 <= have <= _MAX_AXIS_LENGTH
    return have == want


def _shape(axes: list[object]) -> str:
    words = ("fixed" if axis is ... else axis if isinstance(axis, int) else "any" for axis in axes)
    return "(" + ", ".join(map(str, words)) + ")"
