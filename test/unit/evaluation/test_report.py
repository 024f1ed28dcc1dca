"""The report: its content, and its behaviour in a real browser without network access."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bags import START_NS, S, people_messages, walkers, write_bag
from support.browser import headless_browser, needs_browser, settle

from social_implicit_ros.commands import evaluate_bag
from social_implicit_ros.evaluation.output_files import DATA_MARK, PLOTLY_MARK
from social_implicit_ros.evaluation.parts import read_part
from social_implicit_ros.evaluation.report import highlights
from social_implicit_ros.evaluation.report import page as report_module
from social_implicit_ros.evaluation.report.highlights import encoded_walls
from social_implicit_ros.evaluation.report.page import summary
from social_implicit_ros.evaluation.report.tables import STYLES, metric_rows
from social_implicit_ros.evaluation.tally import Tally, metrics_of
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.types import Prediction, Tracks
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES, radius_at

MODELS = ("sampled_constant_velocity", "constant_velocity")


def crowd(seed: int) -> list[Tracks]:
    """People who wander, one of whom turns back sharply."""
    generator = np.random.default_rng(seed)
    heading = generator.uniform(0, 6.28, 6) + generator.normal(0, 0.1, (150, 6)).cumsum(axis=0)
    heading[70:, 0] += np.pi
    steps = 0.12 * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    places = generator.uniform(-4, 4, (6, 2)) + steps.cumsum(axis=0)
    ids = ("turns</script>", "b", "c", "d", "e", "f")  # an id must not end the page's script
    return [Tracks(START_NS + i * S // 10, ids, places[i]) for i in range(150)]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    for index in range(2):
        write_bag(folder / "bags" / f"bag_{index}", people_messages(crowd(index)))
    (folder / "bags" / "broken.mcap").write_bytes(b"not a recording")
    models = [part for name in MODELS for part in ("--model", name)]
    arguments = [str(folder / "bags"), "--out", str(folder / "out"), *models]
    arguments += ["--jobs", "1", "--moments", "3", "--tick-rate", "5", "--no-adaptive"]
    assert evaluate_bag.main(arguments) == 3
    return folder / "out" / "report.html"


def data_of(report: Path) -> dict[str, Any]:
    """The data of the page."""
    match = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', report.read_text(), re.DOTALL
    )
    assert match is not None
    data: dict[str, Any] = json.loads(match[1])
    return data


def numbers(packed: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), "<i2")


class TestContent:
    @pytest.mark.parametrize(
        "name", ["<!--<script>", "</script>", DATA_MARK, PLOTLY_MARK, "a<b>&amp;", "\\u003c"]
    )
    def test_names_in_the_data_stay_data(self, report, name):
        given = data_of(report)["results"]
        given["bags"][0]["topic"] = name

        page = report_module.report_page(given, [])

        (text,) = re.findall(
            r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL
        )
        assert "<" not in text
        assert json.loads(text)["results"]["bags"][0]["topic"] == name
        assert len(page) < 1.1 * len(report.read_text())

    def test_it_is_one_file_that_loads_nothing_else(self, report):
        page = report.read_text()
        own = re.sub(r"<script>.*?</script>", "", page, count=1, flags=re.DOTALL)

        assert DATA_MARK not in page
        assert PLOTLY_MARK not in page
        assert "default-src 'none'" in page
        assert not re.search(r"<script[^>]+src|<link[^>]+href=\"(?!data:)|@import|url\(", own)

    def test_it_contains_the_results(self, report):
        results = json.loads((report.parent / "results.json").read_text())

        assert data_of(report)["results"] == results

    def test_scenes_contain_past_ground_truth_and_the_predictions_of_every_model(self, report):
        data = data_of(report)

        assert len(data["scenes"]) == 2
        scene = data["scenes"][0]
        frame = scene["frames"][len(scene["frames"]) // 2]
        n_people = len(frame["ids"])
        assert n_people == 6
        assert numbers(frame["past"]).size == n_people * 8 * 2
        assert numbers(frame["truth"]).size == n_people * 12 * 2
        for name in MODELS:
            assert numbers(frame["models"][name]["mean"]).size == n_people * 12 * 2
            assert numbers(frame["models"][name]["ellipse"]).size == n_people * 12 * 4

    def test_ellipses_are_the_regions_of_95_and_50_percent(self):
        """Of a Gaussian, and of a model with a radius scale per confidence level."""
        covariance = np.broadcast_to(np.diag([4.0, 1.0]), (1, 2, 2, 2))
        samples, mean = np.zeros((3, 1, 2, 2)), np.zeros((1, 2, 2))
        factors = np.broadcast_to(np.linspace(0.5, 1.5, len(CONFIDENCES)), (1, 2, len(CONFIDENCES)))
        for prediction in (
            Prediction(samples, mean, covariance, 0.4),
            Prediction(samples, mean, covariance, 0.4, factors),
        ):
            major, minor, yaw, half = highlights._ellipses(prediction)[0, 1]

            assert major == pytest.approx(2.0 * radius_at(prediction, 0.95)[0, 1])
            assert minor == pytest.approx(major / 2)
            assert yaw == 0.0
            assert half * major == pytest.approx(2.0 * radius_at(prediction, 0.5)[0, 1])

    def test_a_scene_has_the_recorded_positions(self, report):
        data = data_of(report)
        scene = next(entry for entry in data["scenes"] if entry["bag"].endswith("bag_0"))
        frame = scene["frames"][20]
        index = round((int(frame["stamp_ns"]) - START_NS) / S * 10)

        present = numbers(frame["past"]).reshape(6, 8, 2)[:, -1] / 100 + scene["origin_m"]

        np.testing.assert_allclose(present, crowd(0)[index].positions_m, atol=0.02)

    def test_the_largest_error_is_that_of_the_person_who_turns_back(self, report):
        for name, failures in data_of(report)["worst"].items():
            assert 2 <= len(failures) <= 10, name
            assert failures[0]["agent"] == "turns</script>"
            assert failures[0]["ids"][0] == "turns</script>"
            errors = [failure["fde_m"] for failure in failures]
            assert errors == sorted(errors, reverse=True)
            assert errors[0] > 3.0

    def test_one_person_is_listed_at_most_once_in_six_seconds(self, report):
        for failures in data_of(report)["worst"].values():
            stamps: dict[tuple[str, str], list[int]] = {}
            for failure in failures:
                stamps.setdefault((failure["bag"], failure["agent"]), []).append(
                    int(failure["stamp_ns"])
                )
            for of_one in stamps.values():
                assert (np.diff(sorted(of_one)) >= 6 * S).all()

    def test_the_map_counts_every_complete_prediction(self, report):
        data = data_of(report)

        for entry in data["maps"]:
            (bag,) = [bag for bag in data["results"]["bags"] if bag["path"] == entry["bag"]]
            assert sum(entry["futures"]) == bag["counts"][MODELS[0]]["futures"]
            errors = np.dot(entry["futures"], entry["mean_fde"][MODELS[1]])
            mean = bag["figures"][MODELS[1]]["mean_fde"]
            assert errors / sum(entry["futures"]) == pytest.approx(mean, abs=2e-3)

    def test_every_metric_is_explained(self):
        assert set(STYLES) == set(metrics_of(Tally.empty([0.4])))
        assert all(style.meaning for style in STYLES.values())

    @pytest.mark.parametrize(
        ("metric", "values", "best"),
        [
            ("mean_fde", (1.0, 2.0), [0]),
            ("mean_fde", (1.0, 1.0), [0, 1]),
            ("mean_fde", (None, 2.0), [1]),
            ("r_avg", (0.9, 0.95), [1]),
            ("coverage_95", (0.99, 0.93), [1]),
            ("amv", (0.1, 0.2), [1]),  # the regions of the first model do not cover
        ],
    )
    def test_the_best_models_of_each_metric_are_marked(self, report, metric, values, best):
        results = json.loads((report.parent / "results.json").read_text())
        for name, value, coverage in zip(MODELS, values, (0.5, 0.95), strict=True):
            results["models"][name]["figures"] |= {"coverage_95": coverage, metric: value}

        rows = dict(zip(STYLES, metric_rows(results), strict=True))

        assert rows[metric]["best"] == best

    @pytest.mark.parametrize(
        ("coverage", "r_avg", "r_min", "says"),
        [
            (0.99, 0.9, 0.8, "wider than necessary"),
            (0.95, 0.97, 0.92, "they are calibrated, as are"),
            (0.95, 0.88, 0.81, "off by 12 % on average and by up to 19 %"),
            (0.88, 0.9, 0.8, "slightly too small"),
            (0.5, 0.6, 0.5, "too small to plan with"),
            (0.0, 0.5, 0.0, "states no uncertainty"),
        ],
    )
    def test_the_summary_follows_the_metrics(self, report, coverage, r_avg, r_min, says):
        results = json.loads((report.parent / "results.json").read_text())
        reliability = {"coverage_95": coverage, "r_avg": r_avg, "r_min": r_min}
        results["models"][MODELS[0]]["figures"].update(reliability)
        results["models"][MODELS[0]]["figures"]["mean_fde"] = 1.5
        results["models"]["constant_velocity"]["figures"]["mean_fde"] = 1.0
        for name, score in ((MODELS[0], 0.3), ("constant_velocity", 0.4)):
            results["models"][name]["figures"]["energy"] = score

        words = " ".join(summary(results, MODELS[0]))

        assert says in words
        assert "50 % more than constant velocity" in words
        assert "is 0.30 m: 25 % less than constant velocity" in words

    def test_walls_near_the_people_are_rectangles(self):
        occupied = np.zeros((20, 30), dtype=bool)
        occupied[2:8, 4:6] = occupied[10, 1:9] = True
        occupied[19, 29] = True  # far from everybody
        walls = FloorPlan(occupied, 1.0, (-2.0, -3.0))
        places_m = np.array([[1.0, 1.0], [3.0, 2.0]])

        encoded = encoded_walls(walls, places_m, np.array([1.0, 1.0]))

        assert sorted(encoded) == [[-2.0, 6.0, 8.0, 1.0], [1.0, -2.0, 2.0, 6.0]]
        assert encoded_walls(None, places_m, np.zeros(2)) == []
        assert encoded_walls(walls, places_m + 500.0, np.zeros(2)) == []
        assert encoded_walls(replace(walls, yaw_rad=0.1), places_m, np.zeros(2)) == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with headless_browser() as driver:
        yield driver


@pytest.fixture
def page(browser: Any, report: Path) -> Any:
    browser.get_log("browser")
    browser.get(report.as_uri())
    settle(browser)
    return browser


@pytest.fixture
def phone(page: Any) -> Iterator[Any]:
    """The page on a narrow touch screen."""
    screen = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    page.refresh()
    settle(page)
    yield page
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def scene_picture(page: Any) -> str:
    return str(page.execute_script("return document.getElementById('scene').toDataURL()"))


def choose(page: Any, group: str, value: str) -> None:
    page.find_element("css selector", f'input[name="{group}"][value="{value}"]').click()
    settle(page)


@needs_browser
class TestInTheBrowser:
    def test_it_loads_without_console_messages_or_requests(self, page):
        assert page.execute_script("return document.documentElement.dataset.ready") == "yes"
        assert page.get_log("browser") == []
        assert page.execute_script("return performance.getEntriesByType('resource').length") == 0

    def test_everything_is_drawn(self, page):
        for plot in ("horizon", "reliability", "speed", "crowd", "history", "map"):
            marks = page.find_elements("css selector", f"#plot-{plot} .trace, #plot-{plot} .hm")
            assert marks, plot
        assert len(page.find_elements("css selector", "#figures tbody tr")) == len(STYLES)
        assert len(page.find_elements("css selector", "#moments canvas")) >= 2

    def test_it_opens_at_the_frame_with_the_most_complete_people(self, page, report):
        frames = data_of(report)["scenes"][0]["frames"]
        n_whole = [
            (
                (numbers(frame["past"]).reshape(len(frame["ids"]), -1) != -32768).all(axis=1)
                & (numbers(frame["truth"]).reshape(len(frame["ids"]), -1) != -32768).all(axis=1)
            ).sum()
            for frame in frames
        ]
        shown = page.execute_script("return state.frame")
        assert n_whole[0] == 0 < n_whole[shown] == max(n_whole)
        assert float(page.find_element("id", "slider").get_attribute("value")) == shown

    def test_the_slider_moves_time(self, page):
        before, first = scene_picture(page), page.find_element("id", "time").text

        page.execute_script(
            "const s = document.getElementById('slider'); s.value = 40;"
            "s.dispatchEvent(new Event('input'))"
        )
        settle(page)

        assert scene_picture(page) != before
        assert page.find_element("id", "time").text.startswith("8.0 s") != first.startswith("8.0")

    def test_it_states_how_many_people_there_are_and_how_many_are_shown(self, page):
        say = "return peopleIn({ids: Array(arguments[0]).fill(''), people: arguments[1]})"
        assert "· 6 people" in page.find_element("id", "time").text
        assert page.execute_script(say, 1, 1) == "1 person"
        assert page.execute_script(say, 40, 200) == "40 of 200 people"

    def test_the_slider_works_by_keyboard(self, page):
        keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
        before, first = scene_picture(page), page.execute_script("return state.frame")

        page.find_element("id", "slider").send_keys(keys.ARROW_RIGHT, keys.ARROW_RIGHT)
        settle(page)

        assert page.execute_script("return state.frame") == first + 2
        assert scene_picture(page) != before

    def test_a_scene_plays_and_can_be_paused(self, page):
        button = page.find_element("id", "play")
        button.click()
        page.execute_async_script(
            "const done = arguments[0];"
            "const begin = state.frame;"
            "const wait = () => state.frame > begin + 2 ? done() : requestAnimationFrame(wait);"
            "wait()"
        )
        button.click()
        settle(page)
        stopped = page.execute_script("return state.frame")
        settle(page)

        assert page.execute_script("return state.frame") == stopped
        assert "Play" in button.text

    def test_another_model_changes_the_scene_the_tiles_and_the_summary(self, page):
        page.execute_script("state.frame = 30; drawScene()")
        before = scene_picture(page)
        tiles, words = (page.find_element("id", name).text for name in ("tiles", "model-summary"))

        choose(page, "model", "constant_velocity")

        assert scene_picture(page) != before
        assert page.find_element("id", "tiles").text != tiles
        assert page.find_element("id", "model-summary").text != words
        assert "states no uncertainty" in page.find_element("id", "model-summary").text
        chosen = page.find_elements("css selector", "#figures thead .chosen")
        assert [cell.text for cell in chosen] == ["constant velocity"]
        assert page.get_log("browser") == []

    def test_the_table_has_the_metrics_of_the_results(self, page, report):
        results = data_of(report)["results"]
        expected = results["models"][MODELS[0]]["figures"]["mean_fde"]
        rows = page.find_elements("css selector", "#figures tbody tr")
        (row,) = [row for row in rows if row.text.startswith("FDE, mean trajectory")]

        assert row.find_elements("tag name", "td")[0].text == f"{expected:.3f}"

    def test_recordings_are_listed_with_the_metrics_of_the_chosen_model(self, page, report):
        for name in MODELS:
            choose(page, "model", name)
            rows = page.find_elements("css selector", "#bags tbody tr")
            bags = data_of(report)["results"]["bags"]
            for row, bag in zip(rows, bags, strict=True):
                figures = bag["figures"][name]
                fde_m, inside = re.findall(r" ([\d.]+) m ([\d.]+) % ", row.text)[0]
                assert float(fde_m) == pytest.approx(figures["mean_fde"], abs=0.0051)
                assert float(inside) == pytest.approx(100 * figures["coverage_95"], abs=0.051)

    def test_models_differ_in_more_than_colour(self, page):
        swatches = [
            (path.get_attribute("stroke"), path.get_attribute("stroke-dasharray"))
            for path in page.find_elements("css selector", "#models path")
        ]
        assert len(swatches) == len(MODELS)
        assert all(len(set(kinds)) == len(MODELS) for kinds in zip(*swatches, strict=True))
        lines = page.find_elements("css selector", "#plot-reliability .js-line")
        assert len({line.value_of_css_property("stroke-dasharray") for line in lines}) == len(lines)

    def test_every_group_has_a_bar_for_each_model(self, page):
        data = page.execute_script("return document.getElementById('plot-speed').data")
        bars = page.find_elements("css selector", "#plot-speed .bars .point path")
        visible = [bar for bar in bars if bar.value_of_css_property("fill") != "none"]
        assert len(visible) == sum(len(trace["x"]) for trace in data) >= len(MODELS)

    def test_the_captions_of_the_largest_errors_are_those_of_the_results(self, page, report):
        page.execute_script("for (const moment of moments) moment.draw(true)")
        captions = [
            item.text.splitlines()[0]
            for item in page.find_elements("css selector", "#moments figcaption")
        ]
        failures = data_of(report)["worst"][MODELS[0]]
        horizon_s = data_of(report)["results"]["models"][MODELS[0]]["horizon"]["times_s"][-1]
        assert len(captions) == len(failures)
        for caption, failure in zip(captions, failures, strict=True):
            off_m = float(caption.split()[0])
            assert off_m == pytest.approx(failure["fde_m"], abs=0.03)
            assert caption.endswith(f"m error after {horizon_s:.1f} s")

    def test_the_dark_colour_scheme_has_other_colours(self, page):
        light = page.find_elements("css selector", "#models path")[0].get_attribute("stroke")
        dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
        try:
            settle(page)
            strokes = page.find_elements("css selector", "#models path")
            assert strokes[0].get_attribute("stroke") != light
            assert page.get_log("browser") == []
        finally:
            page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    def test_other_quantities_and_recordings_are_shown(self, page):
        choose(page, "quantity", "inside")
        assert "inside" in page.find_element("css selector", "#plot-horizon .ytitle").text

        for name in ("scene-bag", "map-bag"):
            page.execute_script(
                f"const s = document.getElementById('{name}'); s.value = 1;"
                "s.dispatchEvent(new Event('change'))"
            )
        settle(page)
        assert page.execute_script("return [state.scene, state.map]") == [1, 1]
        assert page.get_log("browser") == []

    def test_failed_recordings_are_listed_at_the_top(self, page):
        notice = page.find_element("id", "failures")

        assert notice.is_displayed()
        assert "broken.mcap" in notice.text

    def test_walls_are_drawn_and_in_the_legend_if_there_are_any(self, page):
        assert "walls" not in page.find_element("id", "legend").text
        before = scene_picture(page)
        page.execute_script("data.scenes[0].walls = [[-1, -1, 2, 0.5]]; writeLegend(); drawScene()")
        assert "walls" in page.find_element("id", "legend").text
        assert scene_picture(page) != before

    def test_on_a_phone_nothing_is_wider_than_the_screen(self, phone):
        assert phone.execute_script("return document.documentElement.scrollWidth") == 390
        assert phone.get_log("browser") == []

    def test_on_a_phone_a_person_stays_highlighted_after_the_tap(self, phone):
        where = (
            "const scene = data.scenes[0], canvas = document.getElementById('scene');"
            "canvas.scrollIntoView({block: 'center'});"
            "const box = canvas.getBoundingClientRect(), frame = scene.frames[state.frame];"
            "const people = unpacked(frame).past.map(past => scene.view.place(past.at(-1)));"
            "const corners = [[9, 9], [box.width - 9, 9], [9, box.height - 9]];"
            "const gap = ([x, y]) => Math.min(...people.map(([u, v]) => Math.hypot(x - u, y - v)));"
            "const empty = corners.sort((a, b) => gap(b) - gap(a))[0];"
            "const [x, y] = arguments[0] ? people[1] : empty;"
            "return [box.left + x, box.top + y]"
        )

        def tap(*, on_person: bool) -> None:
            x, y = phone.execute_script(where, on_person)
            for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
                touch = {"type": kind, "touchPoints": points}
                phone.execute_cdp_cmd("Input.dispatchTouchEvent", touch)
            settle(phone)

        everybody = scene_picture(phone)
        tap(on_person=True)
        assert phone.execute_script("return state.looked") is not None
        assert scene_picture(phone) != everybody
        tap(on_person=False)
        assert phone.execute_script("return state.looked") is None
        assert scene_picture(phone) == everybody

    def test_on_a_phone_truncated_tables_are_marked_and_the_chosen_model_is_in_view(self, phone):
        bar, table = phone.find_elements("css selector", ".bar, .scroll:has(#bags)")
        assert "cut" in bar.get_attribute("class")
        assert "cut" in table.get_attribute("class")
        assert phone.find_element("css selector", ".scroll:has(#bags) + .more").is_displayed()

        phone.execute_script(f"document.querySelector('input[value={MODELS[1]}]').click()")
        settle(phone)

        right = "return arguments[0].getBoundingClientRect().right"
        for chosen in ("#models input:checked + span", "#figures thead .chosen"):
            assert phone.execute_script(right, phone.find_element("css selector", chosen)) <= 390
        phone.execute_script("arguments[0].scrollLeft = 1e4", table)
        settle(phone)
        assert "cut" not in table.get_attribute("class")


def test_large_scenes_are_left_out_beyond_the_size_limit_of_the_page(report, monkeypatch):
    results = json.loads((report.parent / "results.json").read_text())
    parts = sorted((report.parent / "parts").iterdir())
    shown = [
        (bag["path"], read_part(part, "highlights")["highlights"])
        for bag, part in zip(results["bags"], parts, strict=True)
    ]
    n_bytes = len(json.dumps(shown[0][1]["scene"]))
    for room, n_scenes in ((3 * n_bytes, 2), (n_bytes * 3 // 2, 1), (1, 1)):
        monkeypatch.setattr(report_module, "SCENES_BYTES", room)
        page = report.with_name("page.html")
        page.write_text(report_module.report_page(results, shown))
        assert len(data_of(page)["scenes"]) == n_scenes


@needs_browser
def test_a_recording_without_complete_predictions_has_a_page(browser, tmp_path):
    bag = write_bag(tmp_path / "bag", people_messages(walkers(duration_s=3.0)))
    arguments = [str(bag), "--out", str(tmp_path / "out"), "--model", "constant_velocity"]
    assert evaluate_bag.main([*arguments, "--jobs", "1"]) == 0

    browser.get((tmp_path / "out" / "report.html").as_uri())
    settle(browser)

    assert browser.get_log("browser") == []
    assert not browser.find_element("id", "worst-card").is_displayed()
    # With one model, no metric is marked as the best.
    assert browser.find_elements("css selector", "#figures .best") == []
    assert "Green" not in browser.find_element("id", "basis").text
    assert browser.find_element("id", "summary").text.endswith("· 1 model")


@needs_browser
def test_recordings_of_the_same_name_are_told_apart_by_their_folders(browser, tmp_path):
    files = [tmp_path / folder / "tracks" / "walk.txt" for folder in ("hall", "square")]
    files.append(tmp_path / "street.txt")
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{10 * i} 1 {0.4 * i:.1f} 0\n" for i in range(30)))
    arguments = [*map(str, files), "--out", str(tmp_path / "out"), "--model", "constant_velocity"]
    assert evaluate_bag.main([*arguments, "--jobs", "1", "--moments", "0"]) == 0

    browser.get((tmp_path / "out" / "report.html").as_uri())
    settle(browser)

    cells = browser.find_elements("css selector", "#bags tbody td:first-child")
    assert [cell.text for cell in cells] == [
        *("hall/tracks/walk.txt", "square/tracks/walk.txt", "street.txt"),
    ]


def test_a_tracker_slower_than_the_ticks_has_a_map(tmp_path):
    file = tmp_path / "crowd.txt"
    rows = [
        (10 * i, agent, 0.5 * i + agent, 0.1 * i * agent) for i in range(40) for agent in (1, 2)
    ]
    file.write_text("".join("{} {} {} {}\n".format(*row) for row in rows))
    models = [part for name in MODELS for part in ("--model", name)]

    arguments = [str(file), "--out", str(tmp_path / "out"), "--tick-rate", "10", *models]

    assert evaluate_bag.main([*arguments, "--jobs", "1", "--moments", "0"]) == 0

    (shown,) = data_of(tmp_path / "out" / "report.html")["maps"]
    assert sum(shown["futures"]) > 100
    assert None not in shown["mean_fde"][MODELS[1]]
