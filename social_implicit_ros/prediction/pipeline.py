"""Tracks in, predictions out: one pipeline for the node, the evaluation and the tests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.prediction.resample import advance_prediction
from social_implicit_ros.prediction.robot_plan import PlanNotUsedError, RobotPlan
from social_implicit_ros.prediction.site_errors import SiteErrors, Uncorrected
from social_implicit_ros.prediction.state_uncertainty import (
    unestimated,
    with_state_uncertainty,
    within_speed,
)
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.settings import PipelineConfig
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.types import (
    ROBOT_ID,
    FloatArray,
    ObservationWindow,
    Prediction,
    SkipReason,
)
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration
from social_implicit_ros.uncertainty.calibration import observed_speed_m_s
from social_implicit_ros.uncertainty.ellipses import at_confidence


@dataclass(frozen=True, eq=False)
class Tick:
    """Result of one tick.

    Attributes:
        stamp_ns: current time, integer nanoseconds.
        window: the predicted agents and their recent past, up to the newest observation, which is
            at or before the stamp.
        prediction: starts at the stamp; agents in the order of `window.ids`.
        present_m: (A, 2) mean positions at the stamp, metres.
        skipped: agents that were not predicted, with the reason.
        timings_s: duration of `window` and `model`, seconds.
        base: the prediction before the adaptive calibration rescaled its ellipses; without
            adaptive calibration, before the scaling to `confidence`.
        uncorrected: the prediction before it was corrected by the errors at this site; None if it
            was not.
    """

    stamp_ns: int
    window: ObservationWindow
    prediction: Prediction
    present_m: FloatArray
    skipped: Mapping[str, SkipReason]
    timings_s: Mapping[str, float]
    base: Prediction
    uncorrected: Uncorrected | None = None

    @cached_property
    def speed_m_s(self) -> FloatArray:
        """(A,) observed speeds, m/s."""
        return _observed_speed_m_s(self.window)


class PredictionPipeline:
    """A track history, a model and an optional adaptive calibration of its ellipses."""

    def __init__(
        self,
        model: TrajectoryModel,
        config: PipelineConfig,
        adaptive: AdaptiveCalibration | None = None,
        history: TrackHistory | None = None,
    ) -> None:
        """Starts without walls and without a plan.

        Args:
            model: the prediction model.
            config: the options.
            adaptive: adapts the ellipses; None for the model's ellipses.
            history: history of another pipeline, whose ticks are repeated; None for a new one.
        """
        self.model = model
        #: The options; may change.
        self.config = config
        self.adaptive = adaptive
        is_corrected = adaptive is not None and config.correct_trajectories
        #: Errors of earlier predictions at this site, which correct later ones; None if disabled.
        self.site_errors = SiteErrors() if is_corrected else None
        #: Walls that limit predictions, in the frame of the histories.
        self.floor_plan: FloorPlan | None = None
        #: The robot's plan, in the frame of the histories.
        self.robot_plan: RobotPlan | None = None
        #: Why people are predicted without the plan at the newest tick; empty if they are not.
        self.plan_problem = ""
        #: The observed positions of all agents.
        self.history = (
            TrackHistory(config, step_s=model.step_s, n_steps=model.n_observed)
            if history is None
            else history
        )

    def tick(self, stamp_ns: int) -> Tick:
        """Predicts every agent with enough history.

        Args:
            stamp_ns: current time; step i of the prediction is (i + 1) * step_s later.
        """
        started = time.perf_counter()
        newest_ns = self.history.newest_ns(stamp_ns)
        window, skipped = self.history.window(
            stamp_ns if newest_ns is None else newest_ns, now_ns=stamp_ns
        )
        return self._predicted(stamp_ns, window, skipped, time.perf_counter() - started)

    def repeat(self, tick: Tick, other: PredictionPipeline) -> Tick:
        """Repeats the tick of another pipeline with this pipeline's model.

        So models with the same observed steps can be compared on one history. Walls and plan are
        those of the other pipeline.

        Raises:
            ValueError: the steps of the window differ from those of this model.
        """
        self.floor_plan, self.robot_plan = other.floor_plan, other.robot_plan
        window = tick.window
        steps = (window.step_s, window.positions_m.shape[1])
        if steps != (self.model.step_s, self.model.n_observed):
            raise ValueError(
                f"a window of {steps[1]} steps of {steps[0]} s, expected {self.model.n_observed} "
                f"of {self.model.step_s} s for {self.model.name}"
            )
        return self._predicted(tick.stamp_ns, window, tick.skipped, tick.timings_s["window"])

    def _predicted(
        self,
        stamp_ns: int,
        window: ObservationWindow,
        skipped: Mapping[str, SkipReason],
        window_s: float,
    ) -> Tick:
        started = time.perf_counter()
        prediction, present_m = predict_from(
            stamp_ns,
            window,
            self.model,
            n_samples=self.config.n_samples,
            seed=self.config.seed,
            max_speed_m_s=self.config.max_speed_m_s,
            planned_m=self._planned(window),
        )
        uncorrected = None
        if self.site_errors is not None and window.ids:
            prediction, uncorrected = self.site_errors.correct(prediction, present_m)
            prediction = within_speed(prediction, present_m, self.config.max_speed_m_s)
        if self.floor_plan is not None:
            observed_m = window.positions_m[:, -1] if window.newest_m is None else window.newest_m
            prediction, present_m = self.floor_plan.from_observed(prediction, present_m, observed_m)
            prediction = self.floor_plan.constrain(prediction, present_m)
        if self.config.add_tracker_covariance:
            added = unestimated(window.covariances_m2, window.state_covariances)
            prediction = replace(prediction, covariance=prediction.covariance + added[:, None])
        base = prediction
        if window.ids:
            if self.adaptive is not None:
                speed_m_s = _observed_speed_m_s(window)
                base = self.adaptive.base(prediction, speed_m_s)
                prediction = self.adaptive.adapt(base, speed_m_s)
            prediction = at_confidence(prediction, self.config.confidence)
        timings_s = {"window": window_s, "model": time.perf_counter() - started}
        return Tick(stamp_ns, window, prediction, present_m, skipped, timings_s, base, uncorrected)

    def _planned(self, window: ObservationWindow) -> FloatArray | None:
        """(A, T, 2) the robot's plan from the end of the window on; NaN for people."""
        self.plan_problem = ""
        if self.robot_plan is None or ROBOT_ID not in window.ids:
            return None
        row, step_s = window.ids.index(ROBOT_ID), window.step_s
        before_m, at_m = window.positions_m[row, -2:]
        velocity_m_s = (at_m - before_m) / step_s
        times_s = np.asarray(step_s * np.arange(1, self.model.n_predicted + 1))
        try:
            ahead_m = self.robot_plan.ahead(at_m, velocity_m_s, window.stamp_ns, times_s)
        except PlanNotUsedError as error:
            self.plan_problem = str(error)
            return None
        if ahead_m is None:
            return None
        planned_m = np.full((len(window.ids), len(times_s), 2), np.nan)
        planned_m[row] = ahead_m
        return planned_m


