"""`report.html` of a navigation study: the frontier, and three animated episodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from social_implicit_ros.evaluation.navigation.crowd import ORACLE, SUBSTEPS, VELOCITY, Crowd
from social_implicit_ros.evaluation.navigation.drive import Drives, Episodes, RecordedCrowd, drive
from social_implicit_ros.evaluation.navigation.study import Study
from social_implicit_ros.evaluation.output_files import filled_page
from social_implicit_ros.types import FloatArray

N_EPISODES = 3
#: People farther than this from the middle of an episode are not drawn, metres.
_VIEW_M = 12.0


def write_page(out: Path, results: Mapping[str, Any], study: Study) -> None:
    """Writes the page of `results.json`; it shows test episodes of the first recording."""
    data = {"results": results, "episodes": _animated(study)}
    out.write_text(filled_page(__package__, "page.html", data), encoding="utf-8")


def _animated(study: Study) -> list[dict[str, Any]]:
    """The episodes in which predictors differ most in the smallest distance to people."""
    crowd, trial, episodes = study.crowds[0], study.trial, study.episodes["test"][0]
    regions = next(name for name in crowd.beliefs if name.endswith("regions"))
    drives = {}
    for name in (VELOCITY, regions, ORACLE):
        setting = study.chosen(trial.planners[0], name)
        world = RecordedCrowd(crowd, crowd.beliefs[name], episodes, setting, trial.contact_m)
        drives[name] = drive(world, trial.robot)
    least_m = np.array([of.gap_m.min(axis=1) for of in drives.values()])
    least_m = np.where(np.isfinite(least_m), least_m, 0.0)
    shown = np.argsort(np.ptp(least_m, axis=0))[::-1][:N_EPISODES]
    return [_episode(crowd, episodes, drives, int(row)) for row in shown]


def _episode(
    crowd: Crowd, episodes: Episodes, drives: Mapping[str, Drives], row: int
) -> dict[str, Any]:
    n_ticks = int(max(of.n_ticks[row] for of in drives.values()))
    first = int(episodes.ticks[row]) * SUBSTEPS
    people_m = crowd.present_m[first : first + n_ticks * SUBSTEPS + 1 : SUBSTEPS]
    middle_m = 0.5 * (episodes.start_m[row] + episodes.goal_m[row])
    near = [
        frame[np.linalg.norm(frame - middle_m, axis=1) < _VIEW_M] - middle_m for frame in people_m
    ]
    return {
        "period_s": crowd.period_s,
        "people": [_rounded(frame) for frame in near],
        "start": _rounded(episodes.start_m[row] - middle_m),
        "goal": _rounded(episodes.goal_m[row] - middle_m),
        "robots": {
            name: {
                "path": _rounded(of.states[row, : n_ticks + 1, :2] - middle_m),
                "collides": bool((of.gap_m[row] < 0.0).any()),
                "seconds": round(float(of.n_ticks[row]) * crowd.period_s, 1),
            }
            for name, of in drives.items()
        },
    }


def _rounded(values_m: FloatArray) -> list[Any]:
    rounded: list[Any] = np.round(values_m, 2).tolist()
    return rounded
