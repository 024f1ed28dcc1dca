from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")
pytest.importorskip("onnx", reason="onnx comes with `make test-training`")

from support.released_cells import Weights, predict_cell, random_checkpoint  # noqa: E402

from social_implicit_ros.commands.own_models import import_checkpoint  # noqa: E402
from social_implicit_ros.models.noise import standard_normal  # noqa: E402
from social_implicit_ros.models.onnx_model import OnnxModel  # noqa: E402
from social_implicit_ros.training.social_implicit import released  # noqa: E402
from social_implicit_ros.training.social_implicit.released import read_released_checkpoint  # noqa: E402
from social_implicit_ros.untrusted_files import UnusableFileError  # noqa: E402

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings("ignore:Detected pickle protocol"),
]
#: Scales of the noise of the released model that is tested on the ETH recording.
NOISE_WEIGHTS_ETH = (0.175, 1.5, 4.0, 8.0)


def save(folder: Path, content: object) -> Path:
    path = folder / "val_best.pth"
    torch.save(content, path)
    return path


def changed(**changes: torch.Tensor | None) -> Weights:
    """A checkpoint with some tensors of the first cell replaced, or removed if None."""
    weights = random_checkpoint()
    for name, value in changes.items():
        key = "implicit_cells.0." + name.replace("__", ".")
        if value is None:
            del weights[key]
        else:
            weights[key] = value
    return weights


@pytest.mark.parametrize("options", [[], ["--noise-weights", *map(str, NOISE_WEIGHTS_ETH)]])
def test_an_imported_model_predicts_as_the_released_cell(
    tmp_path: Path, options: list[str]
) -> None:
    out = tmp_path / "models" / "imported.onnx"
    observed = np.random.default_rng(0).normal(size=(5, 8, 2)).cumsum(axis=1)

    code = import_checkpoint(
        [str(save(tmp_path, random_checkpoint())), "--out", str(out), *options]
    )
    model = OnnxModel.load(out)
    samples = model.predict(observed, n_samples=6, seed=3).samples

    assert code == 0
    steps = np.diff(observed, axis=1, prepend=observed[:, :1])
    displacements = predict_cell(
        random_checkpoint(),
        0,
        torch.from_numpy(steps),
        torch.from_numpy(standard_normal(6, 2, 3, "independent").astype(np.float64)),
        NOISE_WEIGHTS_ETH[0] if options else 0.05,
    )
    expected = observed[:, -1][:, None] + displacements.numpy().cumsum(axis=2)
    np.testing.assert_allclose(samples, expected, atol=1e-4)


def test_the_card_has_the_origin(tmp_path: Path) -> None:
    path = save(tmp_path, random_checkpoint())
    import_checkpoint([str(path), "--out", str(tmp_path / "imported.onnx")])

    card = OnnxModel.load(tmp_path / "imported.onnx").card

    assert (card.name, card.architecture, card.parameters) == ("imported", "social_implicit", 1459)
    assert card.training["checkpoint"] == "val_best.pth"
    assert card.training["noise_weights"] == [0.05, 1.0, 4.0, 8.0]


def test_every_parameter_is_assigned(tmp_path: Path) -> None:
    weights = random_checkpoint()

    model = read_released_checkpoint(save(tmp_path, weights))

    ours = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    theirs = torch.cat([tensor.flatten() for tensor in weights.values()]).float()
    torch.testing.assert_close(ours.sort().values, theirs.sort().values)


