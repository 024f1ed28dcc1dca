"""Names of the fields of `~/predictions`, the point cloud with a point per agent and step."""

from __future__ import annotations

#: Fields of every point; one radius per confidence level follows.
CLOUD_FIELDS = ("x", "y", "z", "t", "agent_id", "sigma_xx", "sigma_xy", "sigma_yy", "n_observed")
_RADIUS = "radius_"


def radius_field(confidence: float) -> str:
    """Name of the field with the ellipse radius of a confidence level: 0.95 -> `radius_95`."""
    return f"{_RADIUS}{100.0 * confidence:g}"


def confidence_of(field: str) -> float | None:
    """The confidence level in (0, 1) of a field named by `radius_field`; None for other fields."""
    try:
        percent = float(field.removeprefix(_RADIUS)) if field.startswith(_RADIUS) else 0.0
    except ValueError:
        return None
    return round(percent / 100.0, 6) if 0.0 < percent < 100.0 else None
