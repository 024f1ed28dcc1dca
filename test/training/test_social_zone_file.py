"""A model file contains the weights that it was written from."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")
onnx = pytest.importorskip("onnx", reason="onnx comes with `make test-training`")

from social_implicit_ros.models.card import ModelCard, load_card  # noqa: E402
from social_implicit_ros.models.model_file import ModelFileError  # noqa: E402
from social_implicit_ros.models.onnx_model import OnnxModel  # noqa: E402
from social_implicit_ros.models.registry import model_path, shipped_models  # noqa: E402
from social_implicit_ros.training.export import save_model  # noqa: E402
from social_implicit_ros.training.social_zone.file import read_social_zone  # noqa: E402
from social_implicit_ros.training.social_zone.graph import social_zone_graph  # noqa: E402
from social_implicit_ros.training.social_zone.model import SocialZone, SocialZoneSizes  # noqa: E402

pytestmark = pytest.mark.training

SHIPPED = [name for name in shipped_models() if name.startswith("social_zone")]


def card_of(name: str) -> ModelCard:
    return load_card(model_path(name).with_suffix(".json"))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_model_read_from_a_shipped_file_predicts_like_the_file(name: str, tmp_path: Path) -> None:
    model = read_social_zone(model_path(name), card_of(name))
    again = save_model(
        social_zone_graph(model),
        tmp_path / "again.onnx",
        architecture="social_zone",
        description="",
        parameters=0,
        noise_sequence="sobol",
        calibration=card_of(name).calibration,
        coupling=card_of(name).coupling,
    )
    walks = np.random.default_rng(0).normal(0.3, 0.2, (20, 8, 2)).cumsum(axis=1)
    walks[:5, :4] = np.nan  # short histories
    walks[5:8] = walks[5:8, :1]  # standing people
    for n_samples in (20, 100):  # modes, and samples
        before, after = (
            OnnxModel.load(path).predict(walks, n_samples=n_samples)
            for path in (model_path(name), tmp_path / f"{again.name}.onnx")
        )
        for part in ("samples", "mean", "covariance"):
            np.testing.assert_allclose(getattr(after, part), getattr(before, part), atol=1e-3)


@pytest.mark.parametrize("sizes", [SocialZoneSizes(social=0), SocialZoneSizes(hidden=16, rank=3)])
def test_weights_survive_writing_and_reading(tmp_path: Path, sizes: SocialZoneSizes) -> None:
    torch.manual_seed(3)
    model = SocialZone(sizes)
    model.trust = 0.5
    path = tmp_path / "mine.onnx"
    onnx.save(social_zone_graph(model), path)
    training = {"sizes": vars(sizes), "settings": {"trust": 0.5}}

    found = read_social_zone(path, replace(card_of("social_zone"), training=training))

    assert found.trust == 0.5
    for (name, ours), theirs in zip(model.named_parameters(), found.parameters(), strict=True):
        np.testing.assert_allclose(
            ours.detach(), theirs.detach(), rtol=1e-5, atol=1e-6, err_msg=name
        )


def test_another_architecture_is_rejected_with_its_name() -> None:
    name = "social_implicit"
    with pytest.raises(ModelFileError, match="'social_implicit' is a social_implicit; only models"):
        read_social_zone(model_path(name), card_of(name))


def test_a_card_without_training_parameters_is_rejected() -> None:
    card = replace(card_of("social_zone"), training={"sizes": {"hidden": 40}})
    with pytest.raises(ModelFileError, match="lacks training parameters"):
        read_social_zone(model_path("social_zone"), card)


@pytest.mark.parametrize("sizes", [{"rank": 3}, {"social": 0}, {"social_range_m": 2.0}])
def test_a_file_that_does_not_match_its_card_is_rejected(sizes: dict[str, float]) -> None:
    card = card_of("social_zone")
    training = {**card.training, "sizes": {**card.training["sizes"], **sizes}}
    with pytest.raises(ModelFileError, match="was not written by this version"):
        read_social_zone(model_path("social_zone"), replace(card, training=training))


def test_weights_that_are_not_those_of_the_graph_are_rejected(tmp_path: Path) -> None:
    file = onnx.load(model_path("social_zone"))
    (entry,) = (entry for entry in file.metadata_props if entry.key == "weights")
    weights = np.frombuffer(base64.b64decode(entry.value), dtype="<f4").copy()
    weights[100] += 0.1
    entry.value = base64.b64encode(weights.tobytes()).decode()
    onnx.save(file, tmp_path / "other.onnx")

    with pytest.raises(ModelFileError, match="was not written by this version"):
        read_social_zone(tmp_path / "other.onnx", card_of("social_zone"))
