"""Headless Chromium, driven by selenium, for tests of HTML pages."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_Test = TypeVar("_Test", bound=Callable[..., Any])


def needs_browser(test: _Test) -> _Test:
    """Marks a test, or a class of tests, that drives the browser."""
    skip = pytest.mark.skipif(
        not (BROWSER and DRIVER), reason="needs chromium and chromium-driver (Debian packages)"
    )
    return pytest.mark.slow(skip(test))


@contextmanager
def headless_browser(width_px: int = 1280, height_px: int = 900) -> Iterator[Any]:
    """A browser that records the messages of its console."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.add_argument(f"--window-size={width_px},{height_px}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def settle(page: Any) -> None:
    """Waits until the page has drawn all changes."""
    page.execute_script(
        "return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
