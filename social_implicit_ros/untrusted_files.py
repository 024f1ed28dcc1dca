"""Bounded reading of files from untrusted sources: regular files, YAML and JSON."""

from __future__ import annotations

import errno
import json
import os
import reprlib
import stat
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import yaml

#: Integers of ROS parameters and messages have 64 bits.
_MAX_INTEGER_BITS = 64
#: Maximum number of decimal digits of such an integer.
_MAX_INTEGER_DIGITS = 20
#: Maximum length of a value in an error message, in characters.
_MAX_TEXT = 80
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def user_path(path: str | Path) -> Path:
    """The path with a leading `~` replaced by the home folder, as a shell does.

    Raises:
        UnusableFileError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # no such user, or HOME is not set
        raise UnusableFileError(f"{path}: {error}; give an absolute path") from error


class UnusableFileError(ValueError):
    """A file that is not regular, is too large or has an invalid format; the message names it."""


def read_file(path: Path, max_bytes: int) -> bytes:
    """Reads a regular file of limited size; never blocks on a pipe or a device.

    Raises:
        OSError: the file cannot be opened or read.
        UnusableFileError: it is not a regular file, or has more than `max_bytes`.
    """
    path = user_path(path)
    _require_regular(path, path.stat().st_mode)  # opening a device may have side effects
    # A pipe that takes the file's place after the check does not block either.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        _require_regular(path, os.fstat(descriptor).st_mode)
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise UnusableFileError(f"{path} has more than the {max_bytes} bytes allowed")
    return data


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise UnusableFileError(
            f"{path} is {kind}, expected a regular file: give the path of a file"
        )


def load_yaml(path: Path, max_bytes: int) -> Any:
    """Reads a YAML file of plain values, without aliases (as in ROS parameter files).

    Raises:
        OSError: the file cannot be opened or read.
        UnusableFileError: as `read_file`, or the content is not YAML of plain values.
    """
    data = read_file(path, max_bytes)
    try:
        return _PlainLoader(data.decode("utf-8")).get_single_data()
    # PyYAML raises KeyError for `!!bool x`, AttributeError for `!!timestamp x` and others.
    except Exception as error:
        raise UnusableFileError(f"{path} is not YAML: {_reason(error)}") from error


def load_json(path: Path, max_bytes: int) -> Any:
    """Reads a JSON file whose integers have at most 64 bits.

    Raises:
        OSError: the file cannot be opened or read.
        UnusableFileError: as `read_file`, or the content is not JSON.
    """
    data = read_file(path, max_bytes)
    try:
        return json.loads(data.decode("utf-8"), parse_int=_bounded_integer)
    except (ValueError, RecursionError) as error:
        raise UnusableFileError(f"{path} is not JSON: {_reason(error)}") from error


def short_text(value: object) -> str:
    """A value for an error message: its `repr`, cut to 80 characters."""
    try:
        # Unlike `repr`, it also shortens nested lists.
        text = _SHORT.repr(value)
    except ValueError:  # integers of thousands of digits have no text
        text = f"a {type(value).__name__} that is too long to print"
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for an error message, such as ` (did you mean zed?)`; empty if nothing is close."""
    names = {each.lower(): each for each in known}
    close = get_close_matches(name.lower(), names, n=1)
    return f" (did you mean {names[close[0]]}?)" if close else ""


def error_text(error: Exception) -> str:
    """The message of an error; for an error of the system also the file and how to fix it."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    where = f"{error.filename}: " if error.filename is not None else ""
    fixes = {
        (errno.ENOSPC, errno.EDQUOT): f"free space there and in {gettempdir()}",
        (errno.EACCES, errno.EPERM, errno.EROFS): "change its permissions, or give another path",
        (errno.ENOENT, errno.ENOTDIR): "give another path",
    }
    fix = next((f"; {text}" for numbers, text in fixes.items() if error.errno in numbers), "")
    return f"{where}{error.strerror}{fix}"


def printable_text(text: str) -> str:
    """A text for a terminal: control characters and undecodable bytes are escaped."""
    return "".join(
        character
        if character.isprintable() or character == "\n"
        else character.encode("unicode_escape").decode()
        for character in text
    )


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 1000
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = _MAX_TEXT
_SHORT.maxlevel = 3


class _PlainLoader(yaml.SafeLoader):
    """A SafeLoader that refuses aliases, repeated keys, and integers of more than 64 bits."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.YAMLError(
                f"line {event.start_mark.line + 1} has an alias (*), which is not supported, as "
                "in ROS parameter files: write the value out"
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line, name = key.start_mark.line + 1, (key.tag, key.value)
                if name in lines:
                    raise yaml.YAMLError(
                        f"line {line} has the key {short_text(key.value)} again, which line "
                        f"{lines[name]} has already: keep one of them"
                    )
                lines[name] = line
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_yaml_int(self, node: Any) -> int:
        value: int = super().construct_yaml_int(node)
        if value.bit_length() > _MAX_INTEGER_BITS:
            raise ValueError(
                f"line {node.start_mark.line + 1} has an integer of more than "
                f"{_MAX_INTEGER_BITS} bits"
            )
        return value


_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_yaml_int)


def _bounded_integer(digits: str) -> int:
    if len(digits.lstrip("-")) > _MAX_INTEGER_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits has more than 64 bits")
    return int(digits)


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark, parts = error.problem_mark, filter(None, (error.context, error.problem))
        return f"line {mark.line + 1}, column {mark.column + 1}: {', '.join(parts)}"
    text = str(error) if isinstance(error, (yaml.YAMLError, ValueError)) else repr(error)
    text = " ".join(text.split())
    text = text.replace('in "<unicode string>", position', "at position")
    return text if len(text) <= 500 else f"{text[:500]}..."
