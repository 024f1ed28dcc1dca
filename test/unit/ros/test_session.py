"""Loading of what the parameters select."""

from __future__ import annotations

import pytest

from social_implicit_ros.models.onnx_model import OnnxModel
from social_implicit_ros.ros.session_setup import load_model, load_outputs
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer


@pytest.mark.parametrize(
    ("outputs", "use_map", "is_needed"),
    [
        (("pointcloud",), False, False),
        (("pointcloud", "samples"), False, True),
        # With a map, covariances are corrected by means of the samples.
        (("pointcloud",), True, True),
    ],
)
def test_samples_are_drawn_only_if_needed(
    outputs: tuple[str, ...], use_map: bool, is_needed: bool
) -> None:
    config = NodeConfig(outputs=outputs, use_map=use_map)
    model = load_model(config.model)
    load_outputs(model, TransformBuffer(), config)
    assert isinstance(model, OnnxModel)
    assert model.makes_samples == is_needed
