"""`train_model`, from bags to a model file with its card and a table of before and after."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")
pytest.importorskip("onnx", reason="onnx comes with `make test-training`")

from support.bags import START_NS, S, people_messages, walkers, write_bag  # noqa: E402

from social_implicit_ros.commands.train_model import main  # noqa: E402
from social_implicit_ros.models.card import file_sha256, load_card  # noqa: E402
from social_implicit_ros.models.onnx_model import OnnxModel  # noqa: E402
from social_implicit_ros.models.registry import model_path  # noqa: E402
from social_implicit_ros.training.comparison import LABELS  # noqa: E402
from social_implicit_ros.types import Tracks  # noqa: E402

pytestmark = pytest.mark.training


def procession(n_people: int = 60, *, seed: int = 0) -> list[Tracks]:
    """A person every 4 s, who walks straight for 6 s, then turns left."""
    generator = np.random.default_rng(seed)
    times_s = np.arange(0.0, 14.0, 0.2)
    heading = np.where(times_s > 6.0, 0.3 * (times_s - 6.0), 0.0)
    bend = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    seen: dict[int, list[tuple[str, np.ndarray]]] = {}
    for person in range(n_people):
        steps = 0.2 * generator.uniform(0.8, 1.4) * bend
        path = steps.cumsum(axis=0) + generator.uniform(-3.0, 3.0, 2)
        path += generator.normal(0.0, 0.01, path.shape)
        for row, position in enumerate(path):
            seen.setdefault(20 * person + row, []).append((f"p{person}", position))
    return [
        Tracks(
            START_NS + round(0.2 * tick * S),
            tuple(agent for agent, _ in entries),
            np.array([position for _, position in entries]),
        )
        for tick, entries in sorted(seen.items())
    ]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "hall", people_messages(procession()))


@pytest.fixture(scope="module")
def out(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of a run with few iterations, and what it printed."""
    folder = tmp_path_factory.mktemp("out")
    options = ["--iterations", "40", "--tracker", "people", "--out", str(folder)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.setenv("COLUMNS", "140")
        assert main(["--bags", str(bag), *options]) == 0
    (folder / "printed.txt").write_text(printed.getvalue(), encoding="utf-8")
    return folder


def test_the_node_can_load_the_model(out: Path) -> None:
    model = OnnxModel.load(out / "social_zone_tuned.onnx")
    prediction = model.predict(np.zeros((2, 8, 2)) + np.arange(8)[:, None], n_samples=20)
    assert prediction.samples.shape == (20, 2, 12, 2)
    assert prediction.radius_scales is not None  # calibrated


def test_before_and_after_are_in_the_table(out: Path) -> None:
    printed = (out / "printed.txt").read_text(encoding="utf-8")
    assert "before" in printed
    assert "after" in printed
    for label in LABELS.values():
        assert label in printed
    test = load_card(out / "social_zone_tuned.json").metrics["test"]
    for when in ("before", "after"):
        assert f"{test[when]['ade']:.3f}" in printed
    assert "validation part" in printed  # the training curve


def test_the_model_is_better_on_the_test_part(out: Path) -> None:
    test = load_card(out / "social_zone_tuned.json").metrics["test"]
    assert test["after"]["ade"] < test["before"]["ade"]
    assert test["after"]["mean_ade"] < test["before"]["mean_ade"]


def test_the_card_has_the_provenance(out: Path, bag: Path) -> None:
    card = load_card(out / "social_zone_tuned.json")
    base = OnnxModel.load(model_path("default")).card
    message = card.training
    assert card.sha256 == file_sha256(out / "social_zone_tuned.onnx")
    assert message["base"] == {"name": base.name, "sha256": base.sha256}
    assert message["seed"] == 0
    assert message["settings"]["iterations"] == 40
    assert message["validation_curve"][0][0] == 0
    assert "--iterations 40" in message["command"]
    (recording,) = message["recordings"]
    assert (recording["name"], recording["tracks"], recording["tracker"]) == (
        bag.name,
        "/people",
        "people",
    )
    counts = {name: part["agents"] for name, part in recording["parts"].items()}
    assert counts == message["agents"]
    assert min(counts.values()) > 0


def test_parts_in_the_card_have_gaps_in_time(out: Path) -> None:
    (recording,) = load_card(out / "social_zone_tuned.json").training["recordings"]
    training, validation, test = recording["parts"].values()
    assert training["to_s"] + 7.6 <= validation["from_s"] + 1e-6
    assert validation["to_s"] + 7.6 <= test["from_s"] + 1e-6


def test_without_iterations_the_prediction_is_that_of_the_base_model(
    out: Path, bag: Path, tmp_path: Path
) -> None:
    """Here the base model is fine-tuned, too."""
    model = out / "social_zone_tuned.onnx"
    options = ["--iterations", "0", "--name", "again", "--out", str(tmp_path)]
    assert main(["--bags", str(bag), "--model", str(model), *options]) == 0
    assert load_card(tmp_path / "again.json").training["base"]["name"] == "social_zone_tuned"
    base, same = OnnxModel.load(model), OnnxModel.load(tmp_path / "again.onnx")
    walks = np.random.default_rng(0).normal(0.3, 0.2, (5, 8, 2)).cumsum(axis=1)
    before, after = (model.predict(walks, n_samples=20) for model in (base, same))
    np.testing.assert_allclose(after.samples, before.samples, atol=1e-4)
    np.testing.assert_allclose(after.mean, before.mean, atol=1e-4)


def test_several_bags_are_split_separately_with_any_clock(bag: Path, tmp_path: Path) -> None:
    messages = people_messages(procession(40, seed=1), clock_offset_s=5_000.0)
    other = write_bag(tmp_path / "foyer", messages)
    options = ["--iterations", "10", "--out", str(tmp_path / "out")]
    assert main(["--bags", str(bag), str(other), *options]) == 0
    card = load_card(tmp_path / "out" / "social_zone_tuned.json")
    assert [recording["name"] for recording in card.training["recordings"]] == ["hall", "foyer"]
    for recording in card.training["recordings"]:
        assert recording["parts"]["test"]["agents"] > 0
        assert recording["parts"]["training"]["from_s"] == pytest.approx(0.0, abs=1.0)
        assert recording["parts"]["test"]["to_s"] <= recording["seconds"] + 1.0


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_too_little_data_is_rejected_with_the_required_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = write_bag(tmp_path / "short", people_messages(walkers(duration_s=30.0)))
    message = error_of(capsys, "--bags", str(short), "--out", str(tmp_path / "out"))
    assert "too little data: training has" in message
    assert "expected 200 of 15" in message and "see in evaluate_bag who is left out" in message
    assert not (tmp_path / "out").exists()


def test_other_architectures_are_rejected_before_bags_are_read(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = error_of(
        capsys, "--bags", str(bag), "--model", "social_implicit", "--out", str(tmp_path)
    )
    assert "only models of the architecture social_zone" in message


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--bags", "/no/such/bag"], "/no/such/bag: no recording there"),
        (["--bags", "BAG", "--model", "other"], "no model 'other'"),
        (["--bags", "BAG", "--tracks", "/others"], "has no topic '/others'"),
        (["--bags", "BAG", "--tracker", "lidar"], "no tracker 'lidar'"),
    ],
)
def test_invalid_requests_are_rejected_with_the_reason(
    bag: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    reason: str,
) -> None:
    arguments = [str(bag) if word == "BAG" else word for word in arguments]
    assert reason in error_of(capsys, *arguments, "--out", str(tmp_path))


