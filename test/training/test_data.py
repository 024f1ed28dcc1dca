from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")

from social_implicit_ros.models.features import model_input_from_observed  # noqa: E402
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT, RECORDINGS  # noqa: E402
from social_implicit_ros.training.social_implicit.data import batches, pack  # noqa: E402
from social_implicit_ros.training.splits import (  # noqa: E402
    SPLITS,
    load_robot_recordings,
    load_split,
    load_test,
    split_recordings,
)

pytestmark = pytest.mark.training


@pytest.mark.parametrize("split", LEAVE_ONE_OUT)
def test_a_split_leaves_out_its_test_recordings(split: str) -> None:
    names = split_recordings(split)

    assert set(names) | set(LEAVE_ONE_OUT[split]) == set(RECORDINGS)
    assert not set(names) & set(LEAVE_ONE_OUT[split])


def test_the_robot_split_has_all_recordings_with_eth_at_its_true_rate() -> None:
    names = split_recordings("robot")

    assert "seq_eth" in names
    assert set(names) - {"seq_eth"} == set(RECORDINGS) - {"biwi_eth"}


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_come_from_the_parts_of_the_splits_recordings(data_folder: Path, split: str) -> None:
    training, validation = load_split(data_folder, split)

    # 26 and 22 frames have 7 and 3 windows of 20.
    n_files = len(split_recordings(split)) - (split == "robot")
    extra = {"robot": (96 - 19, 24 - 19)}.get(split, (0, 0))
    assert (len(training), len(validation)) == (7 * n_files + extra[0], 3 * n_files + extra[1])
    assert {scene.shape for scene in training + validation} == {(3, 20, 2)}


def test_the_true_rate_recording_is_split_in_time(data_folder: Path) -> None:
    training, validation = load_split(data_folder, "robot")
    with_eth, _ = load_split(data_folder, "eth")

    # These people walk at constant velocity, so the distance gives the time.
    training, validation = training[len(with_eth) :], validation[-5:]
    start = training[0][0, 0]
    walked = [
        np.linalg.norm(np.array([scene[0] for scene in part]) - start, axis=-1)
        for part in (training, validation)
    ]
    assert walked[0].max() < walked[1].min()


def test_recordings_of_robots_are_split_in_time_and_keep_single_agents(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="robot/thor"):
        load_robot_recordings(tmp_path)
    folder = tmp_path / "robot" / "thor"
    folder.mkdir(parents=True)
    lines = [f"{400 * step + 7}\t1\t{0.5 * step}\t0.0" for step in range(200)]
    (folder / "a.txt").write_text("\n".join(lines) + "\n")
    training, validation = load_robot_recordings(tmp_path)
    assert len(training) == 160 - 19
    assert len(validation) == 40 - 19
    assert {scene.shape for scene in training + validation} == {(1, 20, 2)}
    assert max(scene[0, -1, 0] for scene in training) < min(s[0, 0, 0] for s in validation)


def test_the_test_scenes_are_those_of_the_left_out_recordings(data_folder: Path) -> None:
    assert len(load_test(data_folder, "hotel")) == 5
    assert len(load_test(data_folder, "univ")) == 10


def test_an_unknown_split_is_named(data_folder: Path) -> None:
    with pytest.raises(ValueError, match="split is 'sdd', expected one of eth, hotel"):
        load_split(data_folder, "sdd")


def test_a_missing_recording_is_named(data_folder: Path) -> None:
    (data_folder / "eth_ucy" / "val" / "biwi_hotel_val.txt").unlink()

    with pytest.raises(FileNotFoundError, match=r"biwi_hotel_val\.txt"):
        load_split(data_folder, "eth")


def test_packed_scenes_equal_single_scenes(small_crowd: list[np.ndarray]) -> None:
    batch = pack(small_crowd)

    assert batch.n_scenes == len(small_crowd)
    for number, scene in enumerate(small_crowd):
        own = (batch.scene == number).numpy()
        alone = model_input_from_observed(scene[:, :8], 8)
        np.testing.assert_allclose(batch.observed[own], alone.observed, atol=1e-5)
        np.testing.assert_array_equal(batch.mask[own], alone.mask)
        np.testing.assert_allclose(batch.future[own], scene[:, 8:] - scene[:, 7:8], atol=1e-5)


def test_a_short_history_hides_the_leading_steps(small_crowd: list[np.ndarray]) -> None:
    n_agents = sum(map(len, small_crowd))
    n_known = np.arange(n_agents) % 7 + 2

    batch = pack(small_crowd, n_known)

    np.testing.assert_array_equal(batch.mask.sum(dim=1), n_known)
    np.testing.assert_array_equal(batch.mask[:, -2:], 1.0)
    whole = pack(small_crowd)
    known = batch.mask.bool()
    np.testing.assert_allclose(batch.observed[known], whole.observed[known], atol=1e-6)


def test_an_epoch_has_every_scene_once(small_crowd: list[np.ndarray]) -> None:
    epoch = list(batches(small_crowd, 7, np.random.default_rng(0)))

    assert [batch.n_scenes for batch in epoch] == [7, 7, 7, 3]
    shown = torch.cat([batch.future for batch in epoch]).numpy()
    expected = pack(small_crowd).future.numpy()
    np.testing.assert_allclose(np.sort(shown[:, -1, 0]), np.sort(expected[:, -1, 0]), atol=1e-6)


def test_the_seed_determines_the_batches(small_crowd: list[np.ndarray]) -> None:
    first, again, other = (
        next(batches(small_crowd, 7, np.random.default_rng(seed), short_history_share=0.5))
        for seed in (1, 1, 2)
    )

    assert torch.equal(first.observed, again.observed)
    assert first.observed.shape != other.observed.shape or not torch.equal(
        first.observed, other.observed
    )


def test_the_share_of_short_histories_is_as_requested(small_crowd: list[np.ndarray]) -> None:
    epoch = list(batches(small_crowd * 20, 64, np.random.default_rng(0), short_history_share=0.3))

    n_known = torch.cat([batch.mask.sum(dim=1) for batch in epoch])
    assert float((n_known < 8).float().mean()) == pytest.approx(0.3, abs=0.05)
    assert set(n_known.tolist()) == set(range(2, 9))
