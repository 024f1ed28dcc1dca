"""The command that drives a robot among recorded people."""

import io
import json
from contextlib import redirect_stdout
from importlib import resources

import pytest
from support.browser import headless_browser, needs_browser

from social_implicit_ros.commands.evaluate_navigation import main

CROWD = str(resources.files("social_implicit_ros.recordings") / "crowd")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    out = tmp_path_factory.mktemp("navigation")
    options = ["--out", str(out), "--episodes", "3", "--planner", "chance", "--confidence", "0.5"]
    options += ["--confidence", "0.9", "--horizon", "2.4", "--reactive", "--duration", "40"]
    (out / "params.yaml").write_text("predictor:\n  ros__parameters:\n    robot: odometry\n")
    options += ["--params", str(out / "params.yaml")]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(Terminal()) as terminal:
        patch.setenv("COLUMNS", "60")
        assert main([CROWD, *options]) == 0
    (out / "printed.txt").write_text(terminal.getvalue(), encoding="utf-8")
    return out


@pytest.mark.slow
def test_a_narrow_terminal_loses_no_column(evaluated):
    printed = (evaluated / "printed.txt").read_text(encoding="utf-8")

    assert "…" not in printed and "against cv" in printed
    assert all(f"{name} " in printed for name in ("Kalman filter", "default, regions", "oracle"))
    corners = [line[-1] for line in printed.split("\n") if line.startswith("┏")]
    assert corners and set(corners) == {"┓"}


@pytest.mark.slow
def test_results_contain_the_limits_the_chosen_settings_and_the_advice(evaluated):
    results = json.loads((evaluated / "results.json").read_text())

    assert results["limits"].startswith("Limits of the replay:")
    predictors = results["planners"]["chance"]
    assert {"nobody moves", "constant velocity", "Kalman filter", "oracle"} < set(predictors)
    regions = predictors["default, regions"]
    assert regions["chosen"] in {entry["setting"] for entry in regions["frontier"]}
    low_mean_high = sorted(regions["test"]["time"])
    assert regions["test"]["time"] == [low_mean_high[1], low_mean_high[0], low_mean_high[2]]
    assert "mpc_planner.confidence" in results["advice"]
    assert "at most one standard error above the fewest" in results["advice"]
    collisions = "{:.1f} [{:.1f}, {:.1f}] %".format(
        *(100 * c for c in regions["test"]["collision"])
    )
    assert f"has {collisions} collisions" in results["advice"]
    oracle = predictors["oracle"]["test"]["collision"]
    assert oracle[0] > 0.0 or oracle[2] > 0.5  # three episodes


@pytest.mark.slow
@needs_browser
def test_the_page_has_the_notes_about_the_recordings(evaluated):
    with headless_browser() as browser:
        browser.get((evaluated / "report.html").as_uri())
        notes = browser.find_element("id", "notes").text

    assert "the robot's odometry is requested, but the recording has none" in notes
    assert "in the crowd that reacts, people are predicted with the simulated robot" in notes
    assert "sampled positions inside the walls of the map" in notes


@pytest.mark.slow
def test_the_crowd_that_reacts_is_driven_beside_the_replay(evaluated):
    results = json.loads((evaluated / "results.json").read_text())

    assert "In the crowd that reacts" in results["limits"]
    predictors = results["planners"]["chance"]
    assert predictors["oracle"]["reactive"] is None
    reacting = predictors["default, regions"]["reactive"]
    assert reacting["time"][0] >= 0.8 and len(reacting["frozen"]) == 3


@pytest.mark.slow
def test_with_a_robot_its_plan_is_shown_to_models_and_compared(evaluated):
    predictors = json.loads((evaluated / "results.json").read_text())["planners"]["chance"]

    assert predictors["oracle"]["planned"] is predictors["constant velocity"]["planned"] is None
    regions = predictors["default, regions"]
    for metric in ("collision", "time", "frozen"):
        planned = regions["planned"]["with"][metric][0]
        difference = regions["planned"]["difference"][metric]
        assert difference[1] <= difference[0] <= difference[2]
        assert planned - regions["reactive"][metric][0] == pytest.approx(difference[0])
    assert "know the robot's plan" in " ".join((evaluated / "printed.txt").read_text().split())


def test_faults_and_a_crowd_that_reacts_exclude_each_other(tmp_path, capsys):
    options = ["--out", str(tmp_path), "--reactive", "--tracker-faults", "noise=0.05"]
    with pytest.raises(SystemExit):
        main([CROWD, *options])

    assert "--reactive has a perfect tracker" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_contains_the_frontier_and_three_episodes_and_is_small(evaluated):
    page = (evaluated / "report.html").read_text()

    data = json.loads(page.split("const data = ")[1].split(";\nconst")[0])
    assert len(data["episodes"]) == 3
    assert set(data["results"]["planners"]["chance"]) >= {"default, modes"}
    assert len(page.encode()) < 6_000_000


def test_a_recording_without_predictions_is_referred_to_evaluate_bag(tmp_path, capsys):
    pixels = tmp_path / "pixels.txt"
    pixels.write_text("".join(f"{10 * step} 1 {50 * step} 0\n" for step in range(100)))
    assert main([str(pixels), "--out", str(tmp_path)]) == 2

    assert "nobody could be predicted; run evaluate_bag to see why" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--start", "100"], "has no messages from 100 s on; it is 74.9 s long"),
        (["--duration", "10"], "is too short for episodes"),
        (["--tracker-faults", "nois=1"], "did you mean noise"),
        (["--confidence", "95"], "confidence is 95.0, expected 0.05 to 0.99"),
        (["--confidence", "0.995"], "confidence is 0.995, expected 0.05 to 0.99"),
        (["--reactive", "50"], "reactive is 50.0, expected a share from 0 to 1"),
        (["--map", "hall.yaml"], "map hall.yaml cannot be used"),
        (["--person-radius", "-1"], "person radius is -1.0 m, expected 0 to 100"),
        (["--speed", "0"], "speed_m_s is 0.0, expected above 0"),
    ],
)
def test_an_invalid_request_is_refused_with_a_reason(options, message, tmp_path, capsys):
    assert main([CROWD, "--out", str(tmp_path), "--episodes", "2", *options]) == 2

    assert message in capsys.readouterr().err


def test_only_the_chance_planner_brakes(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([CROWD, "--out", str(tmp_path), "--planner", "costmap", "--brake"])

    assert "--brake needs --planner chance" in capsys.readouterr().err