def test_a_folder_that_cannot_be_written_is_refused_before_training(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["--bags", str(bag), "--out", str(tmp_path / "file" / "out")]) == 2
    printed = capsys.readouterr()
    assert "Not a directory" in printed.err
    assert "validation part" not in printed.out


def test_a_name_with_a_folder_is_refused(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--bags", str(bag), "--out", str(tmp_path), "--name", "a/b"])
    assert "give its folder with --out" in capsys.readouterr().err


def test_metrics_in_the_card_are_json(out: Path) -> None:
    text = (out / "social_zone_tuned.json").read_text()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the card"))


def test_the_base_model_is_not_overwritten(
    out: Path, bag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = out / "social_zone_tuned.onnx"
    before = file.read_bytes()
    given = ["--bags", str(bag), "--model", str(file), "--name", file.stem, "--out", str(out)]
    assert main(given) == 2
    assert "is the base model and is not overwritten" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_parameters_of_a_file_are_those_of_the_node(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = tmp_path / "robot.yaml"
    params.write_text("predictor: {ros__parameters: {fixed_frame: nowhere}}")
    given = ["--bags", str(bag), "--params", str(params), "--out", str(tmp_path)]
    assert main(given) == 2
    assert "entries are left out, no transform" in capsys.readouterr().err
