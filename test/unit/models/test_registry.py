import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.models.model_file import ModelFileError
from social_implicit_ros.models.registry import (
    BASELINES,
    DEFAULT_MODEL,
    fingerprint_of,
    load_model,
    model_path,
    shipped_models,
)

SPLITS = ("eth", "hotel", "univ", "zara1", "zara2")


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_need_no_file(name: str) -> None:
    model = load_model(name)

    assert isinstance(model, ConstantVelocity)
    assert model.name == name


def test_an_unknown_name_suggests_the_nearest_and_lists_all() -> None:
    with pytest.raises(
        ModelFileError, match=r"no model 'constant_velocty' \(did you mean"
    ) as caught:
        load_model("constant_velocty")
    assert all(name in str(caught.value) for name in (*BASELINES, *shipped_models(), "default"))
    with pytest.raises(ModelFileError, match="no model 'xyz': give the path"):
        load_model("xyz")
    with pytest.raises(ModelFileError, match="constant_velocity is a baseline, which has no file"):
        model_path("constant_velocity")


@pytest.mark.parametrize("name", [*BASELINES, "default"])
@pytest.mark.parametrize("n_agents", [0, 1])
def test_zero_samples_are_rejected_by_every_model(name: str, n_agents: int) -> None:
    with pytest.raises(ValueError, match="n_samples is 0, expected 1 or more"):
        load_model(name).predict(np.zeros((n_agents, 8, 2)), n_samples=0)


def test_every_model_file_has_its_own_fingerprint() -> None:
    prints = [fingerprint_of(load_model(name)) for name in shipped_models()]

    assert len(set(prints)) == len(prints) and all(prints)
    assert fingerprint_of(ConstantVelocity()) == ""


def test_the_models_of_the_paper_are_shipped() -> None:
    names = {"social_implicit", *(f"social_implicit_{split}" for split in SPLITS)}

    assert names <= set(shipped_models())


@pytest.mark.parametrize("name", shipped_models())
def test_every_shipped_model_predicts_from_two_observations_on(name: str) -> None:
    walking = np.arange(8)[:, None] * np.array([0.5, 0.0])
    standing = np.tile([3.0, 1.0], (8, 1))
    observed = np.stack([walking, standing])
    observed[0, :6] = np.nan

    model = load_model(name)
    prediction = model.predict(observed, n_samples=20)

    assert prediction.samples.shape == (20, 2, model.n_predicted, 2)
    assert np.isfinite(prediction.samples).all()
    # The mean of the walking agent is nearer to extrapolation than to standing, and vice versa.
    end = prediction.mean[:, -1]
    walked_on = observed[0, -1] + model.n_predicted * np.array([0.5, 0.0])
    assert np.linalg.norm(end[0] - walked_on) < np.linalg.norm(end[0] - observed[0, -1])
    assert np.linalg.norm(end[1] - standing[-1]) < 1.0


def test_a_model_file_is_loaded_by_its_path() -> None:
    path = model_path("default")
    assert load_model(path).name == load_model(str(path)).name == DEFAULT_MODEL


def test_an_unknown_model_is_a_model_file_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no model"):
        load_model("nobody")
    with pytest.raises(ModelFileError, match=r"no model '.*gone\.onnx'"):
        load_model(tmp_path / "gone.onnx")


def test_loading_a_model_leaves_no_trace_outside(tmp_path: Path) -> None:
    """onnxruntime 1.29 and later write a device id for the telemetry of its vendor."""
    program = (
        "from social_implicit_ros.models.registry import load_model\n"
        "import numpy as np\n"
        "load_model('default').predict(np.zeros((1, 8, 2)))\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    command = [sys.executable, "-c", program]
    if strace := shutil.which("strace"):
        command = [strace, "-f", "-qq", "-e", "trace=connect,sendto", "-o", "/dev/stderr", *command]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert list(tmp_path.rglob("*")) == []
    assert "AF_INET" not in ended.stderr
