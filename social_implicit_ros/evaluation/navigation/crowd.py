"""A recording as a robot meets it: where people are, and what each predictor believes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from social_implicit_ros.evaluation.kalman import ConstantVelocityKalman
from social_implicit_ros.evaluation.navigation.beliefs import Belief, BeliefBuilder, oracle, rows_of
from social_implicit_ros.evaluation.people import People
from social_implicit_ros.evaluation.recording import Request
from social_implicit_ros.evaluation.reference import observed_people, with_simulated_tracker
from social_implicit_ros.evaluation.replay import BagReplay
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.eth_ucy import LEAVE_ONE_OUT
from social_implicit_ros.recordings.track_source import TrackSource
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray

#: Positions of people for the contacts, in each period of the control.
SUBSTEPS = 4
#: For so long after their first observation people cannot be hit, seconds: they appear at the edge
#: of the recorded area, also beside a robot.
NEW_S = 1.2
#: Predictors that need no model file.
STANDING, VELOCITY, KALMAN, ORACLE = "nobody moves", "constant velocity", "Kalman filter", "oracle"


@dataclass(frozen=True, eq=False)
class Crowd:
    """People and beliefs on the ticks of a robot's control.

    Attributes:
        period_s: from tick to tick, seconds.
        present_m: (F * SUBSTEPS, A, 2) where people are, metres; NaN for none.
        beliefs: by predictor, in the order of tables.
        note: remarks for the output.
    """

    period_s: float
    present_m: FloatArray
    beliefs: Mapping[str, Belief]
    note: str

    @property
    def n_ticks(self) -> int:
        """Ticks of the recording."""
        return len(self.present_m) // SUBSTEPS


def crowd_of(
    source: TrackSource,
    request: Request,
    opened: Callable[[int], None] = lambda n_messages: None,
    advance: Callable[[int], None] = lambda n_messages: None,
) -> Crowd:
    """Reads a recording and predicts it once: recorded people do not see the robot.

    Args:
        source: the recording.
        request: models, settings and the faults of a simulated tracker. The rate of ticks is that
            of the robot's plans, the published steps are those of a plan.
        opened: called once with the number of messages to read.
        advance: called with the number of messages whenever some were read.

    Raises:
        RecordingError: damaged, or nobody could be predicted.
    """
    settings = request.settings
    waits = (settings.pipeline.track_timeout_s, settings.transform_wait_s)
    opened(source.n_messages)
    reference, note = None, ""
    if request.faults is not None:
        reference = with_simulated_tracker(
            source, request.faults, track_timeout_s=waits[0], transform_wait_s=waits[1]
        )
        people, note = reference.people, reference.note
    else:
        people, _ = observed_people(source, *waits)
    models: dict[str, TrajectoryModel] = {VELOCITY: load_model("constant_velocity")}
    models[KALMAN] = ConstantVelocityKalman()
    models.update({name: load_model(of_split(name, source.path)) for name in request.models})
    builders = {name: BeliefBuilder(has_modes=name in request.models) for name in models}
    period_ns = round(NS_PER_S / settings.tick_rate_hz)
    first_ns, n_ticks = None, 0
    replay = BagReplay(source, models, settings, reference, request.floor_plan(source.path))
    for ticks in replay.ticks(advance):
        stamp_ns = ticks[VELOCITY].forecast.stamp_ns
        first_ns = stamp_ns if first_ns is None else first_ns
        tick, off_ns = divmod(stamp_ns - first_ns, period_ns)
        if tick < n_ticks or off_ns:  # time jumped: what follows is another recording
            continue
        n_ticks = tick + 1
        for name, builder in builders.items():
            builder.add(tick, ticks[name].forecast)
    if first_ns is None:
        raise RecordingError(f"{source.path}: nobody could be predicted")
    stamps_ns = first_ns + period_ns * np.arange(n_ticks)
    beliefs = _by_predictor({name: b.beliefs(n_ticks) for name, b in builders.items()})
    beliefs[ORACLE] = oracle(people, stamps_ns.tolist())
    return Crowd(period_ns / NS_PER_S, _positions(people, stamps_ns, period_ns), beliefs, note)


def of_split(model: str, path: Path) -> str:
    """The model of a recording: `{split}` stands for the split that holds it out.

    Raises:
        RecordingError: no split of the benchmark holds the recording out.
    """
    if "{split}" not in model:
        return model
    for split, names in LEAVE_ONE_OUT.items():
        if path.stem in (*names, f"seq_{split}"):
            return model.replace("{split}", split)
    raise RecordingError(f"{path} is in no split of the benchmark: give --model without {{split}}")


def _by_predictor(kinds: Mapping[str, Mapping[str, Belief]]) -> dict[str, Belief]:
    beliefs = {
        STANDING: kinds[VELOCITY]["regions"].standing(),
        VELOCITY: kinds[VELOCITY]["regions"].without_regions(),
        KALMAN: kinds[KALMAN]["regions"],
    }
    for name, of_model in kinds.items():
        if "modes" in of_model:
            beliefs[f"{name}, mean"] = of_model["regions"].without_regions()
            beliefs[f"{name}, regions"] = of_model["regions"]
            beliefs[f"{name}, modes"] = of_model["modes"]
    return beliefs


def _positions(people: People, stamps_ns: IntArray, period_ns: int) -> FloatArray:
    """(F * SUBSTEPS, A, 2) metres; NaN for none. Who has just appeared is not there yet."""
    times_ns = stamps_ns[0] + np.arange(len(stamps_ns) * SUBSTEPS) * (period_ns // SUBSTEPS)
    _, first = np.unique(people.people, return_index=True)
    known_ns = people.stamps_ns[first] + round(NEW_S * NS_PER_S)
    known_ns[people.stamps_ns[first] <= stamps_ns[0]] = 0
    present = []
    for stamp_ns in times_ns.tolist():
        who, where_m = people.present_at(stamp_ns)
        present.append(where_m[known_ns[who] <= stamp_ns])
    rows = rows_of(np.repeat(np.arange(len(present)), [len(p) for p in present]), len(present))
    known_m = np.concatenate([*present, np.full((1, 2), np.nan)])
    return np.asarray(known_m[rows])
