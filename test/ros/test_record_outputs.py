"""The outputs that `scripts/compare_checkouts.py` records do not depend on timing."""

import sys
from pathlib import Path

import pytest
from record_outputs import OUTPUTS, record_outputs, recorded_leaves
from support.outputs import installed_outputs

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.prefix, "bin", "predictor_node")
N_MESSAGES = 12


@pytest.mark.skipif(not COMMAND.exists(), reason="needs the environment that make makes")
@pytest.mark.skipif(
    set(installed_outputs()) != set(OUTPUTS),
    reason="not every output's messages are installed (scripts/build_test_interfaces.py)",
)
def test_two_recordings_of_the_node_are_the_same(tmp_path):
    crowd = next((ROOT / "social_implicit_ros").rglob("crowd.mcap")).parent
    folders = [tmp_path / "one", tmp_path / "two"]

    for folder in folders:
        record_outputs(COMMAND, crowd, folder, {}, N_MESSAGES)

    one, two = (
        {path.name: path.read_bytes() for path in folder.glob("*.npz")} for folder in folders
    )
    assert len(one) == len(OUTPUTS)
    assert one == two
    predictions = recorded_leaves(folders[0] / "predictions.npz")
    assert len([name for name in predictions if name.endswith("header.stamp.sec")]) == N_MESSAGES
    assert predictions[f"[{N_MESSAGES - 1}].points.sigma_xx"].size > 0
