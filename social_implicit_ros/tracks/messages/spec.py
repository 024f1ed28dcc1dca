"""Tracker mappings: small YAML files that map the fields of a message type to tracks.

    message_type: people_msgs/msg/People
    list: people                  # the entries, one per pedestrian
    id: name                      # relative to an entry; values of several paths are joined by "/"
    no_id: [-1]                   # optional, ids of entries that are not tracked
    position: position            # a point with x, y, z, an array, or a list of two or three paths
    velocity: velocity            # optional, as position
    covariance: pose.covariance   # optional: 36, 9, 6 or 4 numbers
    score: reliability            # optional, for score_above
    class: label                  # optional, for class_in and class_out
    state: tracking_state         # optional, for state_in and state_out
    frame: header.frame_id        # relative to the message; this is the default
    stamp: header.stamp           # relative to the message; this is the default
    filters: {score_above: 0.3, class_in: [person], class_out: [car], state_in: [1]}

Paths are dotted; `[0]` takes one element of an array: `results[0].hypothesis.score`. `[max PATH]`
takes the element in which the number at PATH is largest, for lists that are not ordered:
`results[max hypothesis.score].hypothesis.class_id`. If each entry has its own
header, `frame: people[0].header.frame_id` takes the frame of the entries that pass the filters;
they must have the same one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from social_implicit_ros.resources import shared_folder
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.messages.cdr_layout import NUMBER_CODES, Definitions, FieldType
from social_implicit_ros.tracks.messages.field_path import FieldPath, TrackerSpecError
from social_implicit_ros.types import SkipReason
from social_implicit_ros.untrusted_files import (
    UnusableFileError,
    did_you_mean,
    error_text,
    load_yaml,
    short_text,
)

POINT_CLOUD = "sensor_msgs/msg/PointCloud2"

_Names = tuple[str | int, ...]
_TYPE = re.compile(r"^([A-Za-z]\w*)/msg/([A-Za-z]\w*)$", re.ASCII)
_STRINGS = ("string", "wstring")
_OPTIONAL_PATHS = ("list", "covariance", "score", "class", "state", "frame", "stamp")
_FRAME = FieldPath.parse("header.frame_id", "frame")
_STAMP = FieldPath.parse("header.stamp", "stamp")
#: Larger files are refused before they are parsed.
_MAX_FILE_BYTES = 64 * 1024
#: Maximum length of a list: paths of an id, values of a filter, and paths of a vector.
_MAX_PATHS, _MAX_FILTER_VALUES = 8, 1000
_MAX_AXES = 3
#: Maximum score, which is usually a probability.
_MAX_SCORE = 1e9


@dataclass(frozen=True)
class TrackerFilters:
    """Conditions that an entry must meet to be predicted.

    Attributes:
        score_above: entries with this score or less are skipped; None accepts all.
        class_in: entries of other classes are skipped; empty accepts all. Case is ignored, and `*`
            matches any characters.
        class_out: entries of these classes are skipped on purpose, as they are not people. The node
            does not warn of them.
        state_in: as `class_in`, for states.
        state_out: as `class_out`, for states.
    """

    score_above: float | None = None
    class_in: _Names = ()
    class_out: _Names = ()
    state_in: _Names = ()
    state_out: _Names = ()


@dataclass(frozen=True)
class TrackerSpec:
    """A tracker mapping; the module documents the file format.

    Attributes:
        name: name of the tracker, the stem of the file name.
        message_type: `package/msg/Type`.
        entries: path of the list, one entry per pedestrian; None for a PointCloud2, whose points
            are the entries.
        id: paths of the parts of an id.
        position: path of a point or an array, or one path per coordinate.
        velocity: as position; empty if the tracker reports none.
        covariance: path of the position's covariance, if any.
        score: path of the score, if any.
        class_: path of the class, if any.
        state: path of the tracking state, if any.
        frame: path of the name of the coordinate frame, relative to the message.
        stamp: path of the stamp, relative to the message.
        filters: conditions for entries.
        no_id: values of an id, or of a part of it, of entries that are not tracked. Empty ids and
            UUIDs of zeros always mean that.
        stamp_spread_s: maximum difference between stamps of the entries of a message, seconds. Not
            a key of the file, but a parameter of the node.
    """

    name: str
    message_type: str
    entries: FieldPath | None
    id: tuple[FieldPath, ...]
    position: tuple[FieldPath, ...]
    velocity: tuple[FieldPath, ...] = ()
    covariance: FieldPath | None = None
    score: FieldPath | None = None
    class_: FieldPath | None = None
    state: FieldPath | None = None
    frame: FieldPath = _FRAME
    stamp: FieldPath = _STAMP
    filters: TrackerFilters = field(default_factory=TrackerFilters)
    no_id: _Names = ()
    stamp_spread_s: float = PredictorConfig.stamp_spread_s

    @property
    def position_text(self) -> str:
        """The path of the position, or those of its coordinates."""
        return ", ".join(path.text for path in self.position)

    @property
    def name_filters(self) -> list[tuple[FieldPath, _Names, _Names, SkipReason]]:
        """Path, accepted names, ignored names and reason of the filters by class and by state."""
        filters = self.filters
        found = (
            (self.class_, filters.class_in, filters.class_out, SkipReason.OTHER_CLASS),
            (self.state, filters.state_in, filters.state_out, SkipReason.OTHER_STATE),
        )
        return [
            (path, allowed, ignored, reason)
            for path, allowed, ignored, reason in found
            if path is not None and (allowed or ignored)
        ]

    def path_in_entry(self, path: FieldPath) -> FieldPath | None:
        """The path relative to an entry if it starts with the list's first entry, else None."""
        if self.entries is None:
            return None
        first = f"{self.entries.text}[0]."
        if not path.text.startswith(first):
            return None
        return FieldPath(path.text.removeprefix(first), path.steps[len(self.entries.steps) :])


