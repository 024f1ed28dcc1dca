"""Shared files are found in a checkout that is not installed."""

from pathlib import Path

import pytest

from social_implicit_ros.resources import shared_folder

ROOT = Path(__file__).resolve().parents[2]


def test_a_checkout_is_enough(tmp_path, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", "")
    monkeypatch.setattr("sys.prefix", str(tmp_path))

    assert shared_folder("config/trackers") == ROOT / "config" / "trackers"


def test_a_sourced_workspace_comes_first(tmp_path, monkeypatch):
    installed = tmp_path / "share" / "social_implicit_ros" / "config"
    installed.mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))

    assert shared_folder("config") == installed


def test_a_missing_folder_is_named_with_the_places_searched():
    with pytest.raises(FileNotFoundError, match=r"nothing of social_implicit_ros is in none of"):
        shared_folder("nothing")
