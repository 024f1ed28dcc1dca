"""Settings of a replay, read from the node's parameter file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from social_implicit_ros.parameter_spec import ParameterError
from social_implicit_ros.settings import PARAMETERS, NodeConfig, PredictorConfig, unknown_parameters
from social_implicit_ros.untrusted_files import UnusableFileError, error_text, load_yaml

#: Default of an evaluation: one prediction per step of 0.4 s is as informative as the node's 10 Hz
#: and takes a quarter of the time.
TICK_RATE_HZ = 2.5
#: Name of the node, unless it is renamed.
NODE_NAME = "predictor"
#: Maximum size of a parameter file.
_MAX_FILE_BYTES = 1024 * 1024


def load_settings(parameters: Path | None = None) -> PredictorConfig:
    """Reads a ROS parameter file of the node.

    Args:
        parameters: such as `config/predictor.yaml`. Parameters that are not in it have the node's
            defaults, except for the tick rate, `TICK_RATE_HZ`, and the fixed frame, which is chosen
            for each recording.

    Raises:
        ParameterError: the file cannot be read, is not a parameter file, or has an invalid value.
    """
    given, config = _read(parameters)
    own: dict[str, Any] = {"tick_rate_hz": TICK_RATE_HZ, "fixed_frame": ""}
    return replace(
        config.predictor, **{name: value for name, value in own.items() if name not in given}
    )


def unknown_names(parameters: Path | None) -> list[str]:
    """A line for each name in a ROS parameter file that the node does not know.

    Raises:
        ParameterError: as `load_settings`.
    """
    return [] if parameters is None else unknown_parameters(_node_parameters(parameters))


def changed_names(parameters: Path | None) -> set[str]:
    """The parameters whose values in a ROS parameter file differ from the node's defaults.

    Raises:
        ParameterError: as `load_settings`.
    """
    given, _ = _read(parameters)
    return {spec.name for spec in PARAMETERS if given.get(spec.name, spec.default) != spec.default}


@dataclass(frozen=True)
class NodeChoices:
    """Model, tracker and calibration in a parameter file.

    Attributes:
        model: its name or file; None if the file does not set it.
        tracker: name or file of its mapping; None if the file does not set it.
        topic: topic of the tracker; None if the file does not set an absolute name.
        is_adaptive: whether the node adapts regions and mean trajectories to its site.
    """

    model: str | None
    tracker: str | None
    topic: str | None
    is_adaptive: bool


def load_choices(parameters: Path | None, tracker: str | None = None) -> NodeChoices:
    """Reads the choices of a ROS parameter file that are no settings of the predictor.

    Args:
        parameters: parameter file of the node; None for none.
        tracker: the user's choice, which overrides the file.

    Raises:
        ParameterError: the file cannot be read, or sets several trackers; a recording is evaluated
            with one at a time.
    """
    given, config = _read(parameters)
    text = tracker or (config.tracker if "tracker" in given else "")
    if "," in text:
        raise ParameterError(
            f"{'--tracker' if tracker else parameters} gives several trackers ({text}): choose one "
            "with --tracker and --tracks"
        )
    name, _, topic = (part.strip() for part in text.partition("@"))
    return NodeChoices(
        model=config.model if "model" in given else None,
        tracker=name or None,
        # A relative name depends on the node's namespace, which a recording does not contain.
        topic=topic if topic.startswith("/") else None,
        is_adaptive=config.adaptive_calibration,
    )


def _read(parameters: Path | None) -> tuple[Mapping[str, Any], NodeConfig]:
    """The values in a file, and the complete configuration, checked as in the node."""
    given = {} if parameters is None else _node_parameters(parameters)
    try:
        return given, NodeConfig.from_values(given)
    except ParameterError as error:
        raise ParameterError(f"{parameters}: {error}") from error


def sections_of_others(parameters: Path, node: str) -> list[str]:
    """All sections of a ROS parameter file if none of them applies to a node; empty otherwise.

    Args:
        parameters: the file.
        node: fully qualified name of the node.

    Raises:
        ParameterError: the file cannot be read, or is not a parameter file.
    """
    sections = [*_file_sections(parameters)]
    # `*` matches one name of a fully qualified name, `**` any number of names.
    patterns = (re.escape(section).replace(r"/\*\*", "(/[^/]+)*") for section in sections)
    if any(re.fullmatch(pattern.replace(r"\*", "[^/]+"), node) for pattern in patterns):
        return []
    return sections


def _file_sections(path: Path) -> dict[str, Mapping[Any, Any]]:
    """Fully qualified name of each node in a ROS parameter file -> its parameters."""
    try:
        content = load_yaml(path, _MAX_FILE_BYTES)
    except (OSError, UnusableFileError) as error:
        raise ParameterError(f"parameter file {error_text(error)}") from error
    sections = dict(_sections(content))
    if not sections:
        raise ParameterError(
            f"{path} is not a ROS parameter file: no section of it has ros__parameters"
        )
    return sections


def _node_parameters(path: Path) -> Mapping[str, Any]:
    """Name -> value in a ROS parameter file; the predictor's section overrides wildcards.

    If only one section has a name without wildcards, it is the predictor's, possibly renamed.
    """
    sections = _file_sections(path)
    shared = [name for name in sections if name.endswith("*")]
    named = [name for name in sections if name not in shared]
    own = [name for name in named if name.split("/")[-1] == NODE_NAME] or named
    if len(own) > 1:
        raise ParameterError(
            f"{path} has the sections {', '.join(own)}: keep one, named {NODE_NAME}"
        )
    values: dict[str, Any] = {}
    for name in (*shared, *own):
        values.update(_flat(sections[name]))
    return values


def _sections(content: object, node: str = "") -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Fully qualified name of each node in a parameter file, and its parameters."""
    for key, value in content.items() if isinstance(content, dict) else ():
        name = f"{node}/{str(key).strip('/')}"
        if key == "ros__parameters":
            yield node, value if isinstance(value, dict) else {}
        else:
            yield from _sections(value, name)


def _flat(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Joins nested names by dots, as ROS does."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