def shipped_trackers() -> dict[str, Path]:
    """Name -> file of the mappings that the package ships."""
    files = sorted(shared_folder("config/trackers").glob("*.yaml"))
    return {path.stem: path for path in files}


def find_tracker_spec(tracker: str) -> TrackerSpec:
    """Reads a tracker mapping by name or path.

    Args:
        tracker: name of a shipped mapping, such as `people`, or path of a YAML file.

    Raises:
        TrackerSpecError: there is no such mapping, or it is invalid.
    """
    shipped = shipped_trackers()
    if tracker in shipped:
        return load_tracker_spec(shipped[tracker])
    if Path(tracker).suffix in (".yaml", ".yml"):
        return load_tracker_spec(Path(tracker))
    raise TrackerSpecError(
        f"no tracker {tracker!r}{did_you_mean(tracker, shipped)}: give one of "
        f"{', '.join(shipped)}, or the path of a .yaml file with your own mapping"
    )


def load_tracker_spec(path: Path) -> TrackerSpec:
    """Reads a tracker mapping.

    Raises:
        TrackerSpecError: the file does not exist or is not YAML, a key is missing or unknown, or a
            value is invalid.
    """
    try:
        values = load_yaml(path, _MAX_FILE_BYTES)
    except (OSError, UnusableFileError) as error:
        raise TrackerSpecError(f"tracker mapping {error_text(error)}") from error
    return tracker_spec_from_dict(values, path.stem, str(path))


def tracker_spec_from_dict(values: object, name: str, source: str) -> TrackerSpec:
    """Checks the content of a tracker mapping.

    Args:
        values: content of the YAML file.
        name: name of the tracker.
        source: origin of the values, for error messages.

    Raises:
        TrackerSpecError: a key is missing or unknown, or a value is invalid.
    """
    table = _table(
        values,
        required=("message_type", "id", "position"),
        optional=(*_OPTIONAL_PATHS, "velocity", "filters", "no_id"),
        source=source,
    )
    message_type = table["message_type"]
    if not isinstance(message_type, str) or not _TYPE.match(message_type):
        raise TrackerSpecError(
            f"{source}: message_type is {short_text(message_type)}, expected package/msg/Type"
        )
    if ("list" in table) == (message_type == POINT_CLOUD):
        raise TrackerSpecError(
            f"{source}: list names the entries of a message; it is needed for every type but "
            f"{POINT_CLOUD}, whose points are the entries"
        )
    one: dict[str, FieldPath] = {
        key: FieldPath.parse(table[key], f"{source}: {key}")
        for key in _OPTIONAL_PATHS
        if key in table
    }
    many = {
        key: _paths(table[key], f"{source}: {key}")
        for key in ("id", "position", "velocity")
        if key in table
    }
    for key in ("position", "velocity"):
        if len(many.get(key, ())) > _MAX_AXES:
            raise TrackerSpecError(
                f"{source}: {key} has {len(many[key])} paths, expected one, or those of x, y and z"
            )
    if "class" in one:
        one["class_"] = one.pop("class")
    filters = _filters(table.get("filters", {}), one, source)
    entries = one.pop("list", None)
    no_id = _names(table, "no_id", source)
    return TrackerSpec(name, message_type, entries, filters=filters, no_id=no_id, **many, **one)  # type: ignore[arg-type]


