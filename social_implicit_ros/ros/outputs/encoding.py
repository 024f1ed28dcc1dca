"""Tracks -> the parts of messages that do not depend on who makes the message object."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.agent_ids import agent_number
from social_implicit_ros.tracks.point_cloud import POINT_FIELD_TYPES

_RADIUS = "radius_"
#: A drawn pedestrian, metres.
PERSON_HEIGHT_M = 1.7
PERSON_WIDTH_M = 0.45


def point_cloud_data(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Packs columns into the little-endian points of a `sensor_msgs/PointCloud2`.

    Args:
        columns: field name -> (N,) values; their numpy types become the field's.

    Returns:
        (N,) packed structured array; its bytes are the message's data.

    Raises:
        ValueError: no columns, or columns of different lengths.
    """
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise ValueError(f"point cloud columns have lengths {sorted(lengths)}, expected one length")
    dtype = np.dtype([(name, values.dtype.newbyteorder("<")) for name, values in columns.items()])
    points = np.empty(lengths.pop(), dtype)
    for name, values in columns.items():
        points[name] = values
    return points


def point_field_layout(dtype: np.dtype) -> list[tuple[str, int, int]]:
    """Name, offset and `PointField` datatype of every field of a structured numpy type.

    Raises:
        ValueError: a field of a type that PointCloud2 cannot hold.
    """
    datatypes = {np.dtype(code): number for number, code in POINT_FIELD_TYPES.items()}
    layout = []
    for name, (kind, offset, *_) in (dtype.fields or {}).items():
        if kind.newbyteorder("=") not in datatypes:
            raise ValueError(f"PointCloud2 has no datatype for field {name!r} of type {kind}")
        layout.append((name, offset, datatypes[kind.newbyteorder("=")]))
    return layout


def radius_field(confidence: float) -> str:
    """The point cloud's field for the radius of an ellipse: 0.95 -> `radius_95`."""
    return f"{_RADIUS}{100.0 * confidence:g}"


def confidence_of(field: str) -> float | None:
    """The confidence in (0, 1) that a field of `radius_field` is for; None for any other field."""
    try:
        percent = float(field.removeprefix(_RADIUS)) if field.startswith(_RADIUS) else 0.0
    except ValueError:
        return None
    return round(percent / 100.0, 6) if 0.0 < percent < 100.0 else None


def marker_id(agent_id: str) -> tuple[str, int]:
    """Namespace and number of an agent's marker, so that a marker's id comes back as it was.

    `people/7` becomes (`people`, 7). Any other id becomes (`pedestrian`, `agent_number`).
    """
    namespace, _, number = agent_id.rpartition("/")
    if namespace and number == str(agent_number(number)) and int(number) < 2**31:
        return namespace, int(number)
    # A marker's id is an int32.
    return "pedestrian", agent_number(agent_id) & 0x7FFFFFFF
