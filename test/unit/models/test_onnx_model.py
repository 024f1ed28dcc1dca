"""Model files are untrusted data: valid files predict, invalid files raise a clear error."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.model_files import N_STEPS, STEP, onnx, write_card, write_model, write_nodes

from social_implicit_ros.models.model_file import ModelFileError
from social_implicit_ros.models.noise import standard_normal
from social_implicit_ros.models.onnx_model import OnnxModel

#: Operators that are not in the list.
FORBIDDEN = ("Loop", "Scan", "SequenceMap", "RandomNormal", "PyOp", "loop", "Loop\n", "")


def observed(n_agents: int = 2, n_steps: int = 8) -> np.ndarray:
    return np.arange(n_agents)[:, None, None] + np.ones((n_agents, n_steps, 2))


def test_samples_start_at_each_agents_last_position(tmp_path: Path) -> None:
    model = OnnxModel.load(write_model(tmp_path))

    prediction = model.predict(observed(), n_samples=20, seed=4)

    noise = standard_normal(20, 2, 4, "independent")
    for agent in range(2):
        for step in range(N_STEPS):
            np.testing.assert_allclose(
                prediction.samples[:, agent, step],
                agent + 1.0 + noise + (step + 1) * np.array(STEP),
                atol=1e-6,
            )
    np.testing.assert_allclose(prediction.mean, prediction.samples.mean(axis=0))
    np.testing.assert_allclose(prediction.covariance[0, 0], np.cov(noise.T, bias=True), atol=1e-6)
    assert prediction.step_s == 0.4


def test_the_card_describes_the_model(tmp_path: Path) -> None:
    model = OnnxModel.load(write_model(tmp_path))

    assert (model.name, model.n_observed, model.n_predicted) == ("walker", 8, N_STEPS)
    assert model.file.noise_dimension == 2


@pytest.mark.parametrize("n_steps", [2, 5, 8])
def test_short_histories_are_accepted(tmp_path: Path, n_steps: int) -> None:
    model = OnnxModel.load(write_model(tmp_path))

    assert model.predict(observed(3, n_steps)).samples.shape == (20, 3, N_STEPS, 2)


def test_a_scene_without_agents_has_an_empty_prediction(tmp_path: Path) -> None:
    prediction = OnnxModel.load(write_model(tmp_path)).predict(np.zeros((0, 8, 2)))

    assert prediction.samples.shape == (20, 0, N_STEPS, 2)
    assert prediction.covariance.shape == (0, N_STEPS, 2, 2)


def test_the_seed_decides_the_samples(tmp_path: Path) -> None:
    model = OnnxModel.load(write_model(tmp_path))
    first, again, other = (model.predict(observed(), seed=seed).samples for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_card_chooses_the_noise(tmp_path: Path) -> None:
    model = OnnxModel.load(write_model(tmp_path, noise_sequence="sobol"))

    samples = model.predict(observed(1), n_samples=8, seed=3).samples

    expected = 1.0 + np.array(STEP) + standard_normal(8, 2, 3, "sobol")
    np.testing.assert_allclose(samples[:, 0, 0], expected, atol=1e-6)


def test_zero_samples_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n_samples is 0"):
        OnnxModel.load(write_model(tmp_path)).predict(observed(), n_samples=0)


@pytest.mark.parametrize("name", ["gone.onnx", "walker.pb"])
def test_a_path_that_is_not_a_model_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "walker.pb").touch()
    with pytest.raises(ModelFileError, match=f"{name}': expected an existing .onnx file"):
        OnnxModel.load(tmp_path / name)


def test_a_model_without_a_card_says_where_it_should_be(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    path.with_suffix(".json").unlink()

    with pytest.raises(ModelFileError, match=r"no model card; expected .*walker\.json"):
        OnnxModel.load(path)


def test_a_bad_card_is_a_model_file_error(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    path.with_suffix(".json").write_text("{")

    with pytest.raises(ModelFileError, match="not JSON"):
        OnnxModel.load(path)


@pytest.mark.parametrize("kept", [0, 1, 100, 300])
def test_a_truncated_file_is_detected(tmp_path: Path, kept: int) -> None:
    path = write_model(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(ModelFileError, match="checksum"):
        OnnxModel.load(path)


@pytest.mark.parametrize("content", [b"", b"walker", b"\x00" * 1000, b"\x08\x08\x12\xff\xff\xff"])
def test_a_file_that_is_not_onnx_is_rejected_even_with_its_checksum(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "walker.onnx"
    path.write_bytes(content)
    write_card(path)

    with pytest.raises(ModelFileError, match="not a model that onnxruntime"):
        OnnxModel.load(path)


def test_a_large_file_is_rejected_unread(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    with path.open("r+b") as file:
        file.truncate(100 * 1024 * 1024)

    with pytest.raises(ModelFileError, match="more than"):
        OnnxModel.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_observed": 6}, r"'observed' has shape \(any, 8, 2\), expected \(any, 6, 2\)"),
        ({"n_predicted": 12}, r"'samples' has shape \(any, any, 3, 2\)"),
        (
            {"inputs": {"observed": ("A", 8, 2), "noise": ("K", 2), "map": ("A",)}},
            "has the inputs .*'map'",
        ),
        (
            {"inputs": {"observed": ("A", 8, 2), "mask": ("A", 8, 1), "noise": ("K", 2)}},
            r"'mask' has shape \(any, 8, 1\)",
        ),
        (
            {"inputs": {"observed": (4, 8, 2), "mask": ("A", 8), "noise": ("K", 2)}},
            r"'observed' has shape \(4, 8, 2\), expected \(any, 8, 2\)",
        ),
        (
            {"inputs": {"observed": ("A", 8, 2), "mask": ("A", 8), "noise": ("K", "D")}},
            r"'noise' has shape \(any, any\), expected \(any, fixed\)",
        ),
        ({"output_name": "futures"}, "no output 'samples'"),
        ({"element": 11}, r"tensor\(double\), expected tensor\(float\)"),
    ],
)
def test_a_signature_that_breaks_the_contract_is_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = write_model(tmp_path, **changes)

    with pytest.raises(ModelFileError, match=message):
        OnnxModel.load(path)


def test_an_output_of_another_shape_than_declared_is_an_error(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    model = onnx.load(path)
    *before, last = model.graph.node
    doubled = onnx.helper.make_node("Concat", ["zeros", "zeros"], ["twice"], axis=0)
    last.input[1] = "twice"
    write_nodes(path, model, [*before, doubled, last])

    with pytest.raises(ModelFileError, match=r"output samples has shape \(20, 4, 3, 2\)"):
        OnnxModel.load(path).predict(observed(2))


def test_a_model_is_freed_without_garbage_collection(tmp_path: Path) -> None:
    """A session takes megabytes, and the node collects garbage seldom."""
    model = OnnxModel.load(write_model(tmp_path))
    model.predict(observed())
    gc.disable()
    try:
        gone = weakref.ref(model)
        del model
        assert gone() is None
    finally:
        gc.enable()


def test_a_model_that_fails_while_running_is_a_model_file_error(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    model = onnx.load(path)
    # A reshape that only fits one agent, which no check of the file finds.
    helper = onnx.helper
    *before, last = model.graph.node
    last.input[0] = "shifted"
    write_nodes(
        path,
        model,
        [
            *before,
            helper.make_node("Constant", [], ["one_agent"], value_ints=[1, 8]),
            helper.make_node("Reshape", ["mask", "one_agent"], ["row"]),
            helper.make_node("ReduceSum", ["row"], ["total"], keepdims=0),
            helper.make_node("Add", ["moved", "total"], ["shifted"]),
            last,
        ],
    )

    with pytest.raises(ModelFileError, match="failed while running"):
        OnnxModel.load(path).predict(observed(3))


def weights_elsewhere(model: Any) -> None:
    """Moves the first weight into another file, as exporters of large models do."""
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def branch(model: Any, node: Any) -> None:
    """Adds a node in a branch of an `If`."""
    inner = onnx.helper.make_graph([node], "inner", [], [])
    model.graph.node.add(op_type="If", attribute=[onnx.helper.make_attribute("g", inner)])


def a_constant_elsewhere(model: Any) -> None:
    hidden = onnx.TensorProto(data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    hidden.external_data.add(key="location", value="/etc/hostname")
    branch(model, onnx.helper.make_node("Constant", [], ["c"], value=hidden))


def a_loop_in_a_branch(model: Any) -> None:
    branch(model, onnx.NodeProto(op_type="Loop"))


def another_domain(model: Any) -> None:
    model.graph.node[0].domain = "com.example"


def functions(model: Any) -> None:
    """15 functions that call each other twice take onnxruntime forever to inline."""
    opset = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("f", 1)]
    for n in range(15):
        called, domain = (f"f{n - 1}", "f") if n else ("Identity", "")
        nodes = [onnx.helper.make_node(called, [a], [b], domain=domain) for a, b in ("xy", "yz")]
        model.functions.append(onnx.helper.make_function("f", f"f{n}", ["x"], ["z"], nodes, opset))


def many_operators(model: Any) -> None:
    model.graph.node.extend([onnx.NodeProto(op_type="Add")] * 20_001)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (weights_elsewhere, "its weights are in other files"),
        (a_constant_elsewhere, "its weights are in other files"),
        (a_loop_in_a_branch, "operator Loop, which is not allowed"),
        (another_domain, r"operator of the domain 'com\.example'"),
        (functions, "has functions or training information"),
        (many_operators, "it has 20006 operators, expected at most 20000"),
        *(
            (lambda model, name=name: model.graph.node.add(op_type=name), "may not terminate")
            for name in FORBIDDEN
        ),
    ],
)
def test_a_file_that_is_not_safe_is_rejected(
    tmp_path: Path, change: Callable[[Any], None], message: str
) -> None:
    path = write_model(tmp_path)
    (tmp_path / "weights.bin").write_bytes(bytes(100))
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    write_card(path)

    with pytest.raises(ModelFileError, match=message):
        OnnxModel.load(path)


def varint(value: int, n_bytes: int) -> bytes:
    """A variable-length integer of so many bytes, canonical or not."""
    septets = [(value >> (7 * place)) & 0x7F for place in range(n_bytes)]
    return bytes(septet | 0x80 for septet in septets[:-1]) + bytes(septets[-1:])


def field(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content), -(-max(len(content), 1).bit_length() // 7)) + content


@pytest.mark.parametrize(
    "tag",
    [
        varint((4 << 3 | 2) | 1 << 33, 5),
        varint(4 << 3 | 2, 2),
        varint(4 << 3 | 2, 5),
        varint(4 << 3 | 2, 10),
        varint((4 << 3 | 2) | 1 << 64, 10),
        varint(2, 1),
    ],
    ids=["bit 33", "two bytes", "five bytes", "ten bytes", "bit 65", "number 0"],
)
def test_a_tag_that_readers_interpret_differently_is_rejected(tmp_path: Path, tag: bytes) -> None:
    """Protocol buffers ignore the upper bits, and read the operator Loop here."""
    path = write_model(tmp_path)
    graph = field(varint(1 << 3 | 2, 1), field(tag, b"Loop"))
    path.write_bytes(path.read_bytes() + field(varint(7 << 3 | 2, 1), graph))
    write_card(path)

    with pytest.raises(ModelFileError, match=r"canonical encoding|invalid number"):
        OnnxModel.load(path)


def test_a_noise_dimension_beyond_memory_is_rejected(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    model = onnx.load(path)
    model.graph.input[2].type.tensor_type.shape.dim[1].dim_value = 2**40
    helper = onnx.helper
    two = helper.make_node("Constant", [], ["two"], value_ints=[2])
    narrow = helper.make_node("Slice", ["noise", "first", "two", "observed_axes"], ["narrow"])
    model.graph.node[0].input[0] = "narrow"
    write_nodes(path, model, [two, narrow, *model.graph.node])

    with pytest.raises(ModelFileError, match=r"'noise' has shape"):
        OnnxModel.load(path)
