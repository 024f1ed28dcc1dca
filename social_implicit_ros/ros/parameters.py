"""The parameters of `settings` as ROS parameters: descriptors, and changes while the node runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from social_implicit_ros.parameter_spec import Effect, ParameterError, ParameterSpec
from social_implicit_ros.settings import PARAMETERS, config_from_values

_SPEC_OF = {spec.name: spec for spec in PARAMETERS}

#: Names of parameters that rclpy declares itself.
_RCLPY_PARAMETERS = ("use_sim_time", "start_type_description_service", "qos_overrides.")


def descriptor_of(spec: ParameterSpec) -> ParameterDescriptor:
    """What `ros2 param describe` shows."""
    descriptor = ParameterDescriptor(name=spec.name, description=spec.help)
    if spec.choices:
        descriptor.additional_constraints = f"one of: {', '.join(spec.choices)}"
    elif isinstance(spec.default, tuple):
        descriptor.additional_constraints = f"each from {spec.minimum} to {spec.maximum}"
    elif spec.minimum_above_zero is not None:
        descriptor.additional_constraints = f"0, or at least {spec.minimum_above_zero}"
    if type(spec.default) is float:
        assert spec.minimum is not None and spec.maximum is not None
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(spec.minimum), to_value=float(spec.maximum))
        ]
    elif type(spec.default) is int:
        assert spec.minimum is not None and spec.maximum is not None
        descriptor.integer_range = [
            IntegerRange(from_value=int(spec.minimum), to_value=int(spec.maximum), step=1)
        ]
    return descriptor


def check_change(
    values: Mapping[str, object], changes: Mapping[str, object], *, is_configured: bool
) -> None:
    """Checks a change while the node runs.

    Args:
        values: name -> present value, for every parameter of the table.
        changes: name -> new value. Names that are not in the table are ignored.
        is_configured: whether the node is inactive or active.

    Raises:
        ParameterError: an invalid value, or a parameter that cannot change now.
    """
    config_from_values({**values, **changes})
    for name, value in changes.items() if is_configured else ():
        spec = _SPEC_OF.get(name)
        if (
            spec is not None
            and spec.effect is Effect.CONFIGURE
            and spec.check(value) != spec.check(values[name])
        ):
            raise ParameterError(
                f"{name} takes effect at configure only: deactivate, clean up, set it, then "
                "configure again"
            )


def unknown_parameters(names: Iterable[str]) -> list[str]:
    """A line for each name that is no parameter of the node, with the closest known name."""
    lines = []
    for name in names:
        if name not in _SPEC_OF and not name.startswith(_RCLPY_PARAMETERS):
            close = get_close_matches(name, _SPEC_OF, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            lines.append(f"unknown parameter {name} is ignored{hint}")
    return lines
