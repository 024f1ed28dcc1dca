"""The package as a library; the README's example runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import social_implicit_ros.api as si
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.types import FloatArray

ROOT = Path(__file__).parents[2]


def walks(n_scenes: int = 3, n_agents: int = 2, n_steps: int = 7) -> list[tuple]:
    """Scenes of people who walk straight, two observed steps and the others to predict."""
    rng = np.random.default_rng(0)
    steps = np.arange(n_steps)[:, None]
    scenes = []
    for _ in range(n_scenes):
        start, velocity = rng.normal(size=(2, n_agents, 1, 2))
        path = start + velocity * steps
        scenes.append((path[:, :2], path[:, 2:]))
    return scenes


def walk() -> FloatArray:
    """(2, 20, 2) displacements of two people, metres."""
    return np.random.default_rng(0).normal(0.4, 0.1, (2, 20, 2))


def straight(observed: FloatArray) -> FloatArray:
    step = observed[:, -1:] - observed[:, -2:-1]
    path = observed[:, -1:] + step * np.arange(1, 6)[:, None]
    offsets = np.array([3.0, 1.0, 0.0, 2.0])[:, None, None, None]
    return path + offsets * [1.0, 0.0]


def test_a_function_is_evaluated_on_scenes_of_any_horizon() -> None:
    found = si.evaluate(straight, walks(), metrics=["minADE_2", "minADE_4", "minFDE_1", "MR_1"])
    assert found == pytest.approx({"minADE_2": 1.0, "minADE_4": 0.0, "minFDE_1": 3.0, "MR_1": 1.0})


def test_a_metric_does_not_depend_on_the_others() -> None:
    """The 20 modes of the default model are not the first 20 of more samples."""
    scenes = [(path[:, :8], path[:, 8:]) for path in (np.cumsum(walk(), axis=1) for _ in range(2))]
    names = ["minADE_20", "JFDE", "minADE_50", "ES", "CR_5", "coverage_95"]
    together = si.evaluate("default", scenes, metrics=names)
    alone = [si.evaluate("default", scenes, metrics=name)[name] for name in names]
    assert list(together) == names
    assert list(together.values()) == alone


def test_distributions_are_evaluated_from_1000_samples() -> None:
    """As evaluate_dataset does: the energy score of 20 modes is that of another distribution."""
    path = np.cumsum(walk(), axis=1)
    scenes = [(path[:, :8], path[:, 8:])]
    names = ["ES", "AMV", "minFDE"]
    found = si.evaluate("default", scenes, metrics=names)
    many, few = (si.evaluate("default", scenes, metrics=names, n_samples=n) for n in (1000, 20))
    assert found == {**many, "minFDE": few["minFDE"]}
    assert found["ES"] != few["ES"]


def test_every_metric_has_a_value_for_a_model_of_the_package() -> None:
    scenes = [(path[:, :8], path[:, 8:]) for path, _ in walks(n_steps=22)]
    whole = [(observed, future) for observed, future in walks(n_steps=20)]
    scenes = [
        (np.concatenate([observed, future[:, :6]], axis=1), future[:, 6:])
        for observed, future in whole
    ]
    found = si.evaluate("default", scenes, metrics=list(si.METRICS))
    assert list(found) == list(si.METRICS)
    assert all(np.isfinite(value) for value in found.values())
    assert found["minADE"] < found["ADE_mean"] + 0.1


@pytest.mark.parametrize(
    ("model", "metrics", "message"),
    [
        (straight, ["minAD"], r"unknown metric 'minAD' \(did you mean minADE\?\)"),
        (straight, ["minADE_20"], "minADE_20 needs 20 samples, got 4"),
        (lambda observed: observed, ["minADE"], r"returns \(2, 2, 2\), expected \(K, A, T, 2\)"),
        (lambda observed: straight(observed)[:, :, :3], ["minADE"], "scene 0: the model predicts"),
        ("defualt", ["minADE"], "no model 'defualt'"),
    ],
)
def test_an_invalid_argument_is_named(model: object, metrics: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        si.evaluate(model, walks(), metrics=metrics)  # type: ignore[arg-type]


def test_without_a_scene_there_is_no_metric() -> None:
    with pytest.raises(ValueError, match="no scene"):
        si.evaluate(straight, [], metrics=["minADE"])


def test_scenes_are_the_windows_of_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "two.txt"
    lines = [f"{10 * t} {who} {t * 0.5} {who}" for t in range(6) for who in (1, 2)]
    path.write_text("\n".join(lines))
    scenes = si.load_scenes(path, n_observed=2, n_predicted=3)
    assert len(scenes) == 2
    observed, future = scenes[1]
    assert observed.shape == (2, 2, 2) and future.shape == (2, 3, 2)
    np.testing.assert_allclose(future[0, :, 0], [1.5, 2.0, 2.5])
    assert si.load_scenes(path, n_observed=2, n_predicted=3, min_agents=3) == []
    path.write_text("no numbers")
    with pytest.raises(RecordingError):
        si.load_scenes(path)


def test_the_package_has_a_version() -> None:
    if si.__version__ == "unknown":
        pytest.skip("runs from a checkout that is not installed")
    assert re.fullmatch(r"\d+\.\d+\.\d+", si.__version__)


def test_the_example_of_the_readme_runs_as_pasted(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    ended = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "minADE_20" in ended.stdout


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        ((np.zeros((1, 2, 2)), np.full((1, 5, 2), np.nan)), "scene 0: the ground truth is not fin"),
        (
            (np.full((1, 2, 2), np.nan), np.zeros((1, 5, 2))),
            "scene 0: the model predicts .* not fi",
        ),
        (np.zeros((3, 2, 2)), "scene 0: 3 entries, expected a pair"),
        ((np.zeros((0, 2, 2)), np.zeros((0, 5, 2))), "scene 0: no agent"),
    ],
)
def test_a_scene_without_a_result_is_named(scene: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        si.evaluate(straight, [scene])


def test_a_model_cannot_change_the_scenes_of_the_next() -> None:
    def changes(observed: FloatArray) -> FloatArray:
        samples = straight(observed)
        observed[:] = 0.0
        return samples

    scenes = walks()
    first, second = (si.evaluate(changes, scenes, metrics="minADE_4") for _ in range(2))
    assert first == second == pytest.approx({"minADE_4": 0.0})


def test_a_recording_of_another_rate_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fast.csv"
    rows = "".join(f"{n / 10},{who},{n},0\n" for n in range(30) for who in (1, 2))
    path.write_text(f"time,id,x,y\n{rows}")
    with pytest.warns(UserWarning, match="frames are 0.1 s apart, but shipped models have steps"):
        assert si.load_scenes(path)


def test_an_error_of_a_model_names_the_scene() -> None:
    unknown = np.full((1, 8, 2), np.nan), np.zeros((1, 12, 2))
    with pytest.raises(ValueError, match="scene 0: agent 0 has NaN"):
        si.evaluate("default", [unknown])


def test_masked_positions_are_unknown() -> None:
    """The numbers under a mask are arbitrary, often 0 or 999999."""
    walk = np.arange(8.0)[None, :, None] * [0.4, 0.0]
    masked = np.ma.array(walk, mask=np.zeros_like(walk, dtype=bool))
    masked[:, :3] = np.ma.masked
    unknown = np.where(np.arange(8)[None, :, None] < 3, np.nan, walk)
    model = si.load_model("default")
    np.testing.assert_array_equal(model.predict(masked).mean, model.predict(unknown).mean)

    future = np.ma.array(np.zeros((1, 12, 2)), mask=np.ones((1, 12, 2), dtype=bool))
    with pytest.raises(ValueError, match="ground truth is not finite"):
        si.evaluate(model, [(walk, future)])
