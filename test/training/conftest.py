"""A small crowd, as scenes and as a data folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from social_implicit_ros.recordings.text_formats.eth_ucy import RECORDINGS

N_STEPS = 20


def crowd(n_scenes: int, seed: int = 0) -> list[np.ndarray]:
    """Scenes of 2 to 5 agents that walk, stroll or stand."""
    generator = np.random.default_rng(seed)
    scenes = []
    for _ in range(n_scenes):
        n_agents = generator.integers(2, 6)
        start = generator.uniform(-5, 5, (n_agents, 1, 2))
        speed = generator.choice([0.0, 0.05, 0.5, 1.5], (n_agents, 1, 1))
        heading = generator.uniform(0, 2 * np.pi, (n_agents, 1))
        direction = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
        steps = speed * direction + 0.05 * speed * generator.standard_normal((n_agents, N_STEPS, 2))
        scenes.append(start + steps.cumsum(axis=1))
    return scenes


@pytest.fixture()
def small_crowd() -> list[np.ndarray]:
    return crowd(24)


@pytest.fixture()
def data_folder(tmp_path: Path) -> Path:
    """All recordings of the benchmark, with three synthetic people each."""
    for part, n_frames in (("train", 26), ("val", 22)):
        folder = tmp_path / "eth_ucy" / part
        folder.mkdir(parents=True)
        for seed, name in enumerate(RECORDINGS):
            write_recording(folder / f"{name}_{part}.txt", n_frames, seed)
    whole = tmp_path / "eth_ucy" / "all_data"
    whole.mkdir()
    for seed, name in enumerate(RECORDINGS):
        write_recording(whole / f"{name}.txt", 24, seed)
    (tmp_path / "eth_true_rate").mkdir()
    write_recording(tmp_path / "eth_true_rate" / "seq_eth.txt", 120, 99, frames_per_step=6)
    return tmp_path


def write_recording(path: Path, n_frames: int, seed: int, frames_per_step: int = 10) -> None:
    generator = np.random.default_rng(seed)
    start = generator.uniform(-5, 5, (3, 2))
    velocity = generator.uniform(-0.5, 0.5, (3, 2))
    lines = [
        f"{step * frames_per_step}\t{person + 1}\t{x:.3f}\t{y:.3f}"
        for step in range(n_frames)
        for person, (x, y) in enumerate(start + step * velocity)
    ]
    path.write_text("\n".join(lines) + "\n")
