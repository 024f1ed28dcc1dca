"""The tables of `train_social_zone`."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")
pytest.importorskip("onnx", reason="onnx comes with `make test-training`")

from social_implicit_ros.commands.train_shipped import train_social_zone  # noqa: E402
from social_implicit_ros.training.social_zone import train  # noqa: E402
from social_implicit_ros.training.social_zone.fit import FitSettings, fit  # noqa: E402
from social_implicit_ros.training.social_zone.model import SocialZone  # noqa: E402

pytestmark = pytest.mark.training


@pytest.fixture()
def trained(monkeypatch: pytest.MonkeyPatch) -> list[SocialZone]:
    """The models that a command trains, each in one step."""
    models: list[SocialZone] = []

    def fit_shortly(agents, *, seed, settings=None, sizes=None):
        short = FitSettings(iterations=1)
        models.append(fit(agents, seed=seed, settings=short, sizes=sizes))
        return models[-1]

    monkeypatch.setattr(train, "fit", fit_shortly)
    monkeypatch.setenv("COLUMNS", "120")
    return models


def run(data: Path, *options: str) -> None:
    train_social_zone(["--data", str(data), *options])


def test_an_ablation_has_the_changes_and_the_splits_that_are_asked_for(
    data_folder: Path, trained: list[SocialZone], capsys: pytest.CaptureFixture[str]
) -> None:
    run(data_folder, "--split", "zara1", "--ablation", "the model", "width 24 and 20")

    assert [model.sizes.hidden for model in trained] == [48, 24]
    printed = capsys.readouterr().out
    assert "8172" in printed and "3016" in printed


def test_seeds_are_of_the_splits_that_are_asked_for(
    data_folder: Path, trained: list[SocialZone], capsys: pytest.CaptureFixture[str]
) -> None:
    run(data_folder, "--split", "hotel", "--split", "eth", "--seeds", "2")

    assert len(trained) == 4
    printed = capsys.readouterr().out
    assert "hotel" in printed and "zara1" not in printed and "+-" in printed


def test_there_is_no_table_of_the_robot_model(data_folder: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(data_folder, "--split", "robot", "--seeds", "1")


def test_no_seeds_are_refused(data_folder: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(data_folder, "--seeds", "0")


def test_an_unknown_change_is_named(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_social_zone(["--data", str(data_folder), "--ablation", "the modl"]) == 2
    assert "--ablation 'the modl' (did you mean the model?)" in capsys.readouterr().err
