"""What evaluations write to a terminal: tables, and progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from social_implicit_ros.untrusted_files import printable_text

#: Characters of the widest lines, those of `evaluate_navigation` with intervals in each column.
FILE_COLUMNS = 150


def output_console() -> Console:
    """Console for tables: a narrow terminal wraps their lines, in place of lost columns."""
    return Console(width=max(Console().width, FILE_COLUMNS), emoji=False)


def progress_bar(console: Console) -> Progress:
    """A progress display that disappears when it ends; it writes to terminals only."""
    # rich ends even a disabled display with an empty line.
    return Progress(console=console if console.is_terminal else Console(quiet=True), transient=True)


@contextmanager
def shown_task(
    progress: Progress, name: str, *, every: int = 32
) -> Iterator[Callable[[int, int], None]]:
    """A task whose size is not known yet: its bar pulses.

    Yields:
        Shows how much is done, and of how much; draws every so many calls, as an update at every
        message takes longer than reading it.
    """
    # A total of None would say so, too, but not to the rich of Ubuntu 22.04.
    task = progress.add_task(escape(printable_text(name)), start=False)

    def show(done: int, total: int) -> None:
        if done % every == 0:
            progress.update(task, completed=done, total=total)
            progress.start_task(task)

    yield show
    progress.remove_task(task)
