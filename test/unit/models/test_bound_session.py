"""Runs of a known size reuse arrays, and nobody notices but by the clock."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from support.model_files import onnx, write_model, write_nodes

from social_implicit_ros.models.features import ModelInput, model_input_from_observed
from social_implicit_ros.models.onnx_model import ModelFileError, OnnxModel, model_path

MODELS = ("social_zone", "social_implicit")


def scene(seed: int, n_agents: int) -> ModelInput:
    generator = np.random.default_rng(seed)
    steps_m = generator.normal(0.4, 0.1, (n_agents, 8, 2))
    positions_m = generator.uniform(0.0, 5.0, (n_agents, 1, 2)) + steps_m.cumsum(axis=1)
    return model_input_from_observed(positions_m, 8)


def plainly(name: str, tensors: ModelInput, noise: np.ndarray) -> dict[str, np.ndarray]:
    """What onnxruntime's own `run` puts out."""
    session = onnxruntime.InferenceSession(
        str(model_path(name)), providers=["CPUExecutionProvider"]
    )
    names = [entry.name for entry in session.get_outputs()]
    feed = {"observed": tensors.observed, "mask": tensors.mask, "noise": noise}
    return dict(zip(names, session.run(names, feed), strict=True))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n_samples", [1, 20, 100])
def test_every_run_puts_out_what_onnxruntime_does(name: str, n_samples: int) -> None:
    model = OnnxModel.load(name)
    # More sizes than are kept, small ones again and again, and one too large to be.
    for seed, n_agents in enumerate([*range(1, 40), 1, 39, 2, 2, 300, 2, 300]):
        tensors, noise = scene(seed, n_agents), model.noise(n_samples, seed)
        expected = plainly(name, tensors, noise)
        found = model.forward(tensors, noise)
        assert list(found) == list(expected)
        for output, values in expected.items():
            np.testing.assert_array_equal(found[output], values, err_msg=f"{output} {n_agents}")


@pytest.mark.parametrize("name", MODELS)
def test_an_answer_stays_when_the_next_is_asked_for(name: str) -> None:
    model = OnnxModel.load(name)
    answers = [model.forward(scene(seed, 3), model.noise(20)) for seed in range(4)]
    kept = [{output: values.copy() for output, values in answer.items()} for answer in answers]

    answers[1]["samples"][:] = np.nan
    model.forward(scene(9, 3), model.noise(20))

    for answer, before in zip(answers[2:], kept[2:], strict=True):
        for output, values in before.items():
            np.testing.assert_array_equal(answer[output], values)


def test_threads_do_not_read_one_anothers_answers() -> None:
    model = OnnxModel.load("social_zone")
    scenes = [scene(seed, 4) for seed in range(200)]
    expected = [mean_of(model, tensors) for tensors in scenes]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda tensors: mean_of(model, tensors), scenes))

    np.testing.assert_array_equal(answers, expected)


def mean_of(model: OnnxModel, tensors: ModelInput) -> np.ndarray:
    return model.forward(tensors, model.noise(20))["mean"]


def test_a_file_whose_shapes_hang_on_its_values_is_caught(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    model = onnx.load(path)
    helper = onnx.helper
    *before, last = model.graph.node
    last.output[0] = "once"
    # As many futures as asked for, and three times as many where a step was not seen.
    write_nodes(
        path,
        model,
        [
            *before,
            last,
            helper.make_node("ReduceMin", ["mask"], ["seen"], keepdims=0),
            helper.make_node("Constant", [], ["three"], value_float=3.0),
            helper.make_node("Constant", [], ["two"], value_float=2.0),
            helper.make_node("Mul", ["seen", "two"], ["taken"]),
            helper.make_node("Sub", ["three", "taken"], ["times"]),
            helper.make_node("Cast", ["times"], ["whole"], to=onnx.TensorProto.INT64),
            helper.make_node("Unsqueeze", ["whole", "first"], ["futures"]),
            helper.make_node("Constant", [], ["others"], value_ints=[1, 1, 1]),
            helper.make_node("Concat", ["futures", "others"], ["repeats"], axis=0),
            helper.make_node("Tile", ["once", "repeats"], ["samples"]),
        ],
    )
    loaded = OnnxModel.load(path)
    observed = np.ones((2, 8, 2))
    before_it = loaded.predict(observed)

    with pytest.raises(ModelFileError, match="failed while running"):
        loaded.predict(observed[:, 3:])

    np.testing.assert_array_equal(loaded.predict(observed).samples, before_it.samples)


def test_a_model_that_is_let_go_is_gone_at_once() -> None:
    """Its sessions hold megabytes, and the node collects garbage seldom."""
    model = OnnxModel.load("social_zone")
    model.forward(scene(0, 3), model.noise(20))
    gc.disable()
    try:
        gone = weakref.ref(model)
        del model
        assert gone() is None
    finally:
        gc.enable()
