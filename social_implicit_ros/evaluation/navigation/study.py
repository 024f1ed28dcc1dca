"""Drives the episodes of recordings with each predictor and planner setting, and compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from social_implicit_ros.evaluation.navigation.crowd import KALMAN, ORACLE, VELOCITY, Belief, Crowd
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

#: Parts of a recording, which do not overlap: settings are chosen in one and scored in the other.
PARTS = {"tuning": (0.0, 0.5), "test": (0.5, 1.0)}
#: The episodes of the test part among people who react to the robot.
REACTIVE = "reactive"
#: The same with predictors that know the robot's plan.
PLANNED = "planned"
#: Radius of a person, metres.
PERSON_RADIUS_M = 0.25
CONFIDENCES = (0.5, 0.8, 0.95)
#: Margins added to the radii, with regions and without, metres: people move between two steps.
REGION_MARGINS_M, MARGINS_M = (0.1, 0.3), (0.1, 0.2, 0.3, 0.4, 0.6)
HORIZONS_S = (1.2, 2.4, 4.8)
WEIGHTS_M = (2.0, 5.0, 12.0)
#: Time limits of the frontier, relative to the time of the straight line.
TIMES = (1.15, 1.25, 1.4, 1.6)
#: Length of a block of the bootstrap, seconds: episodes that start in it meet the same people.
BLOCK_S = 20.0
_N_BOOTSTRAPS = 2000
#: Metrics that are 0 or 1 in each episode.
_RATES = ("collision", "standing_hit", "success")
#: With fewer blocks, episodes are drawn one by one.
_MIN_BLOCKS = 5

#: Metric -> (E,) values.
Metrics = dict[str, FloatArray]


@dataclass(frozen=True)
class Trial:
    """A robot, the size of people, and the episodes and settings that are driven.

    Attributes:
        robot: size and limits of the robot.
        person_radius_m: radius of a person, metres.
        n_episodes: number of episodes in each part of a recording.
        seed: seed of the episodes.
        planners: some of `chance`, `expected` and `costmap`.
        confidences, horizons_s: values that the settings combine.
        brakes: see `Setting`.
        attentive: share of the people who avoid the robot in a crowd that reacts; None for
            recorded people only.
        shows_plan: in that crowd, also with predictors that know the robot's plan.
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
    shows_plan: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.person_radius_m <= 100.0:
            raise ValueError(f"person radius is {self.person_radius_m} m, expected 0 to 100")
        for confidence in self.confidences:
            # The range of the node's parameters, so that the advice can be followed.
            if not 0.05 <= confidence <= 0.99:
                raise ValueError(f"confidence is {confidence}, expected 0.05 to 0.99")
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
    is_certain = belief.regions is None and belief.weights.shape[1] == 1
    confidence = None if is_certain else trial.confidences[-1]
    if planner == CHANCE and is_certain:
        longest = Setting(planner, DT_S * N_STEPS, brakes=trial.brakes)
        return [replace(longest, margin_m=margin_m) for margin_m in MARGINS_M]
    settings = []
    for horizon_s in trial.horizons_s:
        base = Setting(planner, horizon_s, confidence, REGION_MARGINS_M[0], brakes=trial.brakes)
        if planner != CHANCE:
            settings += [replace(base, weight_m=weight_m) for weight_m in WEIGHTS_M]
        else:
            settings += [
                replace(base, confidence=c, margin_m=margin_m)
                for c in trial.confidences
                for margin_m in REGION_MARGINS_M
            ]
    return settings


def fewest(tuned: Mapping[Setting, Metrics]) -> Setting:
    """The setting with the fewest collisions; of several, the fastest."""
    return min(tuned, key=lambda setting: _means(tuned[setting]))


def chosen(tuned: Mapping[Setting, Metrics], blocks: IntArray) -> Setting:
    """The fastest setting whose collisions are at most one standard error above the fewest.

    Collisions are paired by episodes. This is the one-standard-error rule (Breiman et al.,
    Classification and Regression Trees, 1984).

    Args:
        tuned: metrics of the tuning episodes with each setting.
        blocks: (E,) blocks of these episodes, see `bootstrap_means`.
    """
    safest = tuned[fewest(tuned)]

    def is_as_safe(setting: Setting) -> bool:
        more = tuned[setting]["collision"] - safest["collision"]
        return bool(more.mean() <= bootstrap_means(more, blocks).std())

    return min(filter(is_as_safe, tuned), key=lambda setting: _means(tuned[setting])[1])


def frontier(tuned: Mapping[Setting, Metrics]) -> dict[float, Setting]:
    """The setting with the fewest collisions within each of `TIMES`, if there is one."""
    within = {
        limit: {s: metrics for s, metrics in tuned.items() if _means(metrics)[1] <= limit}
        for limit in TIMES
    }
    return {limit: fewest(settings) for limit, settings in within.items() if settings}


