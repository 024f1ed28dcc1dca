"""Fuzz targets: each takes any bytes and raises only if the code violates its contract.

The contract: only the documented exception is raised, with a text that names the error, and
accepted input can be used. Fuzzers also check that nothing hangs or exhausts the memory.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.draws import NUMBERS, TEXTS, Draws
from fuzz.meaning import meaning_seeds, run_meaning
from fuzz.messages import build, typestore
from support.object_decoder import ObjectDecoder

from social_implicit_ros.models.card import load_card
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.forecast import Forecast, forecast_from_tick
from social_implicit_ros.prediction.pipeline import PipelineConfig, PredictionPipeline
from social_implicit_ros.prediction.resample import Steps
from social_implicit_ros.tracks.frames.transforms import RigidTransform, transform_tracks
from social_implicit_ros.tracks.messages.agent_ids import AgentNumbers
from social_implicit_ros.tracks.messages.cdr_layout import Definitions
from social_implicit_ros.tracks.messages.decoder import TrackerDecoder
from social_implicit_ros.tracks.messages.field_path import TrackerSpecError
from social_implicit_ros.tracks.messages.spec import (
    TrackerSpec,
    load_tracker_spec,
    shipped_trackers,
)
from social_implicit_ros.tracks.stamp_guard import StampGuard
from social_implicit_ros.types import ROBOT_ID, Tracks

_STEPS = Steps(0.4, 12)
#: Only the beginning of a recording is read.
_MOST_ARRIVALS = 200


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes:
        run: takes any bytes; raises if the contract is violated.
        seeds: valid inputs, from which others are derived.
        cases: number of cases of `make fuzz`.
        needs: library that it needs.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    cases: int
    needs: str = "numpy"


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


@cache
def _specs() -> list[TrackerSpec]:
    return [load_tracker_spec(file) for file in shipped_trackers().values()]


# Messages, from any preset to a forecast


def run_messages(data: bytes) -> None:
    """Three messages of a shipped mapping; published predictions are finite."""
    draws = Draws(data)
    spec = _specs()[draws.byte() % len(_specs())]
    decoder, guard = ObjectDecoder(spec), StampGuard(1.0)
    config = PipelineConfig(n_samples=2, add_tracker_covariance=True)
    pipeline = PredictionPipeline(ConstantVelocity(), config)
    for _ in range(3):
        message = build(spec.message_type, draws)
        try:
            tracks = decoder.decode(message).tracks
            if tracks is not None and draws.byte() % 4 == 0:
                tracks = transform_tracks(tracks, _transform(draws))
        except ValueError as error:
            assert str(error)
            continue
        if tracks is not None:
            _enter(pipeline, guard, tracks, draws.integer(8, signed=True))


def run_raw(data: bytes) -> None:
    """Serialised messages with wrong bytes."""
    if not data:
        return
    spec = _specs()[data[0] % len(_specs())]
    try:
        tracks = _decoder(spec).decode(data[1:]).tracks
    except ValueError as error:
        assert str(error)
        return
    if tracks is not None:
        _enter_first(tracks)


def _enter_first(tracks: Tracks) -> None:
    """Passes the tracks to a new pipeline."""
    pipeline = PredictionPipeline(ConstantVelocity(), PipelineConfig(n_samples=2))
    _enter(pipeline, StampGuard(1.0), tracks, 0)


@cache
def _decoder(spec: TrackerSpec) -> TrackerDecoder:
    return TrackerDecoder(spec, _definitions_of(spec.message_type))


def _definitions_of(message_type: str) -> Definitions:
    """Empty for unknown types."""
    from social_implicit_ros.recordings.definitions import definitions_of

    store = typestore()
    return definitions_of(store, message_type) if message_type in store.fielddefs else {}


def raw_seeds() -> list[bytes]:
    return _message_seeds(_specs())


def _message_seeds(specs: Sequence[TrackerSpec]) -> list[bytes]:
    """A message of each tracker, after the tracker's number."""
    seeds = []
    for number, spec in enumerate(specs):
        message = build(spec.message_type, Draws(b"\1" * 4000))
        data = typestore().serialize_cdr(message, spec.message_type)
        seeds.append(bytes([number]) + bytes(data))
    return seeds


