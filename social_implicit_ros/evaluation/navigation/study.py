"""Drives the episodes of recordings with each predictor and planner setting, and compares them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np

from social_implicit_ros.evaluation.navigation.crowd import ORACLE, VELOCITY, Belief, Crowd
from social_implicit_ros.evaluation.navigation.drive import (
    Episodes,
    RecordedCrowd,
    World,
    draw_episodes,
    drive,
    episode_metrics,
)
from social_implicit_ros.evaluation.navigation.planners import CHANCE, COSTMAP, EXPECTED, Setting
from social_implicit_ros.evaluation.navigation.reactive import ReactiveCrowd
from social_implicit_ros.evaluation.navigation.robot import DT_S, N_STEPS, Robot
from social_implicit_ros.types import FloatArray, IntArray

#: Parts of a recording, which share no moment: settings are chosen on one and scored on the other.
PARTS = {"tuning": (0.0, 0.5), "test": (0.5, 1.0)}
#: The episodes of the test part among people who react to the robot.
REACTIVE = "reactive"
#: Radius of a person who is hit, metres.
PERSON_RADIUS_M = 0.25
CONFIDENCES = (0.5, 0.8, 0.95)
#: Added to the radii: people move between two planned steps. With regions and without.
REGION_MARGINS_M, MARGINS_M = (0.1, 0.3), (0.1, 0.2, 0.3, 0.4, 0.6)
HORIZONS_S = (1.2, 2.4, 4.8)
WEIGHTS_M = (2.0, 5.0, 12.0)
#: Frontier: the fewest collisions of the settings that take at most so many times the straight
#: line's time.
TIMES = (1.15, 1.25, 1.4, 1.6)
#: Episodes that start within this time are one draw of the bootstrap, as they meet equal people.
BLOCK_S = 20.0
_N_BOOTSTRAPS = 2000
#: With fewer blocks each episode is a draw of its own.
_MIN_BLOCKS = 5

#: Metric -> (E,) values.
Metrics = dict[str, FloatArray]


@dataclass(frozen=True)
class Trial:
    """A robot, the size of people, and how many episodes are driven.

    Attributes:
        robot: its size and limits.
        person_radius_m: metres.
        n_episodes: in each part of a recording.
        seed: of the episodes.
        planners: of `chance`, `expected` and `costmap`.
        confidences, horizons_s: of the settings.
        brakes: see `Setting`.
        attentive: share of the people who make way for the robot in a crowd that reacts; None for
            recorded people only.
    """

    robot: Robot
    person_radius_m: float
    n_episodes: int
    seed: int
    planners: tuple[str, ...]
    confidences: tuple[float, ...] = CONFIDENCES
    horizons_s: tuple[float, ...] = HORIZONS_S
    brakes: bool = False
    attentive: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.person_radius_m <= 100.0:
            raise ValueError(f"person radius is {self.person_radius_m} m, expected 0 to 100")
        for confidence in self.confidences:
            if not 0.0 < confidence < 1.0:
                raise ValueError(f"confidence is {confidence}, expected a value in (0, 1)")
        for horizon_s in self.horizons_s:
            if not DT_S <= horizon_s <= DT_S * N_STEPS:
                raise ValueError(f"horizon is {horizon_s} s, expected {DT_S} to {DT_S * N_STEPS:g}")
        if self.attentive is not None and not 0.0 <= self.attentive <= 1.0:
            raise ValueError(f"reactive is {self.attentive}, expected a share from 0 to 1")

    @property
    def contact_m(self) -> float:
        """Distance of the centres of robot and person in contact, metres."""
        return self.robot.radius_m + self.person_radius_m


def settings_of(belief: Belief, planner: str, trial: Trial) -> list[Setting]:
    """The settings that are compared for a predictor, in the order of the frontier."""
    is_certain = not belief.has_regions and belief.weights.shape[1] == 1
    confidence = None if is_certain else trial.confidences[-1]
    if planner == CHANCE and is_certain:
        longest = Setting(planner, DT_S * N_STEPS, brakes=trial.brakes)
        return [replace(longest, margin_m=margin_m) for margin_m in MARGINS_M]
    settings = []
    for horizon_s in trial.horizons_s:
        at = Setting(planner, horizon_s, confidence, REGION_MARGINS_M[0], brakes=trial.brakes)
        if planner != CHANCE:
            settings += [replace(at, weight_m=weight_m) for weight_m in WEIGHTS_M]
        else:
            settings += [
                replace(at, confidence=c, margin_m=margin_m)
                for c in trial.confidences
                for margin_m in REGION_MARGINS_M
            ]
    return settings


@dataclass
class Study:
    """Metrics of all episodes, one recording after another.

    On the tuning part all settings are driven, on the test part those of `chosen` and `frontier`.

    Attributes:
        trial: what is driven.
        metrics: by part, predictor and setting.
        blocks: of the bootstrap, by part.
        episodes: of each recording, by part.
    """

    trial: Trial
    metrics: dict[tuple[str, str, Setting], Metrics]
    blocks: dict[str, IntArray]
    episodes: dict[str, list[Episodes]] = field(default_factory=dict)

    def predictors(self) -> list[str]:
        """In the order of tables."""
        return list(dict.fromkeys(predictor for _, predictor, _ in self.metrics))

    def settings(self, predictor: str, planner: str) -> list[Setting]:
        """Of a predictor and planner."""
        of_part = [key for key in self.metrics if key[:2] == ("tuning", predictor)]
        return [setting for _, _, setting in of_part if setting.planner == planner]

    def chosen(self, predictor: str, planner: str) -> Setting:
        """The fastest setting that is as safe as the safest on the tuning part, but for chance.

        It has at most one standard error more collisions, paired by episodes: the
        one-standard-error rule (Breiman et al., Classification and Regression Trees, 1984).
        """
        rows = self._tuned(predictor, planner)
        fewest = self.metrics["tuning", predictor, min(rows, key=lambda row: row[:2])[2]]

        def is_as_safe(setting: Setting) -> bool:
            ours = self.metrics["tuning", predictor, setting]
            more = ours["collision"] - fewest["collision"]
            return bool(more.mean() <= bootstrap_means(more, self.blocks["tuning"]).std())

        return min((row for row in rows if is_as_safe(row[2])), key=lambda row: row[1])[2]

    def frontier(self, predictor: str, planner: str) -> dict[float, Setting]:
        """That with the fewest collisions on the tuning part within each of `TIMES`, if any is."""
        found = {}
        for most in TIMES:
            rows = [row for row in self._tuned(predictor, planner) if row[1] <= most]
            if rows:
                found[most] = min(rows, key=lambda row: row[:2])[2]
        return found

    def _tuned(self, predictor: str, planner: str) -> list[tuple[float, float, Setting]]:
        """Collisions and time of each setting on the tuning part."""
        rows = []
        for setting in self.settings(predictor, planner):
            metrics = self.metrics["tuning", predictor, setting]
            rows.append(
                (float(metrics["collision"].mean()), float(metrics["time"].mean()), setting)
            )
        return rows

    def summary(self, part: str, predictor: str, setting: Setting) -> dict[str, list[float]]:
        """Mean of each metric, and its 95 % interval: three numbers each."""
        metrics = self.metrics[part, predictor, setting]
        return {name: interval(values, self.blocks[part]) for name, values in metrics.items()}

    def by_recording(self, predictor: str, setting: Setting) -> list[dict[str, float]]:
        """Collisions and time of the test episodes in each recording."""
        metrics = self.metrics["test", predictor, setting]
        means = {
            name: metrics[name].reshape(-1, self.trial.n_episodes).mean(axis=1)
            for name in ("collision", "time")
        }
        return [
            {name: float(values[row]) for name, values in means.items()}
            for row in range(len(means["time"]))
        ]

    def against(self, part: str, predictor: str, setting: Setting, other: Setting) -> list[float]:
        """Collisions minus those with constant velocity on the same episodes of a part."""
        ours = self.metrics[part, predictor, setting]["collision"]
        theirs = self.metrics[part, VELOCITY, other]["collision"]
        return interval(ours - theirs, self.blocks[part])


def study_crowds(
    crowds: Sequence[Crowd],
    trial: Trial,
    advance: Callable[[int, int], None] = lambda n_done, n_drives: None,
) -> Study:
    """Drives all predictors through recordings; their episodes count together.

    Args:
        crowds: the recordings, with the same predictors.
        trial: what is driven.
        advance: called with the number of drives that are done and that of all.

    Raises:
        RecordingError: too short, or nobody walks there.
    """
    episodes = {
        part: [
            draw_episodes(
                crowd,
                trial.robot,
                trial.person_radius_m,
                trial.n_episodes,
                trial.seed,
                part=shares,
            )
            for crowd in crowds
        ]
        for part, shares in PARTS.items()
    }
    episodes[REACTIVE] = episodes["test"]
    blocks = {part: _blocks(crowds, of_part) for part, of_part in episodes.items()}
    study = Study(trial, {}, blocks, episodes)

    def run(part: str, name: str, setting: Setting) -> None:
        if (part, name, setting) not in study.metrics:
            study.metrics[part, name, setting] = _joined(
                _driven(part, crowd, name, drawn, trial, setting)
                for crowd, drawn in zip(crowds, episodes[part], strict=True)
            )
        advance(next(done), n_drives)

    names = list(crowds[0].beliefs)
    settings = {
        (name, planner): settings_of(crowds[0].beliefs[name], planner, trial)
        for planner in trial.planners
        for name in names
    }
    n_drives = sum(len(of_predictor) + 2 + len(TIMES) for of_predictor in settings.values())
    done = count(1)
    for (name, planner), of_predictor in settings.items():
        for setting in of_predictor:
            run("tuning", name, setting)
        chosen = study.chosen(name, planner)
        for setting in (chosen, *study.frontier(name, planner).values()):
            run("test", name, setting)
        if trial.attentive is not None and name != ORACLE:
            run(REACTIVE, name, chosen)
    return study


def _driven(
    part: str, crowd: Crowd, name: str, episodes: Episodes, trial: Trial, setting: Setting
) -> Metrics:
    robot = trial.robot
    world: World
    if part != REACTIVE:
        world = RecordedCrowd(crowd, crowd.beliefs[name], episodes, setting, trial.contact_m)
    else:
        assert crowd.scene is not None and trial.attentive is not None
        world = ReactiveCrowd(
            crowd.scene,
            name,
            episodes,
            setting,
            (robot.radius_m, trial.person_radius_m),
            attentive=trial.attentive,
            seed=trial.seed,
        )
    return episode_metrics(drive(world, robot), episodes, robot, crowd.period_s)


def _joined(metrics: Iterable[Metrics]) -> Metrics:
    parts = list(metrics)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _blocks(crowds: Sequence[Crowd], episodes: Sequence[Episodes]) -> IntArray:
    """(E,) from 0: episodes of a recording that start within `BLOCK_S` of each other share one."""
    keys = [
        (number, int(tick * crowd.period_s / BLOCK_S))
        for number, (crowd, drawn) in enumerate(zip(crowds, episodes, strict=True))
        for tick in drawn.ticks
    ]
    return np.unique(np.array(keys), axis=0, return_inverse=True)[1].reshape(-1)


def bootstrap_means(values: FloatArray, blocks: IntArray) -> FloatArray:
    """(B,) means of a bootstrap of blocks. Equal blocks give equal draws: differences are paired.

    Args:
        values: (E,) of the episodes.
        blocks: (E,) from 0; episodes of a block are drawn together if there are a few blocks.
    """
    n_blocks = int(blocks.max()) + 1
    if n_blocks < _MIN_BLOCKS:  # a short recording
        n_blocks, blocks = len(values), np.arange(len(values))
    draws = np.random.default_rng(0).multinomial(
        n_blocks, [1.0 / n_blocks] * n_blocks, _N_BOOTSTRAPS
    )
    sums = draws @ np.bincount(blocks, values, n_blocks)
    means: FloatArray = sums / (draws @ np.bincount(blocks, minlength=n_blocks))
    return means


def interval(values: FloatArray, blocks: IntArray) -> list[float]:
    """Mean of (E,) values of episodes and its 95 % interval, by `bootstrap_means`."""
    means = bootstrap_means(values, blocks)
    return [float(values.mean()), *np.quantile(means, [0.025, 0.975]).tolist()]


def study_results(study: Study) -> dict[str, Any]:
    """JSON-serialisable: by planner and predictor the frontier on the tuning
    part, the chosen setting and its test.
    """
    results: dict[str, Any] = {}
    for planner in study.trial.planners:
        reference = study.chosen(VELOCITY, planner)
        results[planner] = {}
        for name in study.predictors():
            chosen = study.chosen(name, planner)
            results[planner][name] = {
                "chosen": str(chosen),
                "test": study.summary("test", name, chosen),
                "collision_against_constant_velocity": study.against(
                    "test", name, chosen, reference
                ),
                REACTIVE: _reacting(study, name, chosen, reference),
                "recordings": study.by_recording(name, chosen),
                "within": {
                    f"{most:g}": {"setting": str(setting), **study.summary("test", name, setting)}
                    for most, setting in study.frontier(name, planner).items()
                },
                "frontier": [
                    {
                        "setting": str(setting),
                        **{
                            key: getattr(setting, key)
                            for key in ("confidence", "horizon_s", "margin_m")
                        },
                        "tuning": study.summary("tuning", name, setting),
                    }
                    for setting in study.settings(name, planner)
                ],
            }
    return results


def _reacting(
    study: Study, name: str, setting: Setting, reference: Setting
) -> dict[str, Any] | None:
    if (REACTIVE, name, setting) not in study.metrics:
        return None
    against = study.against(REACTIVE, name, setting, reference)
    return {
        **study.summary(REACTIVE, name, setting),
        "collision_against_constant_velocity": against,
    }


def advice(results: Mapping[str, Any], model: str) -> str:
    """The best settings with the regions of a model, a sentence for each planner."""
    sentences = []
    for planner, predictors in results.items():
        regions = predictors[f"{model}, regions"]
        (best,) = (e for e in regions["frontier"] if e["setting"] == regions["chosen"])
        confidence, horizon_s = best["confidence"], best["horizon_s"]
        setting = {
            CHANCE: f"mpc_planner.confidence: {confidence:g} and mpc_planner.horizon_s: "
            f"{horizon_s:g} and {best['margin_m']:g} m added to the radii",
            EXPECTED: f"people up to {horizon_s:g} s",
            COSTMAP: f"costmap.end_s: {horizon_s:g}",
        }[planner]
        collisions, time = (regions["test"][name][0] for name in ("collision", "time"))
        sentences.append(
            f"Best at this site for the {planner} planner: {setting}. It is the fastest setting "
            "whose collisions in the tuning episodes are at most one standard error above the "
            f"fewest, and has {100 * collisions:.1f} % collisions at {time:.2f} times the "
            "straight-line time in the test episodes."
        )
    return " ".join(sentences)