def check_tracker_spec(spec: TrackerSpec, definitions: Definitions) -> None:
    """Checks every path of a mapping against its message type.

    Args:
        spec: the mapping.
        definitions: definitions of its message type and of all types that it contains.

    Raises:
        TrackerSpecError: the type does not have a path, or a field has the wrong type; the message
            names the field and the fields that exist.
    """
    if spec.message_type == POINT_CLOUD:
        return  # the fields of a cloud are known only from its messages
    _Checker(spec, definitions).check()


@dataclass(frozen=True)
class _Checker:
    spec: TrackerSpec
    definitions: Definitions

    def check(self) -> None:
        spec = self.spec
        assert spec.entries is not None  # of every type but a cloud, see tracker_spec_from_dict
        root = spec.message_type
        self._expect("frame", spec.frame, root, _STRINGS)
        self._expect("stamp", spec.stamp, root, ("builtin_interfaces/msg/Time",))
        listed = self._resolve("list", spec.entries, root)
        if any(at is not None for _, at in spec.entries.steps):
            raise self._error("list", spec.entries, "is inside another list, which cannot be read")
        if listed.length is None or listed.name not in self.definitions:
            raise self._wrong_kind("list", spec.entries, listed, "a list of messages")
        entry = listed.name
        for path in spec.id:
            found = self._resolve("id", path, entry)
            is_text = found.name in _STRINGS and found.length is None
            if not is_text and found.name not in NUMBER_CODES:
                raise self._wrong_kind("id", path, found, "a text, a number or an array of bytes")
        for key, paths in (("position", spec.position), ("velocity", spec.velocity)):
            self._check_vector(key, paths, entry)
        if spec.covariance is not None:
            found = self._resolve("covariance", spec.covariance, entry)
            if found.length is None or found.name not in NUMBER_CODES:
                raise self._wrong_kind("covariance", spec.covariance, found, "an array of numbers")
        if spec.score is not None:
            self._expect("score", spec.score, entry, NUMBER_CODES)
        for key, path_or_none in (("class", spec.class_), ("state", spec.state)):
            if path_or_none is not None:
                self._expect(key, path_or_none, entry, (*NUMBER_CODES, *_STRINGS))

    def _check_vector(self, key: str, paths: tuple[FieldPath, ...], entry: str) -> None:
        if len(paths) > 1:
            for path in paths:
                self._expect(key, path, entry, NUMBER_CODES)
            return
        for path in paths:
            found = self._resolve(key, path, entry)
            if found.length is not None and found.name in NUMBER_CODES:
                continue
            if not {"x", "y"} <= self._fields_of(found).keys():
                raise self._wrong_kind(key, path, found, "a point with x and y")

    def _expect(self, key: str, path: FieldPath, root: str, names: Collection[str]) -> None:
        found = self._resolve(key, path, root)
        if found.length is not None or found.name not in names:
            wanted = "a number" if names is NUMBER_CODES else " or ".join([*names][-2:])
            raise self._wrong_kind(key, path, found, wanted)

    def _resolve(self, key: str, path: FieldPath, root: str) -> FieldType:
        kind = FieldType(root)
        for name, at in path.steps:
            fields = self._fields_of(kind)
            if not fields:
                is_list = kind.name in self.definitions
                why = "a list: only [0] or [max PATH] of it can be read" if is_list else ""
                raise self._error(key, path, f"goes into {kind}, {why or 'which has no fields'}")
            if name not in fields:
                raise self._error(
                    key, path, f"names no field {name!r} of {kind}; it has {', '.join(fields)}"
                )
            kind = fields[name]
            if at is not None:
                if kind.length is None:
                    raise self._error(key, path, f"takes an element of {name!r}, which is {kind}")
                kind = FieldType(kind.name)
            if isinstance(at, FieldPath):
                if fields[name].length:
                    raise self._error(
                        key,
                        path,
                        f"takes the largest of {name!r}, which is {fields[name]}: "
                        "[max PATH] needs an array of any length",
                    )
                self._expect(key, at, kind.name, NUMBER_CODES)
        return kind

    def _fields_of(self, kind: FieldType) -> Mapping[str, FieldType]:
        """Fields of a message type; empty for numbers, strings, arrays and sequences."""
        return dict(self.definitions.get(kind.name, ())) if kind.length is None else {}

    def _wrong_kind(
        self, key: str, path: FieldPath, found: FieldType, expected: str
    ) -> TrackerSpecError:
        fields = ", ".join(self._fields_of(found))
        has = f" (it has {fields})" if fields else ""
        return self._error(key, path, f"is {found}{has}, expected {expected}")

    def _error(self, key: str, path: FieldPath, problem: str) -> TrackerSpecError:
        return TrackerSpecError(
            f"tracker {self.spec.name!r} ({self.spec.message_type}): {key}: {path} {problem}"
        )


