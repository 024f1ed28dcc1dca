"""Terminal output of evaluations: tables and progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from social_implicit_ros.untrusted_files import printable_text

#: Width of the widest lines, those of `evaluate_navigation` with intervals in each column.
FILE_COLUMNS = 150


def output_console() -> Console:
    """Console for tables: a narrow terminal wraps their lines and so shows all columns."""
    return Console(width=max(Console().width, FILE_COLUMNS), emoji=False)


def progress_bar(console: Console) -> Progress:
    """A progress display that disappears when it ends; it writes to terminals only."""
    # rich ends even a disabled display with an empty line.
    return Progress(console=console if console.is_terminal else Console(quiet=True), transient=True)


@contextmanager
def shown_task(
    progress: Progress, name: str, *, every: int = 32
) -> Iterator[Callable[[int, int], None]]:
    """Adds a task to a progress display; its bar pulses until the total is known.

    Yields:
        A function of the number done and the total. It draws when the number is a multiple of
        `every`, as drawing takes longer than reading a message.
    """
    # The rich of Ubuntu 22.04 does not accept a total of None.
    task = progress.add_task(escape(printable_text(name)), start=False)

    def show(done: int, total: int) -> None:
        if done % every == 0:
            progress.update(task, completed=done, total=total)
            progress.start_task(task)

    yield show
    progress.remove_task(task)