def _observed_speed_m_s(window: ObservationWindow) -> FloatArray:
    first = window.positions_m.shape[1] - window.n_observed
    return observed_speed_m_s(window.positions_m, first, window.step_s)


def predict_from(
    stamp_ns: int,
    window: ObservationWindow,
    model: TrajectoryModel,
    *,
    n_samples: int,
    seed: int,
    max_speed_m_s: float = float("inf"),
    planned_m: FloatArray | None = None,
) -> tuple[Prediction, FloatArray]:
    """Predicts from a stamp, given a window that may end earlier.

    Args:
        stamp_ns: current time, at or after the end of the window.
        window: the observations.
        model: predicts from the end of the window.
        n_samples: number of trajectories to draw.
        seed: seed of the random draws.
        max_speed_m_s: maximum speed of the mean trajectories, m/s.
        planned_m: (A, T, 2) as of `TrajectoryModel.predict`.

    Returns:
        The prediction, and (A, 2) mean positions at the stamp, metres.
    """
    prediction = model.predict(
        window.positions_m, n_samples=n_samples, seed=seed, planned_m=planned_m
    )
    last_m = window.positions_m[:, -1]
    prediction = within_speed(prediction, last_m, max_speed_m_s)
    # A model without uncertainty (zero covariances) stays without.
    if window.state_covariances is not None and prediction.covariance.any():
        prediction = with_state_uncertainty(prediction, window.state_covariances, seed)
    # The window ends at the newest observation, which may be old.
    if stamp_ns <= window.stamp_ns or not window.ids:
        return prediction, last_m
    return advance_prediction(prediction, last_m, (stamp_ns - window.stamp_ns) * 1e-9)
