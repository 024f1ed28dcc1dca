"""How far an evaluation is, how fast it goes, and how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


def progress_bar(console: Console, get_time: Callable[[], float] = time.monotonic) -> Progress:
    """A bar for tasks with a field `messages`: how many were read; gone when it is done.

    Args:
        console: where it is drawn; nothing is written where that is no terminal but a log.
        get_time: steady time in seconds.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        _MessageRate(),
        TimeRemainingColumn(),
        # Older versions of rich end even a bar that is not drawn with an empty line.
        console=console if console.is_terminal else Console(quiet=True),
        transient=True,
        disable=not console.is_terminal,
        get_time=get_time,
    )


class _MessageRate(ProgressColumn):
    """Messages per second since the start."""

    def render(self, task: Task) -> Text:
        """The column's text."""
        if not task.elapsed or not task.fields["messages"]:
            return Text("opening", style="dim")
        return Text(f"{task.fields['messages'] / task.elapsed:,.0f} messages/s")