class Attack:
    """Unpickling this would create a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.folder,)


def test_a_file_with_code_is_rejected_and_not_executed(tmp_path: Path) -> None:
    target = tmp_path / "created"
    path = save(tmp_path, {"implicit_cells.0.noise_w": Attack(target)})

    with pytest.raises(UnusableFileError, match="objects other than tensors"):
        read_released_checkpoint(path)
    assert not target.exists()


def test_a_plain_pickle_with_code_is_rejected_and_not_executed(tmp_path: Path) -> None:
    target = tmp_path / "created"
    path = tmp_path / "args.pkl"
    path.write_bytes(pickle.dumps(Attack(target)))

    with pytest.raises(UnusableFileError, match="cannot be read"):
        read_released_checkpoint(path)
    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", b"PK\x03\x04" + b"\x00" * 100, b"\x80\x02}q\x00.", b"\x80"],
    ids=["empty", "text", "broken zip", "empty pickle", "cut pickle"],
)
def test_a_file_that_is_not_a_checkpoint_is_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "val_best.pth"
    path.write_bytes(content)

    with pytest.raises(UnusableFileError, match=r"val_best\.pth"):
        read_released_checkpoint(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_checkpoint_is_rejected(tmp_path: Path, share: float) -> None:
    path = save(tmp_path, random_checkpoint())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    with pytest.raises(UnusableFileError, match="cannot be read"):
        read_released_checkpoint(path)


def test_a_damaged_checkpoint_is_rejected_or_read(tmp_path: Path) -> None:
    path = tmp_path / "val_best.pth"
    # The old format has no compression and no checksums, so damage reaches the unpickler.
    torch.save(random_checkpoint(), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)

    refused = 0
    for place in generator.integers(4000, size=40):
        damaged = bytearray(whole)
        damaged[place] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            read_released_checkpoint(path)
        except UnusableFileError:
            refused += 1

    assert refused > 20


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {1: torch.zeros(1)}, torch.zeros(3)])
def test_content_other_than_a_state_dict_is_rejected(tmp_path: Path, content: object) -> None:
    with pytest.raises(UnusableFileError, match="expected a state dict"):
        read_released_checkpoint(save(tmp_path, content))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (changed(noise_w=None), r"missing: implicit_cells\.0\.noise_w"),
        (changed(extra=torch.zeros(1)), r"unknown: implicit_cells\.0\.extra"),
        ({}, r"missing: implicit_cells\.0\.feat\.bias.*76 in all"),
        (
            changed(tpcnn__weight=torch.zeros(12, 8, 3)),
            r"tpcnn\.weight has shape \(12, 8, 3\), expected \(12, 8, 3, 3\)",
        ),
        (
            changed(ped__feat__weight=torch.zeros(2, 2, 3, 1)),
            r"ped\.feat\.weight has shape \(2, 2, 3, 1\), expected \(2, 2, 3\)",
        ),
        (changed(noise_w=torch.zeros(())), r"noise_w has shape \(\), expected \(1,\)"),
        (changed(global_w=torch.tensor([float("nan")])), "global_w has values that are not finite"),
        (changed(local_w=torch.tensor([float("inf")])), "local_w has values that are not finite"),
        (changed(noise_w=torch.tensor([1])), "noise_w has values that are not finite real"),
        (
            changed(noise_w=torch.tensor([1j])),
            "noise_w has values that are not finite real",
        ),
    ],
)
def test_tensors_of_another_model_are_named(tmp_path: Path, weights: Weights, message: str) -> None:
    with pytest.raises(UnusableFileError, match=message):
        read_released_checkpoint(save(tmp_path, weights))


def test_a_large_checkpoint_is_rejected_unread(tmp_path: Path) -> None:
    path = tmp_path / "val_best.pth"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)

    with pytest.raises(UnusableFileError, match="more than"):
        read_released_checkpoint(path)


def test_the_command_prints_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "imported.onnx"

    code = import_checkpoint([str(tmp_path / "gone.pth"), "--out", str(out)])

    assert code == 2
    assert "gone.pth: No such file or directory; give another path" in capsys.readouterr().err
    assert not out.exists()


def test_a_checkpoint_without_read_permission_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, random_checkpoint())

    def denied(path: Path, max_bytes: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(released, "read_file", denied)

    assert import_checkpoint([str(path), "--out", str(tmp_path / "a.onnx")]) == 2
    assert f"{path}: Permission denied; change its" in capsys.readouterr().err


def test_the_command_requires_an_onnx_output_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path, random_checkpoint())

    code = import_checkpoint([str(path), "--out", str(tmp_path / "imported.pb")])

    assert code == 2
    assert "ends in .onnx" in capsys.readouterr().err
