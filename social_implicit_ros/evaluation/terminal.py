"""What evaluations write to a terminal: tables, and progress."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress, TaskID

#: Characters of the widest lines, those of `evaluate_navigation` with intervals in each column.
FILE_COLUMNS = 150


def output_console() -> Console:
    """Console for tables: a narrow terminal wraps their lines, in place of lost columns."""
    return Console(width=max(Console().width, FILE_COLUMNS), emoji=False)


def progress_bar(console: Console) -> Progress:
    """A progress display that disappears when it ends; it writes to terminals only."""
    # rich ends even a disabled display with an empty line.
    return Progress(console=console if console.is_terminal else Console(quiet=True), transient=True)


def begin(progress: Progress, name: str) -> TaskID:
    """A task whose size is not known yet: until `show`, its bar pulses."""
    # A total of None would say so, too, but not to the rich of Ubuntu 22.04.
    return progress.add_task(name, start=False)


def show(progress: Progress, task: TaskID, done: int, total: int) -> None:
    """Shows how much of a task is done."""
    progress.update(task, completed=done, total=total)
    progress.start_task(task)