def _means(metrics: Metrics) -> tuple[float, float]:
    """Share of episodes with a collision, and mean time relative to the straight line."""
    return float(metrics["collision"].mean()), float(metrics["time"].mean())


class Study:
    """Drives the episodes of recordings with several predictors, planners and settings.

    The episodes of all recordings are evaluated together. The tuning part is driven with all
    settings, the test part with those that are chosen by the tuning part.

    Attributes:
        episodes: episodes of each recording, by part.
    """

    def __init__(self, crowds: Sequence[Crowd], trial: Trial) -> None:
        """Draws the episodes.

        Args:
            crowds: the recordings, with the same predictors.
            trial: what is driven.

        Raises:
            RecordingError: a recording is too short, or too few people walk there.
        """
        self.crowds, self.trial = crowds, trial
        sizes = trial.robot, trial.person_radius_m, trial.n_episodes, trial.seed
        self.episodes = {
            part: [draw_episodes(crowd, *sizes, part=shares) for crowd in crowds]
            for part, shares in PARTS.items()
        }
        self.episodes[REACTIVE] = self.episodes[PLANNED] = self.episodes["test"]
        self._blocks = {part: _blocks(crowds, drawn) for part, drawn in self.episodes.items()}
        self._metrics = cache(self._drive)

    def results(
        self, advance: Callable[[int, int], None] = lambda n_done, n_settings: None
    ) -> dict[str, Any]:
        """Drives all episodes.

        Args:
            advance: called with the number of settings driven so far and the total.

        Returns:
            JSON-serialisable values by planner and predictor: the frontier of the tuning part, the
            chosen setting and its metrics in the test part.
        """
        planners, names = self.trial.planners, list(self.crowds[0].beliefs)
        todo = [
            (name, setting)
            for planner, name in product(planners, names)
            for setting in self._settings(planner, name)
        ]
        for n_done, (name, setting) in enumerate(todo, start=1):
            self._metrics("tuning", name, setting)
            advance(n_done, len(todo))
        return {
            planner: {name: self._result(planner, name) for name in names} for planner in planners
        }

    def chosen(self, planner: str, name: str) -> Setting:
        """The setting of a predictor that is driven in the test part."""
        return chosen(self._tuned(planner, name), self._blocks["tuning"])

    def _settings(self, planner: str, name: str) -> list[Setting]:
        return settings_of(self.crowds[0].beliefs[name], planner, self.trial)

    def _tuned(self, planner: str, name: str) -> dict[Setting, Metrics]:
        return {s: self._metrics("tuning", name, s) for s in self._settings(planner, name)}

    def _drive(self, part: str, name: str, setting: Setting) -> Metrics:
        """Metrics of all episodes of a part, in the order of the recordings."""
        driven = [
            _driven(part, crowd, name, drawn, self.trial, setting)
            for crowd, drawn in zip(self.crowds, self.episodes[part], strict=True)
        ]
        return {
            metric: np.concatenate([of_one[metric] for of_one in driven]) for metric in driven[0]
        }

    def _result(self, planner: str, name: str) -> dict[str, Any]:
        tuned = self._tuned(planner, name)
        setting, reference = self.chosen(planner, name), self.chosen(planner, VELOCITY)
        test = self._metrics("test", name, setting)
        of_recordings = {
            metric: test[metric].reshape(-1, self.trial.n_episodes).mean(axis=1).tolist()
            for metric in ("collision", "time")
        }
        return {
            "chosen": str(setting),
            "test": self._summary("test", name, setting),
            **self._against("test", name, setting, reference),
            REACTIVE: self._reactive(name, setting, reference),
            PLANNED: self._planned(name, setting),
            "recordings": [
                dict(zip(of_recordings, row, strict=True))
                for row in zip(*of_recordings.values(), strict=True)
            ],
            "within": {
                f"{limit:g}": {"setting": str(best), **self._summary("test", name, best)}
                for limit, best in frontier(tuned).items()
            },
            "frontier": [
                {
                    "setting": str(one),
                    **{key: getattr(one, key) for key in ("confidence", "horizon_s", "margin_m")},
                    "tuning": self._summary("tuning", name, one),
                }
                for one in tuned
            ],
        }

    def _reactive(
        self, name: str, setting: Setting, reference: Setting
    ) -> dict[str, list[float]] | None:
        """Metrics in the crowd that reacts; None without one, and for the oracle."""
        if self.trial.attentive is None or name == ORACLE:
            return None
        metrics = self._summary(REACTIVE, name, setting)
        return metrics | self._against(REACTIVE, name, setting, reference)

    def _planned(self, name: str, setting: Setting) -> dict[str, dict[str, list[float]]] | None:
        """Metrics with the robot's plan, and minus those without; None for other than models."""
        model, _ = self.crowds[0].predictors.get(name, (ORACLE, ""))
        is_model = model not in (ORACLE, VELOCITY, KALMAN)
        if self.trial.attentive is None or not self.trial.shows_plan or not is_model:
            return None
        planned, seen = (self._metrics(part, name, setting) for part in (PLANNED, REACTIVE))
        blocks = self._blocks[PLANNED]
        return {
            "with": self._summary(PLANNED, name, setting),
            "difference": {
                metric: interval(values - seen[metric], blocks)
                for metric, values in planned.items()
                if np.isfinite(values).all() and np.isfinite(seen[metric]).all()
            },
        }

    def _summary(self, part: str, name: str, setting: Setting) -> dict[str, list[float]]:
        """Mean of each metric, and both ends of its 95 % interval."""
        return {
            metric: (rate_interval if metric in _RATES else interval)(values, self._blocks[part])
            for metric, values in self._metrics(part, name, setting).items()
        }

    def _against(
        self, part: str, name: str, setting: Setting, reference: Setting
    ) -> dict[str, list[float]]:
        """Collisions minus those with constant velocity on the same episodes of a part."""
        ours = self._metrics(part, name, setting)["collision"]
        theirs = self._metrics(part, VELOCITY, reference)["collision"]
        return {"collision_against_constant_velocity": interval(ours - theirs, self._blocks[part])}


