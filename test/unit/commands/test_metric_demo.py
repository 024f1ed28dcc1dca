"""The page in a real browser: it works by keyboard, and its values are those of the metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.browser import headless_browser, needs_browser, settle

from social_implicit_ros.commands.metric_demo import main
from social_implicit_ros.evaluation.output_files import DATA_MARK
from social_implicit_ros.evaluation.report import metric_demo
from social_implicit_ros.metrics.amd import mahalanobis_distances, mean_covariance_eigenvalue
from social_implicit_ros.metrics.displacement import best_of_n
from social_implicit_ros.metrics.kde import kde_nll


def test_the_page_is_one_file_that_loads_nothing_else() -> None:
    page = metric_demo.demo_page()
    assert DATA_MARK not in page
    assert not re.search(
        r"https?://|<script[^>]+src|<link[^>]+href=\"(?!data:)|@import|url\(", page
    )
    assert "default-src 'none'" in page


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "demo.html"
    assert main(["--out", str(path), "--seed", "3"]) == 0
    assert path.read_text(encoding="utf-8") == metric_demo.demo_page(3) != metric_demo.demo_page()
    assert str(path) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--out", "no/such/folder/a.html"], "no/such/folder"), (["--seed", "-1"], "--seed: '-1'")],
)
def test_an_output_that_cannot_be_written_exits_with_2_and_a_message(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with headless_browser() as driver:
        yield driver


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Any:
    path = tmp_path / "demo.html"
    path.write_text(metric_demo.demo_page(), encoding="utf-8")
    browser.get(path.as_uri())
    settle(browser)
    return browser


def shown(page: Any) -> dict[str, float]:
    """The values of the metrics as the reader sees them."""
    return {
        key: float(page.find_element("id", f"value-{key}").text)
        for key in ("ade", "fde", "amd", "amv", "kde")
    }


@needs_browser
def test_it_loads_without_messages_on_the_console(page: Any) -> None:
    assert all(np.isfinite(value) for value in shown(page).values())
    assert page.get_log("browser") == []


@needs_browser
@pytest.mark.parametrize(
    "state",
    [
        {},
        {"x": -0.8, "y": 1.1, "width": 0.15, "stretch": 2.5},
        {"x": 0.0, "y": 0.1, "width": 0.2, "split": 1.6},
        {"x": 0.2, "y": 0.0, "width": 0.05, "stretch": 0.25, "split": 2.5},
        {"x": 1.5, "y": -1.5, "width": 0.05},
        {"x": 0.5, "y": 0.3, "width": 0.2, "split": 1.2},
    ],
)
def test_its_values_are_those_of_the_metrics(page: Any, state: dict[str, float]) -> None:
    page.execute_script("setState(arguments[0])", state)
    settle(page)
    clouds = page.execute_script("return clouds.map(c => [Array.from(c.x), Array.from(c.y)])")
    samples = np.array(clouds).transpose(2, 0, 1)[:, None]  # (K, 1, T, 2)
    truth = np.array(page.execute_script("return clouds.map((_, i) => truthAt(i + 1))"))[None]
    figures = page.execute_script("return figures")
    ade, fde = best_of_n(samples[: metric_demo.N_PATHS], truth)
    assert samples.shape == (metric_demo.N_SAMPLES, 1, 12, 2)
    assert figures["ade"] == pytest.approx(ade[0], rel=1e-9)
    assert figures["fde"] == pytest.approx(fde[0], rel=1e-9)
    assert figures["amv"] == pytest.approx(mean_covariance_eigenvalue(samples), rel=1e-9)
    assert figures["kde"] == pytest.approx(kde_nll(samples, truth)[0].mean(), abs=1e-9)
    # The page interpolates a table.
    amd = mahalanobis_distances(samples, truth)[0].mean()
    assert figures["amd"] == pytest.approx(amd, rel=0.03)


@needs_browser
def test_sliders_and_handles_answer_to_the_keyboard(page: Any) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    before = shown(page)
    slider = page.find_element("id", "control-width")
    assert page.find_element("css selector", "label[for=control-width]").text.startswith("Widen")
    slider.send_keys(keys.ARROW_RIGHT * 10)
    settle(page)
    wider = shown(page)
    assert wider["amv"] > before["amv"]
    assert wider["amd"] < before["amd"]

    handle = page.find_element("id", "handle-move")
    handle.send_keys(keys.ARROW_RIGHT, keys.ARROW_UP)
    settle(page)
    moved = shown(page)
    assert moved["amv"] == wider["amv"]
    assert moved["amd"] > wider["amd"]
    assert "0.35 m right, 0.45 m ahead" in handle.get_attribute("aria-label")

    page.find_element("id", "handle-split").send_keys(keys.ARROW_UP * 20)
    settle(page)
    assert page.execute_script("return state.split") == pytest.approx(1.0)
    assert shown(page)["amv"] > moved["amv"]
    assert page.get_log("browser") == []


@needs_browser
def test_tab_reaches_every_control_and_the_focus_shows(page: Any) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    reached = []
    for _ in range(13):
        page.switch_to.active_element.send_keys(keys.TAB)
        focused = page.switch_to.active_element
        reached.append(focused.get_attribute("id") or focused.text)
        outline = page.execute_script(
            "return getComputedStyle(document.activeElement).outlineStyle"
        )
        assert outline == "solid", reached[-1]
    assert reached[:3] == ["handle-move", "handle-width", "handle-split"]
    assert reached[-5:] == [f"control-{key}" for key in ("x", "y", "width", "stretch", "split")]


@needs_browser
def test_an_example_and_the_way_back(page: Any) -> None:
    before = shown(page)
    page.find_element("xpath", "//button[text()='Twice as wide']").click()
    settle(page)
    assert shown(page)["amd"] == pytest.approx(before["amd"] / 2, rel=0.01)
    page.find_element("xpath", "//button[text()='Reset']").click()
    settle(page)
    assert shown(page) == before


@needs_browser
def test_it_fits_a_phone_and_stays_in_sight(page: Any) -> None:
    size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        settle(page)
        assert page.execute_script("return document.documentElement.scrollWidth") == 390
        page.execute_script("document.getElementById('control-split').scrollIntoView()")
        settle(page)
        top = page.execute_script(
            "return document.getElementById('figures').getBoundingClientRect().top"
        )
        assert 0 <= top < 100  # the values stay visible while a slider is moved
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
