"""Writes Social-Zone to a model file, and reads it again for further training.

The constants of the graph are computed from the weights; the weights are in the file's metadata.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from social_implicit_ros.models.card import ModelCard
from social_implicit_ros.models.model_file import MAX_FILE_BYTES, ModelFileError, open_session
from social_implicit_ros.training.export import save_model
from social_implicit_ros.training.social_zone.evaluate import accuracy
from social_implicit_ros.training.social_zone.fit import Agents
from social_implicit_ros.training.social_zone.graph import (
    N_CHOICE,
    N_FLOOR,
    WEIGHTS,
    SocialZoneGraph,
    social_zone_graph,
)
from social_implicit_ros.training.social_zone.model import (
    N_OBSERVED,
    SocialZone,
    SocialZoneSizes,
    live_parameters,
)
from social_implicit_ros.types import Float32Array
from social_implicit_ros.uncertainty.calibration import Calibration
from social_implicit_ros.untrusted_files import read_file

ARCHITECTURE = "social_zone"
#: Tolerance of predictions, whose rounding depends on the machine, metres and square metres.
_ROUNDING_M = 1e-3


def save_social_zone(
    model: SocialZone,
    path: Path,
    *,
    validation: Agents,
    calibration: Calibration,
    training: Mapping[str, Any],
    **fields: Any,
) -> ModelCard:
    """Writes a model file and its card with errors on the validation scenes.

    `fields` are further fields of the card.
    """
    return save_model(
        social_zone_graph(model),
        path,
        architecture=ARCHITECTURE,
        parameters=live_parameters(model),
        interaction_range_m=model.sizes.social_range_m,
        training={**training, "sizes": asdict(model.sizes), "torch": torch.__version__},
        metrics={"validation": asdict(accuracy(model, validation))},
        calibration=calibration.to_dict(),
        **fields,
    )


def read_social_zone(path: Path, card: ModelCard) -> SocialZone:
    """Reads a model from its file; raises ModelFileError if it was not written by this package."""
    if card.architecture != ARCHITECTURE:
        raise ModelFileError(
            f"model {card.name!r} is a {card.architecture}; only models of the architecture "
            f"{ARCHITECTURE} can be trained further, such as the default"
        )
    sizes, trust = _made_with(card)
    model = SocialZone(sizes)
    model.trust = trust
    session = open_session(read_file(path, MAX_FILE_BYTES), path)
    text = session.get_modelmeta().custom_metadata_map.get(WEIGHTS, "")
    weights = np.frombuffer(base64.b64decode(text), dtype="<f4")
    is_ours = len(weights) == sum(values.numel() for values in model.parameters())
    if is_ours:
        torch.nn.utils.vector_to_parameters(torch.from_numpy(weights.copy()), model.parameters())
        feed = _example(N_CHOICE + sizes.spread + N_FLOOR)
        # The graph in the file must compute the same as the weights.
        ours = SocialZoneGraph(model)(*map(torch.from_numpy, feed.values()))
        theirs = session.run([entry.name for entry in session.get_outputs()], feed)
        is_ours = len(theirs) == len(ours) and all(
            found.shape == expected.shape and np.allclose(found, expected, atol=_ROUNDING_M)
            for found, expected in zip(theirs, ours, strict=True)
        )
    if not is_ours:
        raise ModelFileError(
            f"{path} was not written by this version of the package: train it again, or use the "
            "version that wrote it"
        )
    return model.eval()


def _example(n_noise: int) -> dict[str, Float32Array]:
    """Inputs of a model file: people who walk close to each other, some with short histories.

    The noise of the only sample is zero, so that rounding cannot select another mode.
    """
    generator = np.random.default_rng(0)
    tensors = {
        "observed": generator.normal(0.1, 0.2, (20, N_OBSERVED, 2)).cumsum(axis=1),
        "mask": np.arange(N_OBSERVED) >= generator.integers(0, N_OBSERVED - 1, (20, 1)),
        "noise": np.zeros((1, n_noise)),
    }
    return {name: values.astype(np.float32) for name, values in tensors.items()}


def _made_with(card: ModelCard) -> tuple[SocialZoneSizes, float]:
    """Sizes and trust from the card."""
    made: Mapping[str, Any] = card.training
    try:
        return SocialZoneSizes(**made["sizes"]), float(made["settings"]["trust"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"the card of model {card.name!r} lacks training parameters ({error!r}): expected "
            "sizes and settings.trust"
        ) from error
