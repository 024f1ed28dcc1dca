"""The runtime: tracks in, forecasts out. The node and the replay of recordings drive it."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.prediction.forecast import Forecast, forecast_from_tick
from social_implicit_ros.prediction.intake import TrackIntake
from social_implicit_ros.prediction.pipeline import PredictionPipeline, Tick
from social_implicit_ros.prediction.resample import Steps
from social_implicit_ros.prediction.robot_plan import RobotPlan
from social_implicit_ros.prediction.scoring.online_evaluation import SelfEvaluation
from social_implicit_ros.prediction.update import Refusal
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transforms import RigidTransform, TransformUnavailableError
from social_implicit_ros.tracks.messages.agent_ids import AgentNumbers
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration, ScoredPositions

_Plan = TypeVar("_Plan", FloorPlan, RobotPlan)


def steps_of(model: TrajectoryModel, config: PredictorConfig) -> Steps:
    """The predicted steps; raises ValueError if the model does not support them."""
    return Steps.within(
        model.step_s, model.n_predicted, step_s=config.time_step_s, horizon_s=config.horizon_s
    )


class Predictor(TrackIntake):
    """Predicts from the histories of an intake: model -> calibration -> forecast."""

    def __init__(
        self,
        model: TrajectoryModel,
        config: PredictorConfig,
        lookup: TransformBuffer,
        *,
        adaptive: AdaptiveCalibration | None = None,
    ) -> None:
        """Starts with an empty history.

        Args:
            model: the prediction model.
            config: the options.
            lookup: transforms for tracks in other frames than the fixed one.
            adaptive: adapts the ellipses and learns in `evaluate`; None for the model's ellipses.

        Raises:
            ValueError: the model does not support the steps or the horizon.
        """
        self.steps = steps_of(model, config)
        #: Predicts from the histories.
        self.pipeline = PredictionPipeline(model, config.pipeline, adaptive)
        super().__init__(config, lookup, self.pipeline.history)
        self._numbers = AgentNumbers()
        self.evaluation = SelfEvaluation(self.pipeline, window_s=config.self_evaluation_window_s)
        #: The newest tick, from which the newest forecast is made.
        self.last_tick: Tick | None = None
        #: Why the robot's position, the walls or the robot's plan are unknown at the newest tick.
        self.refusals: list[Refusal] = []
        #: Walls that limit predictions, in the frame of their map. May change at any time.
        self.floor_plan: FloorPlan | None = None
        #: Where the robot is going to be, with `robot` only. May change at any time.
        self.robot_plan: RobotPlan | None = None

    def tick(self, now_ns: int) -> Forecast:
        """Predicts all agents from the current time on, in the frame of the histories.

        Raises:
            ValueError: the model cannot be run.
        """
        self.refusals = []
        if self.config.robot == "tf":
            refusal = self._robot.locate(self._lookup, self._frame, now_ns, self.track_timeout_s)
            self.refusals += [refusal] if refusal else []
        pipeline = self.pipeline
        pipeline.floor_plan = self._placed(self.floor_plan, now_ns, "map", "walls")
        pipeline.robot_plan = self._placed(self.robot_plan, now_ns, "plan", "the robot's plan")
        tick = self.last_tick = pipeline.tick(now_ns)
        if pipeline.plan_problem:
            self.refusals.append(Refusal("plan", pipeline.plan_problem))
        published = self._identities.published_ids
        if published:
            ids = tuple(published.get(agent_id, agent_id) for agent_id in tick.window.ids)
            tick = replace(tick, window=replace(tick.window, ids=ids))
        return forecast_from_tick(tick, self._numbers, self.steps, self._frame.frame_id)

    def published(self, forecast: Forecast) -> tuple[Forecast, list[str]]:
        """A forecast of `tick` in the published frame, and log texts on corrections of that frame.

        Raises:
            TransformUnavailableError: the transform into that frame is not known.
        """
        return self._frame.published(forecast, self._max_pose_age_s)

    def fixed_frame_pose(self, now_ns: int) -> RigidTransform | None:
        """The pose of the fixed frame in the histories' frame; None if they are the same.

        Raises:
            TransformUnavailableError: this pose is not known.
        """
        return self._frame.pose_of(self.config.fixed_frame, now_ns, self._max_pose_age_s)

    @property
    def placed_walls(self) -> FloorPlan | None:
        """The walls of the newest tick, in the frame of the histories."""
        return self.pipeline.floor_plan

    @property
    def _max_pose_age_s(self) -> float:
        return max(self.config.transform_wait_s, self.config.pipeline.track_timeout_s)

    def evaluate(self) -> ScoredPositions | None:
        """Scores earlier predictions with the ground truth known at the newest tick.

        The adaptive calibration learns from these scores. Call it after the forecast of each tick
        is published, as it would delay publishing.
        """
        return None if self.last_tick is None else self.evaluation.observe(self.last_tick)

    def reconfigure(self, config: PredictorConfig) -> None:
        """Applies the options that may change at run time; histories are kept."""
        super().reconfigure(config)
        self.pipeline.config = config.pipeline
        self.evaluation.window.window_s = config.self_evaluation_window_s

    def counters(self) -> dict[str, int]:
        """Further counters for `/diagnostics` and the health rules, by key."""
        n_cells = 0 if self.floor_plan is None else self.floor_plan.occupied.size
        return {**super().counters(), "map_cells": n_cells}

    @property
    def model(self) -> TrajectoryModel:
        """The model."""
        return self.pipeline.model

    @property
    def adaptive(self) -> AdaptiveCalibration | None:
        """The adaptive calibration, if there is one."""
        return self.pipeline.adaptive

    @property
    def published_frame(self) -> str:
        """Frame of the published forecasts."""
        return self._frame.published_id

    def _placed(self, plan: _Plan | None, now_ns: int, kind: str, what: str) -> _Plan | None:
        """A plan in the frame of the histories; None, and a refusal, if its pose is unknown."""
        if plan is None:
            return None
        try:
            pose = self._frame.pose_of(
                plan.frame_id or self.published_frame, now_ns, self._max_pose_age_s
            )
        except TransformUnavailableError as error:
            text = f"people are predicted without {what}: {error}"
            self.refusals.append(Refusal(kind, text))
            return None
        return plan if pose is None else plan.moved(pose)

    def _forget(self) -> None:
        super()._forget()
        self.robot_plan = None

    def _forget_histories(self) -> None:
        super()._forget_histories()
        self.evaluation.reset()
        self.last_tick = None
