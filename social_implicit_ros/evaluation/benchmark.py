"""The leave-one-out benchmark on the ETH/UCY recordings: scenes, figures, averages.

What each figure is averaged over follows its source. Over all agents of a split: ade, fde,
mean_ade, mean_fde, miss_rate, energy, nll, coverage_95, r_avg, r_min. Over all scenes of a split:
jade, jfde, collision_rate, amd, amv, kde.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from social_implicit_ros.core.metrics.displacement import best_of_n
from social_implicit_ros.core.predictor import TrajectoryModel
from social_implicit_ros.core.recordings import (
    LEAVE_ONE_OUT,
    N_PREDICTED,
    STEP_S,
    Scene,
    load_recording,
    scenes,
)

#: Figures of one split by name; metres, square metres for amv, nats for kde and nll, else shares.
Figures = dict[str, float]

#: Samples for the figures that describe the whole distribution, as in the reference's evaluation.
DISTRIBUTION_SAMPLES = 1000


class BenchmarkError(ValueError):
    """The benchmark cannot run as asked; the message says why and how to mend it."""


def split_scenes(data: Path, split: str) -> list[Scene]:
    """Every test window of one split.

    Args:
        data: the folder that holds `eth_ucy/all_data`.
        split: a key of `LEAVE_ONE_OUT`.

    Raises:
        BenchmarkError: unknown split, no such folder, or a recording missing or damaged.
    """
    if split not in LEAVE_ONE_OUT:
        raise BenchmarkError(f"unknown split {split!r}: expected one of {', '.join(LEAVE_ONE_OUT)}")
    folder = data / "eth_ucy" / "all_data"
    if not folder.is_dir():
        raise BenchmarkError(
            f"{data} is not the data folder: it has no eth_ucy/all_data; "
            "give the folder that holds the ETH/UCY recordings"
        )
    found: list[Scene] = []
    for name in LEAVE_ONE_OUT[split]:
        try:
            found.extend(scenes(load_recording(folder / f"{name}.txt")))
        except FileNotFoundError as error:
            raise BenchmarkError(
                f"{folder} lacks {name}.txt, which split {split!r} is tested on"
            ) from error
        except ValueError as error:
            raise BenchmarkError(str(error)) from error
    if not found:
        raise BenchmarkError(f"split {split!r} of {data} holds no window with two agents")
    return found


def evaluate_split(
    model: TrajectoryModel,
    test_scenes: Sequence[Scene],
    *,
    n_samples: int = 20,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Figures:
    """ADE and FDE of a model, best of `n_samples`.

    Args:
        model: predicting 12 steps of 0.4 s.
        test_scenes: from `split_scenes`.
        n_samples: K.
        seed: of the run; every scene draws its own noise from it.
        advance: called after every scene.

    Returns:
        `ade` and `fde` in metres.

    Raises:
        BenchmarkError: a model of another horizon or step.
    """
    require_benchmark_model(model)
    per_agent = []
    for index, scene in enumerate(test_scenes):
        prediction = model.predict(
            scene.observed, n_samples=n_samples, seed=scene_seed(seed, index)
        )
        per_agent.append(best_of_n(prediction.samples, scene.future))
        advance()
    ade, fde = np.concatenate(per_agent, axis=1).mean(axis=1)
    return {"ade": float(ade), "fde": float(fde)}


def average_figures(splits: Iterable[Mapping[str, float]]) -> Figures:
    """The mean over splits of every figure that all of them have."""
    rows = list(splits)
    names = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: float(np.mean([row[name] for row in rows])) for name in names}


def scene_seed(seed: int, index: int) -> int:
    """Seed of one scene's draws: other noise in every scene, and none shared between runs."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def require_benchmark_model(model: TrajectoryModel) -> None:
    """Raises BenchmarkError unless the model predicts the benchmark's horizon at its rate."""
    if model.n_predicted != N_PREDICTED or abs(model.step_s - STEP_S) > 1e-9:
        raise BenchmarkError(
            f"model {model.name!r} predicts {model.n_predicted} steps of {model.step_s} s; "
            f"the benchmark needs {N_PREDICTED} steps of {STEP_S} s"
        )
