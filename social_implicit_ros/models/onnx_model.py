"""A trajectory model stored as ONNX; `models.model_file` has the contract of its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.card import ModelCard
from social_implicit_ros.models.coupling import Coupling
from social_implicit_ros.models.features import model_input_from_observed, samples_from_model_output
from social_implicit_ros.models.model_file import (
    ModelFile,
    ModelFileError,
    load_checked,
    open_session,
)
from social_implicit_ros.models.noise import standard_normal
from social_implicit_ros.types import BoolArray, Float32Array, FloatArray, Prediction
from social_implicit_ros.uncertainty.calibration import Calibration, observed_motion
from social_implicit_ros.uncertainty.ellipses import sample_moments


class OnnxModel(TrajectoryModel):
    """A model file with its card.

    Attributes:
        card: the card.
        file: the graph of the file.
        makes_samples: whether predictions have samples. Without samples, a prediction has the same
            mean and covariance and takes half the time. Files without these outputs always make
            samples.
    """

    makes_samples = True

    def __init__(self, session: onnxruntime.InferenceSession, card: ModelCard) -> None:
        self.card = card
        self.name, self.step_s = card.name, card.step_s
        self.n_observed, self.n_predicted = card.n_observed, card.n_predicted
        self.file = ModelFile(session, card)
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
        data, card = load_checked(path)
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
        if not self.makes_samples and "mean" in self.file.outputs:
            n_samples = 0
        are_drawn = not self._has_representatives(n_samples)
        tensors = model_input_from_observed(observed, self.n_observed)
        output = self.file.run(tensors, self.noise(n_samples, seed))
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
            return np.zeros((1, self.file.noise_dimension), dtype=np.float32)
        return standard_normal(n_samples, self.file.noise_dimension, seed, self.card.noise_sequence)

    def _has_representatives(self, n_samples: int) -> bool:
        return 0 < n_samples == self.file.n_representatives
