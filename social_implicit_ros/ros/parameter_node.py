"""A lifecycle node whose parameters are the rows of `settings`: declares and checks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter

from social_implicit_ros.parameter_spec import ParameterError, ParameterSpec
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.reporting.reporter import reason_of
from social_implicit_ros.settings import PARAMETERS, NodeConfig, unknown_parameters

_SPEC_OF = {spec.name: spec for spec in PARAMETERS}


class ParameterNode(LifecycleNode):
    """Declares the parameters, validates every change, and returns the values as a config.

    Attributes:
        is_configured: parameters that take effect at configure cannot change while True.
        parameters_changed: values were set since this was last set to False.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        """Declares all parameters; `kwargs` are those of `rclpy.node.Node`, such as its context."""
        #: Overrides whose type ROS cannot infer: empty lists.
        self._empty_overrides: set[str] = set()
        super().__init__(name, automatically_declare_parameters_from_overrides=True, **kwargs)
        self.is_configured = False
        self.parameters_changed = False
        self._bad_overrides = self._declare_parameters()
        self.add_on_set_parameters_callback(self._on_set_parameters)

    def declare_parameters(
        self, namespace: str, parameters: Sequence[Any], ignore_override: bool = False
    ) -> list[Parameter]:
        """As in rclpy, but without the empty lists of a parameter file, for which rclpy raises."""
        empty = {entry[0] for entry in parameters if len(entry) > 1 and entry[1] is None}
        self._empty_overrides |= empty
        rows = [entry for entry in parameters if entry[0] not in empty]
        declared: list[Parameter] = super().declare_parameters(namespace, rows, ignore_override)
        return declared

    def set_parameters_atomically(self, parameter_list: list[Any]) -> SetParametersResult:
        """As in rclpy, whose reasons name neither an unknown parameter nor the expected type."""
        unknown = unknown_parameters(parameter.name for parameter in parameter_list)
        if unknown:
            return SetParametersResult(successful=False, reason="; ".join(unknown))
        try:
            for parameter in parameter_list:
                if parameter.name in _SPEC_OF:
                    _SPEC_OF[parameter.name].check(parameter.value)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        result: SetParametersResult = super().set_parameters_atomically(parameter_list)
        return result

    def read_config(self) -> NodeConfig:
        """All values, checked; raises ValueError naming the parameter."""
        if self._bad_overrides:
            raise ParameterError("; ".join(self._bad_overrides.values()))
        for name, parameter in self._parameters_below("qos_overrides").items():
            qos.check_override(f"qos_overrides.{name}", parameter.value)
        return NodeConfig.from_values(self._values())

    def take_changed_config(self) -> NodeConfig | None:
        """All values, checked, if some were set since the last call or configure; else None."""
        if not self.parameters_changed:
            return None
        self.parameters_changed = False
        return self.read_config()

    def _declare_parameters(self) -> dict[str, str]:
        """Declares all parameters; returns the errors of invalid overrides, by name.

        An invalid override must not end the process before it is reported: the default is used
        instead, and `read_config` fails until a valid value is set.
        """
        overrides = self._parameters_below("")
        for line in unknown_parameters(overrides):
            self.get_logger().warning(line)
        bad_overrides = {
            name: f"{name} is an empty list, expected a value: remove it for its default"
            for name in self._empty_overrides & _SPEC_OF.keys()
        }
        for spec in PARAMETERS:
            value = spec.default
            if spec.name in overrides:
                self.undeclare_parameter(spec.name)
                try:
                    value = spec.check(overrides[spec.name].value)
                except ParameterError as error:
                    bad_overrides[spec.name] = str(error)
            self.declare_parameter(
                spec.name,
                list(value) if isinstance(value, tuple) else value,
                descriptor_of(spec),
                ignore_override=True,
            )
        return bad_overrides

    def _parameters_below(self, prefix: str) -> dict[str, Parameter]:
        # Jazzy annotates the result as values instead of parameters.
        found: dict[str, Any] = dict(self.get_parameters_by_prefix(prefix))
        return found

    def _values(self) -> dict[str, object]:
        return {spec.name: self.get_parameter(spec.name).value for spec in PARAMETERS}

    def _on_set_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        changes = {parameter.name: parameter.value for parameter in changed}
        try:
            for name, value in changes.items():
                if name.startswith("qos_overrides."):
                    qos.check_override(name, value)
            check_change(self._values(), changes, is_configured=self.is_configured)
        except Exception as error:  # noqa: BLE001 (any error here would end the process)
            return SetParametersResult(successful=False, reason=reason_of(error))
        for name in changes:
            self._bad_overrides.pop(name, None)
        self.parameters_changed = True
        return SetParametersResult(successful=True)


def descriptor_of(spec: ParameterSpec) -> ParameterDescriptor:
    """The descriptor that `ros2 param describe` shows."""
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
        values: name -> present value, for every parameter of the node.
        changes: name -> new value. Other names are ignored.
        is_configured: whether the node is inactive or active.

    Raises:
        ParameterError: an invalid value, or a parameter that cannot change now.
    """
    NodeConfig.from_values({**values, **changes})
    for name, value in changes.items() if is_configured else ():
        spec = _SPEC_OF.get(name)
        if (
            spec is not None
            and spec.needs_configure
            and spec.check(value) != spec.check(values[name])
        ):
            raise ParameterError(
                f"{name} takes effect at configure only: deactivate, clean up, set it, then "
                "configure again"
            )
