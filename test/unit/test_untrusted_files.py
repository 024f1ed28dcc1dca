"""Files from untrusted sources are read within bounds, or refused with file and reason."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from social_implicit_ros.untrusted_files import (
    UnusableFileError,
    load_json,
    load_yaml,
    read_file,
    short_text,
)

NESTED_ALIASES = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)
)


def test_a_regular_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(UnusableFileError, match="file has more than the 4 bytes allowed"):
        read_file(path, 4)
    (tmp_path / "link").symlink_to(path)
    assert read_file(tmp_path / "link", 5) == b"12345"


def test_a_path_that_is_not_a_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        for path, kind in (
            (tmp_path, "a folder"),
            (tmp_path / "pipe", "a named pipe"),
            (tmp_path / "socket", "a socket"),
            (Path("/dev/zero"), "a device"),
        ):
            with pytest.raises(UnusableFileError, match=f"{path} is {kind}, expected a regular"):
                read_file(path, 10)


def test_a_pipe_that_takes_the_place_of_a_file_is_refused_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.touch()
    before = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda self: before)
    with pytest.raises(UnusableFileError, match="is a named pipe"):
        read_file(path, 10)


@pytest.mark.parametrize(
    "text",
    [
        "!!bool x",
        "!!int x",
        "!!int ''",
        "!!float x",
        "!!timestamp x",
        "2001-99-99",
        "[" * 5000,
        "? [a]\n: b",
        "!!python/object/apply:os.getcwd []",
        "a: [",
        "a: 1" + "0" * 400,
        "a: 0x" + "f" * 5000,
        "a: 1:1" + ":1" * 500,
        NESTED_ALIASES,
        "a: &a [*a]",
        "a: \x00",
        "{a: 1, a: 2}",
    ],
    ids=lambda text: text[:12].replace("\x00", "0"),
)
def test_every_error_of_yaml_is_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UnusableFileError, match=r"mine\.yaml is not YAML: .{1,600}$"):
        load_yaml(path, 100_000)


@pytest.mark.parametrize(
    ("text", "place"),
    [("a: 1\nb: [", "line 2, column 5: while parsing a flow node, "), ("a: \x00", "at position 3")],
)
def test_an_error_of_yaml_names_its_place(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UnusableFileError, match=place) as caught:
        load_yaml(path, 100)
    assert "unicode string" not in str(caught.value)


def test_a_repeated_key_is_refused_with_both_lines(tmp_path: Path) -> None:
    """YAML parsers silently take the last one."""
    path = tmp_path / "mine.yaml"
    path.write_text("id: a\nfilters:\n  id: b\nlist: c\nid: d\n")
    with pytest.raises(UnusableFileError, match="line 5 has the key 'id' again, which line 1 has"):
        load_yaml(path, 1000)
    path.write_text("1: a\n'1': b\n")
    assert load_yaml(path, 1000) == {1: "a", "1": "b"}


def test_a_file_that_is_not_utf_8_is_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(UnusableFileError, match="is not YAML"):
        load_yaml(path, 100)


def test_plain_yaml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("a: {b: [1, -0x7fffffffffffffff, 2.5, yes, text, null]}\n")
    assert load_yaml(path, 100) == {"a": {"b": [1, 1 - 2**63, 2.5, True, "text", None]}}


@pytest.mark.parametrize("text", ["[" * 5000, "1" * 21, "-" + "1" * 5000, "{", "\x00"])
def test_every_error_of_json_is_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(UnusableFileError, match=r"mine\.json is not JSON: .{1,600}$"):
        load_json(path, 100_000)


def test_a_text_for_an_error_is_short_whatever_the_value() -> None:
    nested: list[object] = ["x"]
    for _ in range(40):
        nested = [nested, nested]
    for value in (nested, "x" * 10_000, 10**5000, list(range(10_000)), {1: "x" * 1000}):
        assert len(short_text(value)) < 90
    assert short_text("x") == "'x'" and short_text([1, {"a": 2.5}]) == "[1, {'a': 2.5}]"
