"""Reasons of exceptions, for a user who reads the log or the diagnostics."""

from __future__ import annotations

from social_implicit_ros.untrusted_files import printable_text

_MAX_TEXT = 1000


def reason_of(error: BaseException) -> str:
    """What went wrong and how to fix it, by the kind of exception."""
    text = printable_text(" ".join(str(error).split())) or "no text"
    if isinstance(error, MemoryError):
        text = f"not enough memory ({text}): lower n_samples, max_agents or max_history"
    elif isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        text = (
            f"{place}{error.strerror or text}; check that it exists, its permissions and the "
            "free space"
        )
    elif isinstance(error, ImportError):
        text = f"a library cannot be imported ({text}): install it, or source its workspace"
    elif not isinstance(error, ValueError):  # ValueErrors state reason and fix themselves
        text = (
            f"unexpected {type(error).__name__}: {text}; the log at debug level has the traceback"
        )
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."
