"""Writes output files: JSON without NaN, and self-contained HTML pages that need no network."""

from __future__ import annotations

import json
import math
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

#: Suffix of files that are being written.
UNFINISHED = ".unfinished"
#: Placeholders in the frame of all pages (the first) and in the template of each page.
CONTENT_MARK, DATA_MARK, PLOTLY_MARK = "<!--PAGE-->", "/*DATA*/null", "/*PLOTLY*/"


def without_nan(value: Any) -> Any:
    """Returns a copy for JSON: non-finite numbers become null."""
    if isinstance(value, Mapping):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def written_beside(file: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, which replaces the file if nothing fails.

    A path that is not a regular file, such as a pipe or `/dev/stdout`, is yielded itself. If the
    file is a symbolic link, its target is replaced.
    """
    if file.exists() and not file.is_file():
        yield file
        return
    file = file.resolve()
    temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex}{UNFINISHED}")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(file)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(file)  # as the user knows it
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_json(results: Mapping[str, Any], path: Path | None, indent: int = 2) -> None:
    """Writes results to `path`, if one is given; non-finite numbers become null."""
    if path is not None:
        text = json.dumps(without_nan(results), indent=indent, allow_nan=False) + "\n"
        with written_beside(path) as file:
            file.write_text(text)


def filled_page(package: str, template: str, data: Mapping[str, Any]) -> str:
    """Fills the page template of a package: puts it into the frame of all pages, and inserts the
    data and, where the template asks for it, the library plotly.
    """
    # `</script` ends the element, and `<!--<script` hides its end.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    frame = resources.files(f"{__package__}.report") / "frame.html"
    content = (resources.files(package) / template).read_text(encoding="utf-8")
    page = frame.read_text(encoding="utf-8").replace(CONTENT_MARK, content)
    # In one pass: names in the data may contain a mark.
    return re.sub(
        f"{re.escape(DATA_MARK)}|{re.escape(PLOTLY_MARK)}",
        lambda mark: text if mark[0] == DATA_MARK else _plotly_js(),
        page,
    )


def _plotly_js() -> str:
    """The library, for a script element."""
    file = resources.files("plotly") / "package_data" / "plotly.min.js"
    return file.read_text(encoding="utf-8").replace("</script", "<\\/script")
