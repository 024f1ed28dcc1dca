"""Drives the episodes of recordings with each predictor and planner setting, and compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
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


def fewest(tuned: Mapping[Setting, Metrics]) -> Setting:
    """The setting with the fewest collisions, of equal ones the fastest."""
    return min(tuned, key=lambda setting: _means(tuned[setting]))


def chosen(tuned: Mapping[Setting, Metrics], blocks: IntArray) -> Setting:
    """The fastest setting that is as safe as the safest on the tuning part, but for chance.

    It has at most one standard error more collisions, paired by episodes: the
    one-standard-error rule (Breiman et al., Classification and Regression Trees, 1984).

    Args:
        tuned: metrics of the tuning episodes under each setting.
        blocks: of these episodes, see `bootstrap_means`.
    """
    safest = tuned[fewest(tuned)]

    def is_as_safe(setting: Setting) -> bool:
        more = tuned[setting]["collision"] - safest["collision"]
        return bool(more.mean() <= bootstrap_means(more, blocks).std())

    return min(filter(is_as_safe, tuned), key=lambda setting: _means(tuned[setting])[1])


def frontier(tuned: Mapping[Setting, Metrics]) -> dict[float, Setting]:
    """The setting with the fewest collisions within each of `TIMES`, if there is one."""
    within = {
        most: {s: metrics for s, metrics in tuned.items() if _means(metrics)[1] <= most}
        for most in TIMES
    }
    return {most: fewest(settings) for most, settings in within.items() if settings}


def _means(metrics: Metrics) -> tuple[float, float]:
    """Share of episodes with a collision, and time."""
    return float(metrics["collision"].mean()), float(metrics["time"].mean())


class Study:
    """Episodes of recordings, each driven with several predictors, planners and settings.

    The episodes of all recordings count together. On the tuning part all settings are driven, on
    the test part those that are chosen there.

    Attributes:
        episodes: of each recording, by part.
    """

    def __init__(self, crowds: Sequence[Crowd], trial: Trial) -> None:
        """Draws the episodes.

        Args:
            crowds: the recordings, with the same predictors.
            trial: what is driven.

        Raises:
            RecordingError: too short, or nobody walks there.
        """
        self.crowds, self.trial = crowds, trial
        sizes = trial.robot, trial.person_radius_m, trial.n_episodes, trial.seed
        self.episodes = {
            part: [draw_episodes(crowd, *sizes, part=shares) for crowd in crowds]
            for part, shares in PARTS.items()
        }
        self.episodes[REACTIVE] = self.episodes["test"]
        self._blocks = {part: _blocks(crowds, drawn) for part, drawn in self.episodes.items()}
        self._driven: dict[tuple[str, str, Setting], Metrics] = {}

    def results(
        self, advance: Callable[[int, int], None] = lambda n_done, n_settings: None
    ) -> dict[str, Any]:
        """Drives all episodes.

        Args:
            advance: called with the number of settings that are driven and that of all.

        Returns:
            JSON-serialisable: by planner and predictor the frontier on the tuning part, the chosen
            setting and its test.
        """
        pairs = list(product(self.trial.planners, self.crowds[0].beliefs))
        settings = {pair: self._settings(*pair) for pair in pairs}
        todo = [(name, setting) for (_, name), of_pair in settings.items() for setting in of_pair]
        for n_done, (name, setting) in enumerate(todo, start=1):
            self._metrics("tuning", name, setting)
            advance(n_done, len(todo))
        results: dict[str, Any] = {planner: {} for planner in self.trial.planners}
        for planner, name in pairs:
            results[planner][name] = self._result(planner, name)
        return results

    def chosen(self, planner: str, name: str) -> Setting:
        """The setting of a predictor that is tested."""
        return chosen(self._tuned(planner, name), self._blocks["tuning"])

    def _settings(self, planner: str, name: str) -> list[Setting]:
        return settings_of(self.crowds[0].beliefs[name], planner, self.trial)

    def _tuned(self, planner: str, name: str) -> dict[Setting, Metrics]:
        return {s: self._metrics("tuning", name, s) for s in self._settings(planner, name)}

    def _metrics(self, part: str, name: str, setting: Setting) -> Metrics:
        """Of all episodes, one recording after another."""
        key = part, name, setting
        if key not in self._driven:
            driven = [
                _driven(part, crowd, name, drawn, self.trial, setting)
                for crowd, drawn in zip(self.crowds, self.episodes[part], strict=True)
            ]
            self._driven[key] = {
                metric: np.concatenate([of_one[metric] for of_one in driven])
                for metric in driven[0]
            }
        return self._driven[key]

    def _result(self, planner: str, name: str) -> dict[str, Any]:
        tuned = self._tuned(planner, name)
        setting, reference = self.chosen(planner, name), self.chosen(planner, VELOCITY)
        reacts = self.trial.attentive is not None and name != ORACLE
        test = self._metrics("test", name, setting)
        of_recordings = {
            metric: test[metric].reshape(-1, self.trial.n_episodes).mean(axis=1).tolist()
            for metric in ("collision", "time")
        }
        return {
            "chosen": str(setting),
            "test": self._summary("test", name, setting),
            **self._against("test", name, setting, reference),
            REACTIVE: {
                **self._summary(REACTIVE, name, setting),
                **self._against(REACTIVE, name, setting, reference),
            }
            if reacts
            else None,
            "recordings": [
                dict(zip(of_recordings, row, strict=True))
                for row in zip(*of_recordings.values(), strict=True)
            ],
            "within": {
                f"{most:g}": {"setting": str(fast), **self._summary("test", name, fast)}
                for most, fast in frontier(tuned).items()
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

    def _summary(self, part: str, name: str, setting: Setting) -> dict[str, list[float]]:
        """Mean of each metric, and its 95 % interval: three numbers each."""
        metrics = self._metrics(part, name, setting)
        return {metric: interval(values, self._blocks[part]) for metric, values in metrics.items()}

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
    if part != REACTIVE:
        world = RecordedCrowd(crowd, crowd.beliefs[name], episodes, setting, trial.contact_m)
    else:
        assert crowd.scene is not None and trial.attentive is not None
        radii_m = robot.radius_m, trial.person_radius_m
        world = ReactiveCrowd(
            crowd.scene,
            name,
            episodes,
            setting,
            radii_m,
            attentive=trial.attentive,
            seed=trial.seed,
        )
    return episode_metrics(drive(world, robot), episodes, robot, crowd.period_s)


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
