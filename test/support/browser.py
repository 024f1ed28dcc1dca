"""A real browser for tests of pages: headless Chromium, driven by selenium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs chromium and chromium-driver (Debian packages)"
)


@contextmanager
def headless_browser(width_px: int = 1280, height_px: int = 900) -> Iterator[Any]:
    """A browser that keeps what pages write to the console."""
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
    """Waits until the page has drawn what it was told."""
    page.execute_script(
        "return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
