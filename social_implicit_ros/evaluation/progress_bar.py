"""Progress of an evaluation, on a terminal only."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress


def progress_bar(console: Console) -> Progress:
    """A progress display that disappears when it ends; it writes to terminals only."""
    # rich ends even a disabled display with an empty line.
    return Progress(console=console if console.is_terminal else Console(quiet=True), transient=True)
