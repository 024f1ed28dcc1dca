"""Defines parameters: fields of frozen dataclasses with default, range and description."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import Field, dataclass, field, fields
from functools import partial
from typing import Any, ClassVar, TypeVar

from social_implicit_ros.untrusted_files import did_you_mean, short_text

#: Maximum number of elements of a list.
MAX_ELEMENTS = 20
#: Maximum length of a string, such as a path, in characters.
MAX_CHARACTERS = 4096

_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{0,18})?([eE][+-]?\d{1,2})?")

#: A value of a parameter. Lists arrive as tuples or arrays and are stored as tuples.
Value = bool | int | float | str | tuple[Any, ...]

_SettingsT = TypeVar("_SettingsT", bound="Settings")


class ParameterError(ValueError):
    """An invalid parameter; the message names the parameter, its value and the expected values."""


@dataclass(frozen=True)
class ParameterSpec:
    """One row of the table.

    Attributes:
        default: default value, which defines the type of the parameter. The first element of a
            tuple defines the type of all elements.
        minimum, maximum: inclusive range of a number, or of each element of a list.
        choices: allowed strings, each with its meaning; empty allows all.
        minimum_above_zero: minimum of all values but 0, if 0 has a special meaning.
        needs_configure: a change takes effect at configure, and is rejected while the node is
            configured; other changes take effect at the next tick.
    """

    name: str
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    minimum_above_zero: float | None = None
    needs_configure: bool = False

    @property
    def help(self) -> str:
        """The description, then a line for each choice."""
        lines = (f"\n  {name}: {meaning}" for name, meaning in self.choices.items())
        return self.description + "".join(lines)

    def check(self, value: object) -> Value:
        """The value in the parameter's type; raises ParameterError for an invalid value."""
        if not isinstance(self.default, tuple):
            return self._check_one(value, self.default)
        # Lists of numbers arrive as array.array.
        if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
            example = ", ".join(map(str, self.default))
            raise ParameterError(
                f"{self.name} is {short_text(value)}, expected a list, such as [{example}]"
            )
        n_elements = len(value) if isinstance(value, Sized) else 0
        if n_elements > MAX_ELEMENTS:
            raise ParameterError(
                f"{self.name} has {n_elements} elements, expected at most {MAX_ELEMENTS}"
            )
        values = tuple(self._check_one(element, self.default[0]) for element in value)
        if not values:
            raise ParameterError(f"{self.name} is an empty list, expected at least one element")
        if len(set(values)) < len(values):
            raise ParameterError(f"{self.name} is {list(values)}, expected no element twice")
        return values

    def _check_one(self, value: object, like: object) -> Any:
        expected = type(like)
        if type(value) is not expected:
            # YAML reads `1e-1`, `0,95` and `'10.0'` as strings.
            text = str(value).replace(",", ".") if isinstance(value, (str, int)) else ""
            hint = f"; write {float(text)}" if expected is float and _NUMBER.fullmatch(text) else ""
            raise ParameterError(
                f"{self.name} is {short_text(value)} of type {type(value).__name__}, "
                f"expected {expected.__name__}{hint or self._one_of()}"
            )
        if isinstance(value, str) and not (value.isprintable() and len(value) <= MAX_CHARACTERS):
            raise ParameterError(
                f"{self.name} is {short_text(value)}, expected at most {MAX_CHARACTERS} printable "
                "characters"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ParameterError(f"{self.name} is {value}, expected a finite number")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            too_low = self.minimum is not None and value < self.minimum
            too_high = self.maximum is not None and value > self.maximum
            if too_low or too_high:
                raise ParameterError(
                    f"{self.name} is {short_text(value)}, expected a value from {self.minimum} "
                    f"to {self.maximum}"
                )
            if self.minimum_above_zero is not None and 0 < value < self.minimum_above_zero:
                raise ParameterError(
                    f"{self.name} is {value}, expected 0 or a value from "
                    f"{self.minimum_above_zero} to {self.maximum}"
                )
        if self.choices and value not in self.choices:
            raise ParameterError(
                f"{self.name} is {short_text(value)}{did_you_mean(str(value), self.choices)}, "
                f"expected{self._one_of()}"
            )
        return value

    def _one_of(self) -> str:
        return f" one of {', '.join(self.choices)}" if self.choices else ""


def row(
    default: Value, description: str, *, within: Sequence[float | None] = (None, None), **rest: Any
) -> Any:
    """A dataclass field that declares a parameter; see `ParameterSpec`.

    Args:
        default: default value.
        description: help text.
        within: minimum and maximum.
        rest: other attributes of `ParameterSpec`.
    """
    minimum, maximum = within
    ends = {"minimum": minimum, "maximum": maximum}
    return field(default=default, metadata={"description": description, **ends, **rest})


#: The same for a parameter that only takes effect at configure.
configure_row = partial(row, needs_configure=True)


@dataclass(frozen=True)
class Settings:
    """A group of parameters and of other groups; a parameter is a field made by `row`.

    Attributes:
        prefix: prepended to the name of a field to give the name of its parameter.
    """

    prefix: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for entry in fields(self):
            if entry.metadata:
                value = self._spec(entry).check(getattr(self, entry.name))
                object.__setattr__(self, entry.name, value)

    @classmethod
    def rows(cls) -> Iterator[ParameterSpec]:
        """All parameters, those of other groups included, in the order of the fields."""
        for entry in fields(cls):
            if isinstance(entry.default_factory, type):
                yield from entry.default_factory.rows()
            elif entry.metadata:
                yield cls._spec(entry)

    @classmethod
    def from_values(cls: type[_SettingsT], values: Mapping[str, object]) -> _SettingsT:
        """Builds the group.

        Args:
            values: name of a parameter -> value. Parameters that are missing keep their defaults;
                unknown names are ignored.

        Raises:
            ParameterError: an invalid value.
        """
        chosen: dict[str, Any] = {}
        for entry in fields(cls):
            name = cls.prefix + entry.name
            if isinstance(entry.default_factory, type):
                chosen[entry.name] = entry.default_factory.from_values(values)
            elif name in values:
                chosen[entry.name] = values[name]
        return cls(**chosen)

    @classmethod
    def _spec(cls, entry: Field[Any]) -> ParameterSpec:
        default: Any = entry.default
        return ParameterSpec(cls.prefix + entry.name, default, **entry.metadata)