def _table(
    values: object, *, required: tuple[str, ...], optional: tuple[str, ...], source: str
) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise TrackerSpecError(
            f"{source} holds {type(values).__name__}, expected a mapping with the keys "
            f"{', '.join(required or optional)}"
        )
    missing = [key for key in required if key not in values]
    known = (*required, *optional)
    unknown = [
        f"{key}{did_you_mean(key, known)}"
        if isinstance(key, str) and key.isidentifier()
        else short_text(key)
        for key in values
        if key not in known
    ]
    problems = [f"missing {', '.join(missing)}"] if missing else []
    if unknown:
        problems.append(f"unknown {', '.join(unknown[:5])}")
    if problems:
        raise TrackerSpecError(
            f"{source}: {'; '.join(problems)}; known keys are {', '.join(known)}"
        )
    return values


def _paths(value: object, owner: str) -> tuple[FieldPath, ...]:
    texts = value if isinstance(value, list) and value else [value]
    if len(texts) > _MAX_PATHS:
        raise TrackerSpecError(f"{owner} has {len(texts)} paths, expected at most {_MAX_PATHS}")
    return tuple(FieldPath.parse(text, owner) for text in texts)


def _filters(values: object, paths: Mapping[str, FieldPath], source: str) -> TrackerFilters:
    owner = f"{source}: filters"
    lists = {"class_in": "class_", "class_out": "class_", "state_in": "state", "state_out": "state"}
    keys = {"score_above": "score", **lists}
    table = _table(values, required=(), optional=tuple(keys), source=owner)
    for key, path in keys.items():
        if key in table and path not in paths:
            raise TrackerSpecError(f"{owner}: {key} needs the path {path.rstrip('_')!r}")
    score_above = table.get("score_above")
    if score_above is not None and (
        isinstance(score_above, bool)
        or not isinstance(score_above, (int, float))
        or not abs(score_above) <= _MAX_SCORE
    ):
        raise TrackerSpecError(
            f"{owner}: score_above is {short_text(score_above)}, expected a number within "
            f"{_MAX_SCORE:g}"
        )
    return TrackerFilters(score_above, **{key: _names(table, key, owner) for key in lists})


def _names(table: Mapping[str, Any], key: str, owner: str) -> _Names:
    listed = table.get(key, [])
    if not isinstance(listed, list) or not all(isinstance(v, (str, int)) for v in listed):
        raise TrackerSpecError(f"{owner}: {key} is {short_text(listed)}, expected a list of names")
    if len(listed) > _MAX_FILTER_VALUES:
        raise TrackerSpecError(
            f"{owner}: {key} has {len(listed)} values, expected at most {_MAX_FILTER_VALUES}"
        )
    return tuple(listed)
