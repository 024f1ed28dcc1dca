"""A recording for a simulated robot: positions of people, and predictions of each predictor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from social_implicit_ros.evaluation.faulty_tracker.people import People
from social_implicit_ros.evaluation.faulty_tracker.reference import (
    observed_people,
    with_simulated_tracker,
)
from social_implicit_ros.evaluation.navigation.robot import DT_S, N_STEPS
from social_implicit_ros.evaluation.replay import BagReplay
from social_implicit_ros.evaluation.request import Request
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.kalman import ConstantVelocityKalman
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.modes import representative_paths
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.resample import extend_prediction, without_samples
from social_implicit_ros.recordings.arrivals import predictor_config
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.left_out import LeftOut
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT
from social_implicit_ros.recordings.track_source import TrackSource
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray, Prediction
from social_implicit_ros.uncertainty.ellipses import confidence_to_sigmas, joined_scales, radius_at

#: Number of positions per control period at which contacts are checked.
SUBSTEPS = 4
#: Time after a person's first observation in which collisions do not count, seconds: people appear
#: at the edge of the recorded area, possibly beside the robot.
NEW_S = 1.2
#: Predictors that need no model file.
STANDING, VELOCITY, KALMAN, ORACLE = "nobody moves", "constant velocity", "Kalman filter", "oracle"
#: Number of modes per person.
N_MODES = 5


@dataclass(frozen=True, eq=False)
class Belief:
    """All N predictions of one predictor, each of one person at one tick; P modes, T steps.

    Attributes:
        rows: (F, A) rows of the predictions at each tick; -1 for none.
        present_m: (N, 2) positions at the tick, metres.
        mean_m: (N, P, T, 2) predicted positions, metres.
        weights: (N, P) probability of each mode.
        regions: the N predictions with their uncertainty, without samples; None without it.
    """

    rows: IntArray
    present_m: FloatArray
    mean_m: FloatArray
    weights: FloatArray
    regions: Prediction | None = None

    @property
    def covariance_m2(self) -> FloatArray:
        """(N, T, 2, 2) covariances, square metres; zeros without regions."""
        if self.regions is None:
            n_predictions, _, n_steps, _ = self.mean_m.shape
            return np.zeros((n_predictions, n_steps, 2, 2))
        return self.regions.covariance

    def radius_at(self, confidence: float | None) -> FloatArray:
        """(N, T) Mahalanobis radius of the region of a confidence; zeros without regions."""
        if self.regions is None or confidence is None:
            return np.zeros((len(self.mean_m), self.mean_m.shape[2]))
        return radius_at(self.regions, confidence)

    def scale_at(self, confidence: float | None) -> FloatArray:
        """(N, T) factor of the covariance that is published for a confidence."""
        sigmas = 1.0 if confidence is None else confidence_to_sigmas(confidence)
        return (self.radius_at(confidence) / sigmas) ** 2

    def standing(self) -> Belief:
        """Predictions that nobody moves."""
        mean_m = np.broadcast_to(self.present_m[:, None, None], self.mean_m[:, :1].shape)
        return Belief(self.rows, self.present_m, mean_m, self.weights[:, :1])


#: Name of a predictor in tables -> name of its model, and the kind of its `Belief`.
Predictors = Mapping[str, tuple[str, str]]


def predictors_of(models: Iterable[str]) -> Predictors:
    """The predictors that are compared, in the order of tables, without the oracle."""
    found = {
        STANDING: (VELOCITY, "standing"),
        VELOCITY: (VELOCITY, "mean"),
        KALMAN: (KALMAN, "regions"),
    }
    for model in models:
        found |= {f"{model}, {kind}": (model, kind) for kind in ("mean", "regions", "modes")}
    return found


class BeliefBuilder:
    """Collects the forecasts of one model."""

    def __init__(self, *, has_modes: bool) -> None:
        """With `has_modes`, the modes are collected, too."""
        self._has_modes = has_modes
        self._ticks: list[int] = []
        self._parts: list[tuple[FloatArray, Prediction]] = []
        self._modes: list[tuple[FloatArray, FloatArray]] = []

    def add(self, tick: int, forecast: Forecast) -> None:
        """Adds the forecast of a tick."""
        prediction = extend_prediction(forecast.prediction, forecast.present_m, N_STEPS)
        self._ticks += [tick] * len(forecast.ids)
        self._parts.append((forecast.present_m, without_samples(prediction)))
        if self._has_modes:
            self._modes.append(representative_paths(prediction, N_MODES))

    def belief(self, kind: str, n_ticks: int) -> Belief:
        """The predictions as `standing`, `mean`, `regions`, or, if they are collected, `modes`."""
        presents_m, predictions = zip(*self._parts, strict=True)
        present_m = np.concatenate(presents_m)
        mean_m = np.concatenate([prediction.mean for prediction in predictions])
        rows = rows_of(np.array(self._ticks, dtype=np.int64), n_ticks)
        belief = Belief(rows, present_m, mean_m[:, None], np.ones((len(present_m), 1)))
        if kind == "standing":
            return belief.standing()
        if kind == "regions":
            covariance = np.concatenate([prediction.covariance for prediction in predictions])
            samples = np.empty((0, *mean_m.shape))
            scales = joined_scales(predictions)
            regions = Prediction(samples, mean_m, covariance, DT_S, scales)
            return replace(belief, regions=regions)
        if kind == "modes":
            paths_m, weights = (np.concatenate(part) for part in zip(*self._modes, strict=True))
            return replace(belief, mean_m=paths_m, weights=weights)
        return belief


def oracle(people: People, stamps_ns: Sequence[int]) -> Belief:
    """The true future; people continue at constant velocity after their last observation."""
    steps_ns = np.round(np.arange(-2, N_STEPS + 1) * DT_S * NS_PER_S).astype(np.int64)
    ticks, paths = [], []
    for tick, stamp_ns in enumerate(stamps_ns):
        present, _ = people.present_at(stamp_ns)
        ticks += [tick] * len(present)
        paths.append(people.positions_at(present, stamp_ns + steps_ns))
    path_m = _extrapolated(np.concatenate(paths))
    rows = rows_of(np.array(ticks, dtype=np.int64), len(stamps_ns))
    return Belief(rows, path_m[:, 2], path_m[:, None, 3:], np.ones((len(path_m), 1)))


def _extrapolated(path_m: FloatArray) -> FloatArray:
    """Replaces NaN after the third position of (N, S, 2) paths, which is known."""
    path_m = path_m.copy()
    path_m[:, 1] = np.where(np.isnan(path_m[:, 1]), path_m[:, 2], path_m[:, 1])
    for step in range(3, path_m.shape[1]):
        ahead_m = 2.0 * path_m[:, step - 1] - path_m[:, step - 2]
        path_m[:, step] = np.where(np.isnan(path_m[:, step]), ahead_m, path_m[:, step])
    return path_m


def rows_of(ticks: IntArray, n_ticks: int) -> IntArray:
    """(F, A) rows of each tick, -1 where it has fewer; `ticks` is (N,), ascending."""
    counts = np.bincount(ticks, minlength=n_ticks)
    rows = np.full((n_ticks, max(int(counts.max(initial=0)), 1)), -1)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rows[ticks, np.arange(len(ticks)) - first[ticks]] = np.arange(len(ticks))
    return rows


@dataclass(frozen=True, eq=False)
class Crowd:
    """The people of a recording, and predictions of them, at the F control ticks of a robot.

    Attributes:
        people: the recorded people.
        first_ns: stamp of the first tick, integer nanoseconds.
        period_ns: time between two ticks, integer nanoseconds.
        n_ticks: number of ticks F.
        beliefs: predictions of the recorded people by predictor, in the order of tables.
        predictors: model and kind of belief of each predictor except the oracle.
        new_predictor: creates a predictor with an empty history for the name of a model.
        frame_id: frame of the positions.
        notes: remarks for the output, such as which entries are left out.
        name: name of the recording, for errors.
    """

    people: People
    first_ns: int
    period_ns: int
    n_ticks: int
    beliefs: Mapping[str, Belief]
    predictors: Predictors
    new_predictor: Callable[[str], Predictor]
    frame_id: str = "map"
    notes: tuple[str, ...] = ()
    name: str = ""

    @property
    def period_s(self) -> float:
        """Time between two ticks, seconds."""
        return self.period_ns / NS_PER_S

    @cached_property
    def known_ns(self) -> IntArray:
        """(P,) stamps from which collisions with each person count, see `NEW_S`.

        They are 0 for people who are present at the first tick.
        """
        _, first = np.unique(self.people.people, return_index=True)
        first_ns = self.people.stamps_ns[first]
        return np.where(first_ns <= self.first_ns, 0, first_ns + round(NEW_S * NS_PER_S))

    @cached_property
    def present_m(self) -> FloatArray:
        """(F * SUBSTEPS, A, 2) positions of people whose collisions count, metres; NaN for none."""
        substeps = np.arange(self.n_ticks * SUBSTEPS)
        times_ns = self.first_ns + substeps * (self.period_ns // SUBSTEPS)
        present = []
        for stamp_ns in times_ns.tolist():
            who, where_m = self.people.present_at(stamp_ns)
            present.append(where_m[self.known_ns[who] <= stamp_ns])
        rows = rows_of(np.repeat(substeps, [len(p) for p in present]), len(present))
        known_m = np.concatenate([*present, np.full((1, 2), np.nan)])
        return np.asarray(known_m[rows])


def crowd_of(
    source: TrackSource,
    request: Request,
    advance: Callable[[int, int], None] = lambda n_read, n_messages: None,
) -> Crowd:
    """Reads a recording and predicts it once, as recorded people do not react to the robot.

    Args:
        source: the recording.
        request: models, settings and the faults of a simulated tracker. The tick rate must be that
            of the robot's plans, and the published steps those of a plan.
        advance: called with the number of messages read so far and the total.

    Raises:
        RecordingError: the recording is damaged, or nobody could be predicted.
    """
    settings, floor_plan = request.settings, request.floor_plan(source.path)
    reference = None
    if request.faults is not None:
        reference = with_simulated_tracker(source, request.faults, settings)
    # The replay counts what is left out.
    people = reference.people if reference else observed_people(source, settings, LeftOut())[0]
    models: dict[str, TrajectoryModel] = {
        VELOCITY: load_model("constant_velocity"),
        KALMAN: ConstantVelocityKalman(),
        **{name: load_model(of_split(name, source.path)) for name in request.models},
    }
    builders = {name: BeliefBuilder(has_modes=name in request.models) for name in models}
    replay = BagReplay(source, models, settings, reference, floor_plan)
    period_ns = round(NS_PER_S / settings.tick_rate_hz)
    first_ns, n_ticks = _replayed(replay, builders, period_ns, advance)
    if not n_ticks:
        raise RecordingError(
            f"{source.path}: nobody could be predicted; run evaluate_bag to see why"
        )
    predictors = predictors_of(request.models)
    beliefs = {
        name: builders[model].belief(kind, n_ticks) for name, (model, kind) in predictors.items()
    }
    beliefs[ORACLE] = oracle(people, (first_ns + period_ns * np.arange(n_ticks)).tolist())

    def new_predictor(model: str) -> Predictor:
        predictor = Predictor(models[model], predictor_config(source, settings), TransformBuffer())
        predictor.floor_plan = None if floor_plan is None else floor_plan.prepare()
        return predictor

    return Crowd(
        people,
        first_ns,
        period_ns,
        n_ticks,
        beliefs,
        predictors,
        new_predictor,
        source.fixed_frame,
        (*source.remarks, *(reference.notes if reference else ()), *replay.counts.notes()),
        str(source.path),
    )


def _replayed(
    replay: BagReplay,
    builders: Mapping[str, BeliefBuilder],
    period_ns: int,
    advance: Callable[[int, int], None],
) -> tuple[int, int]:
    """Collects the forecasts; returns the stamp of the first tick, and the number of ticks."""
    first_ns = n_ticks = 0
    for ticks in replay.ticks(advance):
        stamp_ns = ticks[VELOCITY].forecast.stamp_ns
        if n_ticks == 0:
            first_ns = stamp_ns
        tick, off_ns = divmod(stamp_ns - first_ns, period_ns)
        if tick < n_ticks or off_ns:  # time jumped: the rest is not comparable
            continue
        n_ticks = tick + 1
        for name, builder in builders.items():
            builder.add(tick, ticks[name].forecast)
    return first_ns, n_ticks


def of_split(model: str, path: Path) -> str:
    """Replaces `{split}` in the name of a model by the benchmark split that holds a recording out.

    Raises:
        RecordingError: no split holds the recording out.
    """
    if "{split}" not in model:
        return model
    for split, names in LEAVE_ONE_OUT.items():
        if path.stem in (*names, f"seq_{split}"):
            return model.replace("{split}", split)
    raise RecordingError(f"{path} is in no split of the benchmark: use a --model without {{split}}")