def _transform(draws: Draws) -> RigidTransform:
    values = np.array([draws.number() for _ in range(7)])
    return RigidTransform.from_quaternion(values[:4], values[4:])


def _enter(pipeline: PredictionPipeline, guard: StampGuard, tracks: Tracks, now_ns: int) -> None:
    if guard.check(tracks.stamp_ns, now_ns) is not None:
        return
    if guard.has_jumped_back:
        pipeline.history.reset()
    assert ROBOT_ID not in tracks.ids
    rejected = pipeline.history.insert(tracks)
    assert set(rejected) <= set(tracks.ids)
    tick = pipeline.tick(tracks.stamp_ns)
    check_forecast(forecast_from_tick(tick, AgentNumbers(), _STEPS, "odom"))


def check_forecast(forecast: Forecast) -> None:
    prediction = forecast.prediction
    for values in (forecast.heights_m, prediction.mean, prediction.covariance):
        assert np.isfinite(values.astype(np.float32)).all()
    determinant = np.linalg.det(prediction.covariance)
    assert (determinant >= -1e-6 * np.abs(prediction.covariance).max(initial=1.0) ** 2).all()


# Files


def _written(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


def run_tracker_yaml(data: bytes) -> None:
    try:
        spec = load_tracker_spec(_written("tracker.yaml", data))
        TrackerDecoder(spec, _definitions_of(spec.message_type))
    except TrackerSpecError as error:
        assert str(error)
        return
    if spec.message_type in typestore().fielddefs:
        try:
            ObjectDecoder(spec).decode(build(spec.message_type, Draws(data)))
        except ValueError as error:
            assert str(error)


def tracker_seeds() -> list[bytes]:
    return [file.read_bytes() for file in shipped_trackers().values()]


def run_card(data: bytes) -> None:
    try:
        card = load_card(_written("card.json", data))
        if card.calibration:
            _calibration(card.calibration)
    except ValueError as error:
        assert str(error)


def _calibration(values: dict[str, Any]) -> None:
    from social_implicit_ros.uncertainty.calibration import Calibration, ObservedMotion

    calibration = Calibration.from_dict(values)
    motion = ObservedMotion(np.array([0.0, 1.0, 50.0]), np.array([0.0, 0.1, 1e6]))
    ones = np.broadcast_to(np.eye(2), (3, calibration.n_steps, 2, 2))
    covariance, radius_scales = calibration.calibrated(ones, motion)
    assert covariance.shape == ones.shape
    assert radius_scales.shape[:2] == (3, calibration.n_steps)


def card_seeds() -> list[bytes]:
    from social_implicit_ros.models.registry import model_path, shipped_models

    return [model_path(name).with_suffix(".json").read_bytes() for name in shipped_models()]


def run_onnx(data: bytes) -> None:
    """A model file whose card has its checksum: it is refused, or it predicts."""
    from social_implicit_ros.models.model_file import ModelFileError
    from social_implicit_ros.models.onnx_model import OnnxModel

    path = _written("model.onnx", data)
    _write_card(path)
    try:
        prediction = OnnxModel.load(path).predict(np.ones((2, 8, 2)), n_samples=3)
    except ModelFileError as error:
        assert str(error)
    else:
        assert prediction.mean.shape == (2, 3, 2)


def _write_card(path: Path) -> None:
    from social_implicit_ros.models.card import file_sha256

    values = {
        **{"name": "walker", "architecture": "test", "description": "", "parameters": 2},
        **{"step_s": 0.4, "n_observed": 8, "n_predicted": 3, "sha256": file_sha256(path)},
    }
    path.with_suffix(".json").write_text(json.dumps(values))


def onnx_seeds() -> list[bytes]:
    from support.model_files import write_model

    return [write_model(_folder()).read_bytes()]


def run_text(data: bytes) -> None:
    _read_recording(_written("recording.txt", data))


def run_mcap(data: bytes) -> None:
    _read_recording(_written("recording.mcap", data))


def run_db3(data: bytes) -> None:
    _read_recording(_written("recording.db3", data))


def _read_recording(path: Path) -> None:
    from social_implicit_ros.recordings.arrivals import recorded_tracks
    from social_implicit_ros.recordings.bag import RecordingError
    from social_implicit_ros.recordings.track_source import open_source

    try:
        source = open_source(path)
        for tracks in itertools.islice(recorded_tracks(source), _MOST_ARRIVALS):
            assert tracks.positions_m.shape[1] == 2
    except (RecordingError, TrackerSpecError) as error:
        assert str(error)


def text_seeds() -> list[bytes]:
    return [b"0 1 1.5 2.5\n0 2 3.0 4.0\n10 1 1.6 2.5\n10 2 3.0 4.1\n", b"780.0 1.0 8.46 3.59\n"]


def bag_seeds(storage: str) -> list[bytes]:
    from support.bags import people_messages, walkers, write_bag

    target = Path(tempfile.mkdtemp(dir=_folder())) / "bag"
    messages = people_messages(walkers(duration_s=1.0, rate_hz=5.0, n_agents=2))
    write_bag(target, messages, storage=storage)
    (file,) = [path for path in target.iterdir() if path.suffix != ".yaml"]
    return [file.read_bytes()]


# Parameters


def run_parameters(data: bytes) -> None:
    """A change of parameters is refused with a reason, or the outputs render with it."""
    from social_implicit_ros.ros import parameter_node as parameters
    from social_implicit_ros.ros.outputs.registry import load_output

    draws = Draws(data)
    values = {spec.name: spec.default for spec in parameters.PARAMETERS}
    names = [*values, "trackers", "use_sim_time", ""]
    changes = {names[draws.byte() % len(names)]: _value(draws) for _ in range(1 + draws.byte() % 3)}
    parameters.unknown_parameters(changes)
    try:
        parameters.check_change(values, changes, is_configured=draws.byte() % 2 == 0)
        config = parameters.NodeConfig.from_values(
            {name: changes.get(name, value) for name, value in values.items()}
        )
    except parameters.ParameterError as error:
        assert str(error)
        return
    forecast = _forecast(config.predictor.pipeline)
    for name in ("pointcloud", "markers", "samples"):
        load_output(name, config).render(forecast)


def _value(draws: Draws) -> Any:
    kind = draws.byte() % 8
    if kind == 0:
        return draws.byte() % 2 == 1
    if kind in (1, 2):
        return draws.integer(8, signed=True)
    if kind in (3, 4):
        return draws.number()
    if kind == 5:
        return draws.text()
    if kind == 6:
        return [draws.number() for _ in range(draws.byte() % 5)]
    return [_value(draws) for _ in range(draws.byte() % 3)]


@cache
def _forecast(config: PipelineConfig) -> Forecast:
    pipeline = PredictionPipeline(ConstantVelocity(), config)
    for stamp_ns in (1, 100_000_000):
        pipeline.history.insert(Tracks(stamp_ns, ("one", "two"), np.eye(2)))
    return forecast_from_tick(pipeline.tick(100_000_000), AgentNumbers(), _STEPS, "odom")


def drawn_seeds() -> list[bytes]:
    return [bytes([n]) + bytes(range(256)) for n in range(16)] + [
        bytes([n]) + bytes(range(256))[::-1] for n in range(len(NUMBERS) + len(TEXTS))
    ]


TARGETS = {
    "messages": Target(run_messages, drawn_seeds, 40_000),
    "meaning": Target(run_meaning, meaning_seeds, 600),
    "raw": Target(run_raw, raw_seeds, 40_000),
    "tracker_yaml": Target(run_tracker_yaml, tracker_seeds, 5_000),
    "parameters": Target(run_parameters, drawn_seeds, 12_000, needs="rclpy"),
    "card": Target(run_card, card_seeds, 4_000),
    "onnx": Target(run_onnx, onnx_seeds, 5_000, needs="onnx"),
    "text": Target(run_text, text_seeds, 5_000),
    "mcap": Target(run_mcap, lambda: bag_seeds("mcap"), 4_000),
    "db3": Target(run_db3, lambda: bag_seeds("sqlite3"), 2_000),
}
