"""`evaluate_bag`: metrics, files, exit codes and error messages."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from support.bags import (
    START_NS,
    TF_MESSAGE,
    Recorded,
    S,
    people_messages,
    transform_message,
    walkers,
    write_bag,
)
from support.model_files import write_model

from social_implicit_ros.commands import evaluate_bag
from social_implicit_ros.evaluation import recording as bag_evaluation
from social_implicit_ros.evaluation import runner
from social_implicit_ros.evaluation.report.page import summary
from social_implicit_ros.evaluation.request import Request
from social_implicit_ros.evaluation.runner import Job, default_models, jobs_of
from social_implicit_ros.models.card import load_card
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.pipeline import PipelineConfig
from social_implicit_ros.prediction.replay_settings import load_settings
from social_implicit_ros.recordings.compressed import zstd
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.types import Prediction, Tracks

#: Parameters of the node, documented in `config/predictor.yaml`.
PARAMETERS = (*PredictorConfig.__dataclass_fields__, *PipelineConfig.__dataclass_fields__)
FAST = ("--model", "constant_velocity", "--model", "sampled_constant_velocity", "--moments", "2")


SHIPPED = Path(str(resources.files("social_implicit_ros.models.weights")))


def run(*arguments: object) -> int:
    return evaluate_bag.main([*map(str, arguments), *FAST, "--jobs", "1"])


_RUN_JOB = runner.run_job


def killed_at_bag_1(job: Job) -> Any:
    """As `run_job`. It is a function of the module, so that worker processes can import it."""
    if job.path.name == "bag_1":
        os.kill(os.getpid(), signal.SIGKILL)
    return _RUN_JOB(job)


def results_in(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


def without_times(value: Any) -> Any:
    """The results without the values that depend on the speed of the machine."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if not k.startswith("latency")}
    return [without_times(v) for v in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "walk"
    return write_bag(path, people_messages(walkers(duration_s=9.0, n_agents=4)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, bag: Path) -> Path:
    out = tmp_path_factory.mktemp("out")
    assert run(bag, "--out", out) == 0
    return out


class TestResults:
    def test_people_who_walk_straight_are_predicted_well(self, finished):
        """Positions count as noisy until the noise is learned."""
        figures = results_in(finished)["models"]["constant_velocity"]["figures"]

        assert figures["mean_ade"] < 0.02
        assert figures["miss_rate"] == 0.0

    def test_the_layout_is_versioned_and_complete(self, finished):
        results = results_in(finished)

        assert (results["format"], results["version"]) == ("social_implicit_ros/evaluation", 1)
        assert set(results) == {"format", "version", "settings", "models", "bags", "failed"}
        for model in results["models"].values():
            assert len(model["horizon"]["error_m"]) == len(model["horizon"]["times_s"]) == 12
            assert len(model["reliability"]["frequency"]) == 99
            assert set(model["by"]) == {"speed", "crowd", "history"}
        (recording,) = results["bags"]
        assert recording["topic"] == "/people"
        assert recording["messages"] == 91
        assert recording["entries"] == 4 * 91
        assert recording["figures"]["constant_velocity"]["mean_ade"] == pytest.approx(0.0, abs=0.02)

    @pytest.mark.parametrize(
        ("value", "options", "adapts"),
        [
            (None, (), True),
            (None, ("--no-adaptive",), False),
            ("false", (), False),
            ("false", ("--adaptive",), True),
            ("true", ("--no-adaptive",), False),
        ],
    )
    def test_regions_adapt_as_those_of_the_node_unless_an_option_says_otherwise(
        self, bag, tmp_path, value, options, adapts
    ):
        parameters = tmp_path / "robot.yaml"
        content = "" if value is None else f"adaptive_calibration: {value}"
        parameters.write_text(f"predictor: {{ros__parameters: {{{content}}}}}")

        assert run(bag, "--out", tmp_path, "--params", parameters, "--duration", 5, *options) == 0

        assert results_in(tmp_path)["settings"]["adaptive_calibration"] is adapts

    def test_latencies_begin_with_models_that_have_run_before(self, bag, tmp_path, monkeypatch):
        order: list[str] = []

        class Watched(ConstantVelocity):
            def predict(self, *arguments: Any, **options: Any) -> Prediction:
                order.append("predict")
                return super().predict(*arguments, **options)

        monkeypatch.setattr(bag_evaluation, "load_model", lambda name: Watched())
        request = Request(("watched",), load_settings(), n_moments=0)
        bag_evaluation.evaluate_recording(
            bag, request, tmp_path / "rows.parquet", advance=lambda *_: order.append("read")
        )

        assert order[:2] == ["predict", "read"]

    def test_a_row_for_every_tick_and_model(self, finished):
        columns = parquet.read_table(finished / "per_tick.parquet").to_pydict()
        counts = results_in(finished)["models"]["constant_velocity"]["counts"]

        rows = [index for index, name in enumerate(columns["model"]) if name == "constant_velocity"]
        assert len(rows) == counts["ticks"] == len(columns["model"]) // 2
        assert sum(columns["futures"][row] for row in rows) == counts["futures"]
        assert sum(columns["predicted"][row] for row in rows) == counts["predictions"]
        assert set(np.diff([columns["stamp_ns"][row] for row in rows]).tolist()) == {S * 2 // 5}

    @pytest.mark.slow
    def test_ticks_at_and_between_messages_are_measured_together(self, tmp_path):
        # With a tracker of 16 Hz, only some of the 2.5 ticks per second are at a message.
        walk = write_bag(tmp_path / "walk", people_messages(walkers(duration_s=20, rate_hz=16)))
        arguments = ["--model", "constant_velocity", "--moments", "40", "--jobs", "1"]
        assert evaluate_bag.main([str(walk), "--out", str(tmp_path), *arguments]) == 0
        figures = results_in(tmp_path)["bags"][0]["figures"]["constant_velocity"]
        assert figures["amd"] > 0.0
        assert figures["amv"] == pytest.approx(0.0, abs=1e-5)

    def test_the_table_is_printed(self, bag, tmp_path, capsys):
        assert run(bag, "--out", tmp_path) == 0

        printed = capsys.readouterr()
        assert "FDE, mean trajectory" in printed.out
        assert "report.html" in printed.err

    def test_parameters_of_the_node_are_read_from_the_file(self, bag, tmp_path):
        parameters = tmp_path / "mine.yaml"
        parameters.write_text(
            "/**:\n  ros__parameters:\n    horizon_s: 2.0\n    tick_rate_hz: 2.0\n"
            "    n_samples: 5\n    fixed_frame: map\n"
        )

        assert run(bag, "--out", tmp_path / "out", "--params", parameters) == 0

        results = results_in(tmp_path / "out")
        assert results["settings"]["n_samples"] == 5
        assert results["settings"]["fixed_frame"] == "map"
        assert results["models"]["constant_velocity"]["horizon"]["times_s"][-1] == 2.0
        assert results["models"]["constant_velocity"]["counts"]["ticks"] == 18

    def test_a_misspelt_parameter_is_named(self, bag, tmp_path, capsys):
        parameters = tmp_path / "mine.yaml"
        parameters.write_text("/**:\n  ros__parameters:\n    horizon: 2.0\n")

        assert run(bag, "--out", tmp_path / "out", "--params", parameters) == 0

        line = "unknown parameter horizon is ignored (did you mean horizon_s?)"
        assert f"evaluate_bag: {parameters}: {line}" in capsys.readouterr().err

    @pytest.mark.slow
    def test_model_and_tracker_are_read_from_the_parameter_file(self, bag, tmp_path):
        parameters = tmp_path / "mine.yaml"
        parameters.write_text(
            "predictor:\n  ros__parameters:\n    model: sampled_constant_velocity\n"
            "    tracker: people@/people\n    robot: odometry\n    confidence: 0.9\n"
        )
        arguments = [str(bag), "--out", str(tmp_path / "out"), "--params", str(parameters)]

        assert evaluate_bag.main([*arguments, "--jobs", "1", "--moments", "0"]) == 0

        results = results_in(tmp_path / "out")
        assert next(iter(results["models"])) == "sampled_constant_velocity"
        assert (results["settings"]["robot"], results["settings"]["confidence"]) == (
            "odometry",
            0.9,
        )
        (recording,) = results["bags"]
        assert (recording["tracker"], recording["topic"]) == ("people", "/people")
        assert "without the robot" in recording["notes"][-1]

    def test_the_tick_rate_can_be_that_of_the_node(self, bag, tmp_path):
        assert run(bag, "--out", tmp_path, "--tick-rate", 10) == 0

        counts = results_in(tmp_path)["models"]["constant_velocity"]["counts"]
        assert counts["ticks"] == 90

    def test_the_default_models_are_those_installed(self):
        assert default_models()[-2:] == (
            "constant_velocity",
            "sampled_constant_velocity",
        )


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nowhere"], "nowhere: no recording there"),
            (["BAG", "--model", "nobody"], "no model 'nobody'"),
            (["BAG", "--odometry", "/odom"], "needs `robot: odometry` in a --params file"),
            (["BAG", "--tracker", "nobody"], "no tracker 'nobody'"),
            (
                ["BAG", "--map", "nowhere.yaml"],
                "map nowhere.yaml cannot be used",
            ),
            (
                ["BAG", "--params", "nowhere.yaml"],
                "parameter file nowhere.yaml: No such file",
            ),
            (["BAG", "--params", "SEVERAL"], "gives several trackers (people, zed@/zed/objects)"),
        ],
    )
    def test_an_invalid_request_exits_with_2(self, bag, tmp_path, capsys, arguments, message):
        several = tmp_path / "several.yaml"
        several.write_text("/**:\n  ros__parameters: {tracker: 'people, zed@/zed/objects'}\n")
        files = {"BAG": str(bag), "SEVERAL": str(several)}
        given = [files.get(argument, argument) for argument in arguments]

        assert run(*given, "--out", tmp_path) == 2
        assert message in capsys.readouterr().err

    def test_dask_needs_its_scheduler(self, bag, tmp_path, capsys):
        with pytest.raises(SystemExit) as caught:
            run(bag, "--out", tmp_path, "--backend", "dask")

        assert caught.value.code == 2
        assert "--backend dask needs --scheduler" in capsys.readouterr().err

    def error_without_results(
        self, bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> str:
        """What a run without any result prints."""
        assert run(bag, "--out", tmp_path / "out") == 1
        assert not (tmp_path / "out" / "results.json").exists()
        return " ".join(capsys.readouterr().err.split())

    def test_a_bag_without_a_topic_of_a_known_type(self, tmp_path, capsys):
        bag = write_bag(
            tmp_path / "bag",
            [Recorded("/tf", TF_MESSAGE, transform_message("a", "b", START_NS), START_NS)],
        )

        assert "/tf (tf2_msgs/msg/TFMessage)" in self.error_without_results(bag, tmp_path, capsys)

    def test_a_truncated_file(self, bag, tmp_path, capsys):
        (file,) = bag.glob("*.mcap")
        truncated = tmp_path / "cut.mcap"
        truncated.write_bytes(file.read_bytes()[:3000])

        assert "truncated" in self.error_without_results(truncated, tmp_path, capsys)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--tracks", "/nobody"], "no topic '/nobody'; its topics: /people"),
            (["--tracker", "zed"], "no topic that tracker 'zed' reads; its topics: /people"),
            (["--start", "100"], "has no messages from 100 s on"),
        ],
    )
    def test_a_topic_type_or_time_that_the_bag_lacks(self, bag, tmp_path, capsys, options, message):
        assert run(bag, "--out", tmp_path / "out", *options) == 1
        assert message in " ".join(capsys.readouterr().err.split())

    def test_a_section_in_a_gap(self, tmp_path, capsys):
        recording = [*walkers(duration_s=2.0), *walkers(duration_s=2.0, start_ns=START_NS + 30 * S)]
        bag = write_bag(tmp_path / "bag", people_messages(recording))

        assert run(bag, "--out", tmp_path / "out", "--start", "5", "--duration", "3") == 1
        said = " ".join(capsys.readouterr().err.split())
        assert "has no messages from 5 to 8 s; it is 32.0 s long" in said
        assert "it continues at 30.0 s" in said

    def test_a_bag_without_people(self, tmp_path, capsys):
        empty = [Tracks(START_NS + i * S, (), np.empty((0, 2))) for i in range(3)]
        bag = write_bag(tmp_path / "bag", people_messages(empty))

        assert "no message contains a person" in self.error_without_results(bag, tmp_path, capsys)

    def test_transforms_of_another_time(self, tmp_path, capsys):
        robot = [
            Recorded(
                "/tf", TF_MESSAGE, transform_message("odom", "base", START_NS - t * S), START_NS
            )
            for t in (900, 800)
        ]
        people = people_messages(walkers(duration_s=2.0), frame_id="base")

        said = self.error_without_results(
            write_bag(tmp_path / "bag", [*people, *robot]), tmp_path, capsys
        )

        assert "no_transform" in said
        assert "/tf and /tf_static" in said

    def test_ids_that_change_in_every_message(self, tmp_path, capsys):
        recording = [
            Tracks(START_NS + index * S // 10, (f"new{index}",), np.zeros((1, 2)))
            for index in range(50)
        ]

        said = self.error_without_results(
            write_bag(tmp_path / "bag", people_messages(recording)), tmp_path, capsys
        )

        assert "check that ids persist" in said and "in metres" in said

    def test_a_recording_that_is_too_short(self, tmp_path, capsys):
        bag = write_bag(tmp_path / "bag", people_messages(walkers(duration_s=0.3)))

        assert "too short" in self.error_without_results(bag, tmp_path, capsys)

    def test_positions_in_centimetres(self, tmp_path, capsys):
        """Faster than people can be: each position starts a new track or is rejected."""
        file = tmp_path / "crowd.txt"
        file.write_text(
            "".join(f"{10 * i} {k} {40 * i} {100 * k}\n" for i in range(20) for k in (1, 2))
        )

        assert "people move at 100 m/s" in self.error_without_results(file, tmp_path, capsys)

    def test_models_with_different_horizons_are_named_and_not_compared(self, bag, tmp_path):
        """The error after 1.2 s is small beside that of constant velocity after 4.8 s."""
        model = write_model(tmp_path)
        assert run(bag, "--out", tmp_path / "out", "--model", model) == 0

        results = results_in(tmp_path / "out")
        (recording,) = results["bags"]
        named = "(walker.onnx 1.2 s, constant_velocity 4.8 s, sampled_constant_velocity 4.8 s)"
        assert any(named in note and "horizon_s to 1.2" in note for note in recording["notes"])
        assert not any("constant velocity" in words for words in summary(results, str(model)))

        parameters = tmp_path / "short.yaml"
        parameters.write_text("predictor: {ros__parameters: {horizon_s: 1.2}}")
        arguments = ("--model", model, "--params", parameters)
        assert run(bag, "--out", tmp_path / "equal", *arguments) == 0
        results = results_in(tmp_path / "equal")
        assert not any("different times" in note for note in results["bags"][0]["notes"])
        assert "constant velocity" in summary(results, str(model))[0]

    def test_tracks_shorter_than_the_horizon_are_scored_up_to_their_end(self, tmp_path):
        bag = write_bag(tmp_path / "bag", people_messages(walkers(duration_s=3.0)))

        assert run(bag, "--out", tmp_path / "out", "--tick-rate", 10) == 0

        results = results_in(tmp_path / "out")
        model = results["models"]["constant_velocity"]
        assert model["figures"]["mean_ade"] is None
        assert model["horizon"]["error_m"][3] == pytest.approx(0.0, abs=0.2)
        assert model["horizon"]["error_m"][-1] is None
        assert "up to 2.8 s ahead" in results["bags"][0]["notes"][-1]

    @pytest.mark.slow
    @pytest.mark.parametrize("compression", ["none", "file"])
    def test_a_truncated_recording_is_evaluated_up_to_its_end_and_reported(
        self, tmp_path, capsys, compression
    ):
        recording = people_messages(walkers(duration_s=40.0, n_agents=75))
        bag = write_bag(tmp_path / "bag", recording, compression=compression)
        (file,) = (entry for entry in bag.iterdir() if entry.suffix != ".yaml")
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 3 // 4])

        assert run(bag, "--out", tmp_path / "out") == 0

        (recorded,) = results_in(tmp_path / "out")["bags"]
        assert f"{file.name} is truncated" in recorded["problem"]
        assert 100 < recorded["messages"] < 401
        assert recorded["duration_s"] == pytest.approx((recorded["messages"] - 1) / 10)
        assert f"its first {recorded['duration_s']:.1f} s were evaluated" in recorded["problem"]
        assert "partly evaluated" in capsys.readouterr().out
        assert f"{file.name} is truncated" in (tmp_path / "out" / "report.html").read_text()

    @pytest.mark.slow
    def test_a_recording_damaged_in_the_middle_is_evaluated_in_part_and_reported(
        self, tmp_path, capsys
    ):
        bag = write_bag(tmp_path / "bag", people_messages(walkers(duration_s=40.0, n_agents=75)))
        (file,) = bag.glob("*.mcap")
        content = bytearray(file.read_bytes())
        content[1_200_000:1_210_000] = bytes(10_000)
        file.write_bytes(content)

        assert run(bag, "--out", tmp_path / "out") == 0

        (recording,) = results_in(tmp_path / "out")["bags"]
        assert "damaged" in recording["problem"]
        assert 50 < recording["messages"] < 401
        assert "partly evaluated" in capsys.readouterr().out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three recordings and a damaged one."""
    folder = tmp_path_factory.mktemp("many")
    for index, n_agents in enumerate((2, 3, 4)):
        recording = walkers(duration_s=7.0, n_agents=n_agents, speed_m_s=1.0 + 0.2 * index)
        write_bag(folder / f"bag_{index}", people_messages(recording))
    (folder / "broken.mcap").write_bytes(b"nothing that anybody can read")
    return folder


@pytest.fixture(scope="module")
def one_process(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("one")
    assert run(folder, "--out", out) == 3
    return out


class TestManyBags:
    def test_a_folder_is_evaluated_even_if_one_recording_fails(self, one_process, folder):
        results = results_in(one_process)

        assert [Path(bag["path"]).name for bag in results["bags"]] == ["bag_0", "bag_1", "bag_2"]
        (failure,) = results["failed"]
        assert failure["path"] == str(folder / "broken.mcap")
        assert "broken.mcap is damaged" in failure["reason"]
        total = sum(bag["counts"]["constant_velocity"]["futures"] for bag in results["bags"])
        assert results["models"]["constant_velocity"]["counts"]["futures"] == total

    def test_patterns_select_recordings(self, folder, one_process, tmp_path):
        assert run(folder / "bag_[01]", folder / "bag_0", "--out", tmp_path) == 0

        assert len(results_in(tmp_path)["bags"]) == 2

    @pytest.mark.slow
    def test_several_processes_give_the_same_results(self, folder, one_process, tmp_path):
        arguments = [str(folder), "--out", str(tmp_path), *FAST, "--jobs", "2"]

        assert evaluate_bag.main(arguments) == 3

        assert without_times(results_in(tmp_path)) == without_times(results_in(one_process))
        one, other = (
            parquet.read_table(out / "per_tick.parquet") for out in (one_process, tmp_path)
        )
        for name in set(one.column_names) - {"window_ms", "model_ms"}:
            np.testing.assert_array_equal(one[name], other[name])

    def test_resume_evaluates_only_what_is_missing(
        self, folder, one_process, tmp_path, monkeypatch
    ):
        shutil.copytree(one_process, tmp_path / "out")
        expected = results_in(one_process)
        lost = next((tmp_path / "out" / "parts").glob("bag_1-*.parquet"))
        lost.unlink()
        done: list[str] = []
        original = runner.run_job

        def watched(job: Job, *callbacks: Any) -> Any:
            done.append(job.path.name)
            return original(job, *callbacks)

        monkeypatch.setattr(runner, "run_job", watched)

        assert run(folder, "--out", tmp_path / "out", "--resume") == 3

        assert done == ["bag_1", "broken.mcap"]
        assert without_times(results_in(tmp_path / "out")) == without_times(expected)

    @pytest.mark.slow
    @pytest.mark.parametrize("n_bytes", [0, 4, 2000])
    def test_resume_evaluates_truncated_parts_again(self, folder, one_process, tmp_path, n_bytes):
        shutil.copytree(one_process, tmp_path / "out")
        for file in (tmp_path / "out" / "parts").iterdir():
            file.write_bytes(file.read_bytes()[:n_bytes])

        assert run(folder, "--out", tmp_path / "out", "--resume") == 3

        expected = results_in(one_process)
        assert without_times(results_in(tmp_path / "out")) == without_times(expected)

    def test_resume_evaluates_damaged_parts_again(self, folder, one_process, tmp_path):
        shutil.copytree(one_process, tmp_path / "out")
        part = next((tmp_path / "out" / "parts").glob("bag_0*"))
        data = part.read_bytes()
        at = data.index(b"tallies") + 20  # within its text
        part.write_bytes(data[:at] + b"\xff" + data[at + 1 :])

        assert run(folder / "bag_0", "--out", tmp_path / "out", "--resume") == 0

        bags = results_in(tmp_path / "out")["bags"]
        assert [Path(bag["path"]).name for bag in bags] == ["bag_0"]

    def test_resume_evaluates_again_with_another_start_or_tracker(
        self, folder, one_process, tmp_path
    ):
        shutil.copytree(one_process, tmp_path / "out")
        before = results_in(one_process)["bags"][0]["messages"]
        again = [folder / "bag_0", "--out", tmp_path / "out", "--resume"]

        assert run(*again, "--start", "3") == 0
        assert results_in(tmp_path / "out")["bags"][0]["messages"] < before
        assert run(*again, "--tracker", "spencer") == 1

    def test_two_runs_do_not_share_a_folder(self, folder, tmp_path, capsys):
        (tmp_path / "parts").mkdir()
        with runner.locked(tmp_path):
            assert run(folder / "bag_0", "--out", tmp_path) == 2
        assert "another evaluation writes to" in capsys.readouterr().err
        assert run(folder / "bag_0", "--out", tmp_path) == 0

    @pytest.mark.slow
    def test_a_worker_that_is_killed_fails_its_recording_only(self, folder, tmp_path, monkeypatch):
        monkeypatch.setattr(runner, "run_job", killed_at_bag_1)

        assert evaluate_bag.main([str(folder), "--out", str(tmp_path), *FAST, "--jobs", "2"]) == 3

        results = results_in(tmp_path)
        assert [Path(bag["path"]).name for bag in results["bags"]] == ["bag_0", "bag_2"]
        reasons = [failure["reason"] for failure in results["failed"]]
        assert any("bag_1: its process was killed" in reason for reason in reasons)

    @pytest.mark.slow
    def test_workers_end_with_the_process_that_started_them(self, folder, tmp_path):
        code = (
            "import os, signal, sys\n"
            "from social_implicit_ros.commands import evaluate_bag\n"
            "from social_implicit_ros.evaluation import runner\n"
            "def terminate(*_): os.kill(os.getpid(), signal.SIGTERM)\n"
            "runner.as_completed = terminate\n"
            "evaluate_bag.main(sys.argv[1:])\n"
        )
        command = [sys.executable, "-c", code, str(folder), "--out", str(tmp_path), *FAST]
        # The workers have the pipe open: if they do not end, this waits until the timeout.
        ended = subprocess.run([*command, "--jobs", "2"], capture_output=True, timeout=60)
        assert ended.returncode == -signal.SIGTERM

    def test_an_unexpected_error_fails_its_recording_only(self, folder, tmp_path, monkeypatch):
        original = runner.evaluate_recording

        def failing(path: Path, *arguments: Any, **options: Any) -> Any:
            if path.name == "bag_1":
                raise MemoryError("6 GB")
            return original(path, *arguments, **options)

        monkeypatch.setattr(runner, "evaluate_recording", failing)
        assert run(folder, "--out", tmp_path) == 3
        reasons = [failure["reason"] for failure in results_in(tmp_path)["failed"]]
        assert any("bag_1: MemoryError: 6 GB" in reason for reason in reasons)

    @pytest.mark.parametrize("name", ["results.json", "per_tick.parquet", "report.html"])
    def test_results_that_cannot_be_written_keep_the_earlier_ones_and_no_unfinished_files(
        self, folder, one_process, tmp_path, name, capsys
    ):
        shutil.copytree(one_process, tmp_path / "out")
        (tmp_path / "out" / name).unlink()
        (tmp_path / "out" / name / "in the way").mkdir(parents=True)
        others = [file for file in (tmp_path / "out").iterdir() if file.is_file()]
        before = [file.stat().st_mtime_ns for file in others]

        assert run(folder, "--out", tmp_path / "out", "--resume") == 2

        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("evaluate_bag: ") and name in error
        assert not list((tmp_path / "out").glob("*.unfinished"))
        assert [file.stat().st_mtime_ns for file in others] == before

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["a%41b", "a%b#c?d"])
    @pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
    def test_paths_with_uri_characters_are_read(self, tmp_path, name, storage):
        # rosbags writes no such names; ros2 bag does.
        plain = people_messages(walkers(duration_s=7.0, n_agents=2))
        bag = write_bag(tmp_path / "plain", plain, storage=storage).rename(tmp_path / name)
        (file,) = (file for file in bag.iterdir() if file.suffix != ".yaml")
        file.rename(file.with_name(name + file.suffix))
        metadata = bag / "metadata.yaml"
        metadata.write_text(metadata.read_text().replace(file.name, f'"{name}{file.suffix}"'))
        assert run(bag, "--out", tmp_path / "out") == 0
        (file,) = (file for file in bag.iterdir() if file.suffix != ".yaml")
        assert run(file, "--out", tmp_path / "out") == 0

    def test_pipes_and_folders_in_the_place_of_files_are_errors(self, folder, tmp_path, capsys):
        pipe = tmp_path / "pipe.mcap"
        os.mkfifo(pipe)
        (tmp_path / "empty.mcap").mkdir()
        for path in (pipe, tmp_path / "empty.mcap", "/dev/zero"):
            assert run(path, "--out", tmp_path / "out") == 2
            assert str(path) in capsys.readouterr().err
        bag = shutil.copytree(folder / "bag_0", tmp_path / "bag")
        (file,) = (file for file in bag.iterdir() if file.suffix != ".yaml")
        file.unlink()
        os.mkfifo(file)
        assert run(bag, "--out", tmp_path / "out") == 1
        assert "is not a regular file" in capsys.readouterr().err

    @pytest.mark.slow
    def test_a_file_that_unpacks_to_too_much_is_refused_and_leaves_nothing(
        self, folder, tmp_path, monkeypatch, capsys
    ):
        (tmp_path / "tmp").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
        bomb = tmp_path / "bomb.mcap.zstd"
        bomb.write_bytes(zstd.compress(bytes(200_000_000)))
        assert run(bomb, "--out", tmp_path / "out") == 1
        assert "beyond 1000 times as many or 100 GB" in capsys.readouterr().err
        (file,) = (folder / "bag_0").glob("*.mcap")
        packed = tmp_path / "packed.mcap.zstd"
        packed.write_bytes(zstd.compress(file.read_bytes()))
        assert run(packed, "--out", tmp_path / "out") == 0
        monkeypatch.setenv("SOCIAL_IMPLICIT_MAX_UNPACKED_GB", "")
        assert run(packed, "--out", tmp_path / "out", "--max-unpacked-gb", "1e-6") == 1
        assert not list((tmp_path / "tmp").iterdir())

    def test_copies_of_killed_processes_are_removed(self, folder, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        killed, running = (
            tmp_path / f"social_implicit_ros-{pid}-x" for pid in (2**30, os.getpid())
        )
        for copies in (killed, running):
            copies.mkdir()
        assert run(folder / "bag_0", "--out", tmp_path / "out") == 0
        assert running.exists() and not killed.exists()

    def test_escape_sequences_in_names_do_not_reach_the_terminal(self, tmp_path, capsys):
        name = "a\x1b]0;title\x07[red]b.mcap"
        (tmp_path / name).write_bytes(b"nothing")

        assert run(tmp_path / name, "--out", tmp_path / "out") == 1

        shown = "".join(capsys.readouterr())
        assert "\x1b" not in shown and "\x07" not in shown
        assert "[red]b.mcap" in shown

    @pytest.mark.parametrize(
        "option",
        [
            "--tick-rate=1e-300",
            "--tick-rate=nan",
            "--tick-rate=inf",
        ],
    )
    def test_numbers_out_of_range_are_refused(self, folder, tmp_path, option):
        try:
            code = run(folder / "bag_0", "--out", tmp_path, option)
        except SystemExit as exited:
            code = exited.code
        assert code == 2

    @pytest.mark.parametrize("kind", ["link to itself", "file", "named pipe"])
    def test_an_output_path_that_is_not_a_folder_is_refused(self, folder, tmp_path, capsys, kind):
        out = tmp_path / "out"
        if kind == "link to itself":
            out.symlink_to(out)
        elif kind == "file":
            out.touch()
        else:
            os.mkfifo(out)
        assert run(folder / "bag_0", "--out", out) == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said and str(out) in said.replace("\n", "")

    def test_an_interrupted_run_keeps_finished_recordings(
        self, folder, tmp_path, monkeypatch, capsys
    ):
        original = runner.run_job

        def interrupted(job: Job, *callbacks: Any) -> Any:
            if job.path.name == "bag_1":
                (tmp_path / "parts" / "bag_1.parquet.1234.unfinished").touch()
                raise KeyboardInterrupt
            return original(job, *callbacks)

        monkeypatch.setattr(runner, "run_job", interrupted)

        assert run(folder, "--out", tmp_path) == 130

        assert "interrupted; --resume evaluates" in capsys.readouterr().err
        names = {file.name.split("-")[0] for file in (tmp_path / "parts").iterdir()}
        assert names == {"bag_0"}

    @pytest.mark.parametrize("jobs", ["1", "2"])
    def test_resume_reads_no_recording_if_all_are_evaluated(
        self, folder, one_process, tmp_path, monkeypatch, jobs
    ):
        shutil.copytree(one_process, tmp_path / "out")
        (tmp_path / "out" / "report.html").unlink()
        monkeypatch.setattr(runner, "run_job", None)
        bags = [str(folder / f"bag_{index}") for index in range(3)]
        arguments = [*bags, "--out", str(tmp_path / "out"), *FAST, "--jobs", jobs, "--resume"]

        assert evaluate_bag.main(arguments) == 0

        assert results_in(tmp_path / "out")["models"] == results_in(one_process)["models"]
        assert (tmp_path / "out" / "report.html").is_file()

    def test_resume_evaluates_again_with_other_parameters(
        self, folder, one_process, tmp_path, monkeypatch
    ):
        shutil.copytree(one_process, tmp_path / "out")
        parameters = tmp_path / "mine.yaml"
        parameters.write_text(
            "/**:\n  ros__parameters:\n    tick_rate_hz: 1.25\n    markers: {lifetime_s: 1.0}\n"
        )

        assert (
            run(folder / "bag_0", "--out", tmp_path / "out", "--resume", "--params", parameters)
            == 0
        )

        counts = results_in(tmp_path / "out")["models"]["constant_velocity"]["counts"]
        before = results_in(one_process)["bags"][0]["counts"]["constant_velocity"]
        assert counts["ticks"] < 0.6 * before["ticks"]

    def test_resume_evaluates_again_if_a_model_was_calibrated_again(self, folder, tmp_path):
        paths, settings = [folder / "bag_0"], load_settings()
        model = tmp_path / "mine.onnx"
        for suffix in (".onnx", ".json"):
            shutil.copy(SHIPPED / f"social_zone{suffix}", model.with_suffix(suffix))
        request = Request((str(model),), settings, n_moments=0)
        (before,) = jobs_of(paths, request, tmp_path)
        assert jobs_of(paths, request, tmp_path) == [before]
        card = load_card(model.with_suffix(".json"))
        replace(card, calibration={}).save(model.with_suffix(".json"))

        (after,) = jobs_of(paths, request, tmp_path)

        assert after.fingerprint != before.fingerprint

    def test_resume_evaluates_again_if_the_map_was_edited(self, folder, tmp_path):
        map_file, image = tmp_path / "hall.yaml", tmp_path / "hall.pgm"
        map_file.write_text("{image: hall.pgm, resolution: 0.5, origin: [0.0, 0.0, 0.0]}")
        request = Request(("default",), load_settings(), n_moments=0, map_file=map_file)
        image.write_bytes(b"P5 2 1 255\n\x00\xff")
        (before,) = jobs_of([folder / "bag_0"], request, tmp_path)
        image.write_bytes(b"P5 2 1 255\n\xff\x00")
        (after,) = jobs_of([folder / "bag_0"], request, tmp_path)

        assert after.fingerprint != before.fingerprint


class TestDocumentation:
    DOCUMENT = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text()

    def names(self) -> set[str]:
        return set(re.findall(r"`\.?([\w.\[\]]+)`", self.DOCUMENT))

    def test_every_key_of_the_results_is_documented(self, finished):
        results = results_in(finished)
        model = results["models"]["constant_velocity"]
        keys = (
            {
                *results["settings"],
                *model,
                *model["counts"],
                *model["figures"],
                *model["horizon"],
                *model["reliability"],
                *model["by"]["speed"][0],
                *results["bags"][0],
                *results["failed"],
            }
            - set(PARAMETERS)
            - {"by"}
        )

        assert keys - self.names() == set()

    def test_every_column_of_the_table_is_documented(self, finished):
        columns = parquet.read_schema(finished / "per_tick.parquet").names

        assert set(columns) - self.names() == set()
