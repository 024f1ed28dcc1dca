"""Collects the results of `make bench`: `bench.json`, and tables after the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Keys of `bench.json`, each by number of agents or by agents x samples.
KEYS = ("forward_ratio", "tick_ratio", "tick_hz", "markers_ms")
_TABLES = pytest.StashKey["Tables"]()


class Tables:
    """Rows by title, and values by key."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, str]]] = {}
        self.metrics: dict[str, dict[str, float]] = {key: {} for key in KEYS}

    def add_row(self, title: str, **cells: object) -> None:
        """Adds a row to a table; underscores in column names become spaces."""
        row = {name.replace("_", " "): _text(value) for name, value in cells.items()}
        self.rows.setdefault(title, []).append(row)

    def add_figure(self, key: str, of: str, value: float) -> None:
        """Adds a value to `bench.json`."""
        self.metrics[key][of] = float(f"{value:.4g}")


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@pytest.fixture(scope="session")
def tables(request: pytest.FixtureRequest) -> Iterator[Tables]:
    tables = request.config.stash.setdefault(_TABLES, Tables())
    yield tables
    if all(tables.metrics.values()):
        text = json.dumps(tables.metrics, indent=2)
        (ROOT / "bench.json").write_text(text + "\n", encoding="utf-8")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    tables = config.stash.get(_TABLES, None)
    for title, rows in tables.rows.items() if tables else ():
        terminalreporter.write_line(f"\n### {title}\n")
        columns = list(rows[0])
        for line in (columns, ["---"] * len(columns), *(row.values() for row in rows)):
            terminalreporter.write_line(f"| {' | '.join(line)} |")
