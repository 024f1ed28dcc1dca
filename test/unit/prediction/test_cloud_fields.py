"""Names of the fields of `~/predictions`."""

from __future__ import annotations

import pytest

from social_implicit_ros.prediction.cloud_fields import confidence_of, radius_field


@pytest.mark.parametrize(
    ("confidence", "field"), [(0.5, "radius_50"), (0.95, "radius_95"), (0.999, "radius_99.9")]
)
def test_a_radius_field_gives_its_confidence(confidence: float, field: str) -> None:
    assert radius_field(confidence) == field
    assert confidence_of(field) == confidence


@pytest.mark.parametrize(
    "field", ["x", "radius", "radius_", "radius_0", "radius_100", "radius_nan"]
)
def test_other_fields_have_no_confidence(field: str) -> None:
    assert confidence_of(field) is None
