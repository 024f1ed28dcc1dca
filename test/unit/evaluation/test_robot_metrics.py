from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from social_implicit_ros.evaluation.benchmark.leave_one_out import (
    OVER_KALMAN,
    ROBOT_ROWS,
    is_fast,
    robot_metrics,
)
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.recordings.text_formats.robot_recordings import (
    robot_recordings,
    robot_windows,
)

SPEED_M_S = 1.25


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two folders: a person at 10 Hz with a gap, and one observed at irregular times."""
    rng = np.random.default_rng(0)
    fast_ms = np.delete(np.arange(0, 20_100, 100), np.arange(60, 70))
    slow_ms = np.cumsum(rng.integers(350, 410, 40))
    for name, times_ms in (("fast", fast_ms), ("slow", slow_ms)):
        folder = tmp_path / "robot" / name
        folder.mkdir(parents=True)
        lines = [f"{ms}\t7\t{SPEED_M_S * ms / 1000.0}\t2.0" for ms in times_ms]
        (folder / "a.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_windows_are_at_the_model_rate_and_never_span_a_gap(data: Path) -> None:
    recordings = robot_recordings(data)
    assert sorted(recordings) == ["fast", "slow"]
    windows = {name: list(robot_windows(one)) for name, (one,) in recordings.items()}
    for of_kind in windows.values():
        assert len(of_kind) > 1
        for scene, fast in of_kind:
            assert scene.positions_m.shape == (1, 20, 2)
            np.testing.assert_allclose(np.diff(scene.positions_m[0, :, 0]), 0.4 * SPEED_M_S)
            assert fast.shape == (1, 29, 2)
            np.testing.assert_allclose(fast[0, -1], scene.observed[0, -1])
    starts_ms = np.array([scene.frame for scene, _ in windows["fast"]])
    ends_ms = starts_ms + 19 * 400
    assert not ((starts_ms < 6_900) & (ends_ms > 6_000)).any()


def test_constant_velocity_is_exact_for_straight_walks(data: Path) -> None:
    recordings = robot_recordings(data)
    assert is_fast(recordings["fast"])
    assert not is_fast(recordings["slow"])
    metrics = robot_metrics(ConstantVelocity(), recordings["fast"], n_samples=1, seed=0)
    assert list(metrics) == [name for name in ROBOT_ROWS if name in metrics]
    assert metrics["mean_fde"] == pytest.approx(0.0, abs=1e-9)
    slow = robot_metrics(ConstantVelocity(), recordings["slow"], n_samples=1, seed=0)
    assert OVER_KALMAN not in slow