def _driven(
    part: str, crowd: Crowd, name: str, episodes: Episodes, trial: Trial, setting: Setting
) -> Metrics:
    robot = trial.robot
    world: World
    if part not in (REACTIVE, PLANNED):
        world = RecordedCrowd(crowd, crowd.beliefs[name], episodes, setting, trial.contact_m)
    else:
        assert trial.attentive is not None
        radii_m = robot.radius_m, trial.person_radius_m
        world = ReactiveCrowd(
            crowd,
            name,
            episodes,
            setting,
            radii_m,
            attentive=trial.attentive,
            seed=trial.seed,
            shows_plan=part == PLANNED,
        )
    return episode_metrics(drive(world, robot), episodes, robot, crowd.period_s)


def _blocks(crowds: Sequence[Crowd], episodes: Sequence[Episodes]) -> IntArray:
    """(E,) block of each episode, from 0; a block is `BLOCK_S` of a recording."""
    keys = [
        (number, int(tick * crowd.period_s / BLOCK_S))
        for number, (crowd, drawn) in enumerate(zip(crowds, episodes, strict=True))
        for tick in drawn.ticks
    ]
    return np.unique(np.array(keys), axis=0, return_inverse=True)[1].reshape(-1)


def bootstrap_means(values: FloatArray, blocks: IntArray) -> FloatArray:
    """(B,) means of a block bootstrap. Equal blocks give equal draws: differences are paired.

    Args:
        values: (E,) values of the episodes.
        blocks: (E,) block of each episode, from 0. Episodes of a block are drawn together, or one
            by one if there are fewer than `_MIN_BLOCKS`.
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


def rate_interval(values: FloatArray, blocks: IntArray) -> list[float]:
    """As `interval`, for (E,) values of 0 or 1.

    If all are equal, no draw of the bootstrap differs. Then the interval is that of as many
    independent episodes (Clopper and Pearson, Biometrika 1934).
    """
    mean, low, high = interval(values, blocks)
    if low == high:
        most = 1.0 - 0.025 ** (1.0 / len(values))
        low, high = max(mean - most, 0.0), min(mean + most, 1.0)
    return [mean, low, high]


def advice(results: Mapping[str, Any], model: str) -> str:
    """Names the best setting of each planner with the regions of a model."""
    sentences = []
    for planner, predictors in results.items():
        regions = predictors[f"{model}, regions"]
        (best,) = (e for e in regions["frontier"] if e["setting"] == regions["chosen"])
        confidence, horizon_s = best["confidence"], best["horizon_s"]
        setting = {
            CHANCE: f"mpc_planner.confidence: {confidence:g} and mpc_planner.horizon_s: "
            f"{horizon_s:g} and {best['margin_m']:g} m added to the radii",
            EXPECTED: f"a horizon of {horizon_s:g} s",
            COSTMAP: f"costmap.end_s: {horizon_s:g}",
        }[planner]
        collisions, low, high = (100.0 * share for share in regions["test"]["collision"])
        sentences.append(
            f"Best at this site for the {planner} planner: {setting}. It is the fastest setting "
            "whose collisions in the tuning episodes are at most one standard error above the "
            f"fewest, and has {collisions:.1f} [{low:.1f}, {high:.1f}] % collisions at "
            f"{regions['test']['time'][0]:.2f} times the straight-line time in the test episodes."
        )
    return " ".join(sentences)
