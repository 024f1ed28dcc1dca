"""The faults of a simulated tracker, and their parser; `simulated_tracker` applies them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from social_implicit_ros.parameter_spec import ParameterError, Settings, row
from social_implicit_ros.untrusted_files import did_you_mean


@dataclass(frozen=True)
class TrackerFaults(Settings):
    """The faults of a tracker; 0 switches a fault off."""

    noise: float = row(0.0, "standard deviation of white noise, metres", within=(0.0, 10.0))
    drift: float = row(
        0.0, "standard deviation of Ornstein-Uhlenbeck noise, metres", within=(0.0, 10.0)
    )
    drift_s: float = row(1.0, "correlation time of drift, seconds", within=(0.01, 1000.0))
    misses: float = row(0.0, "share of observations that are missing", within=(0.0, 0.95))
    burst: float = row(
        0.0,
        "mean duration of a burst of misses, seconds; 0 for independent misses",
        within=(0.0, 1000.0),
    )
    cuts: float = row(0.0, "time between two new ids of a person, seconds", within=(0.0, 1e6))
    gap: float = row(
        0.0, "time without observations before each new id of cuts, seconds", within=(0.0, 1000.0)
    )
    forget: float = row(
        0.0,
        "time without observations after which a person gets a new id, seconds; 0 for never",
        within=(0.0, 1e6),
    )
    swaps: float = row(
        0.0, "distance below which ids of two people may be swapped, metres", within=(0.0, 100.0)
    )
    swap_rate: float = row(
        0.25, "swaps per second of two people within that distance", within=(0.0, 100.0)
    )
    ghosts: float = row(0.0, "false tracks per minute", within=(0.0, 6000.0))
    ghost_s: float = row(1.0, "mean lifetime of false tracks, seconds", within=(0.01, 1e3))
    latency: float = row(
        0.0, "time from the stamp of a message to its arrival, seconds", within=(0.0, 10.0)
    )
    jitter: float = row(0.0, "maximum random additional latency, seconds", within=(0.0, 10.0))
    rate: float = row(0.0, "messages per second; 0 for those of the recording", within=(0.0, 100.0))
    quantum: float = row(0.0, "resolution of positions, metres", within=(0.0, 10.0))
    occlusion: float = row(
        0.0,
        "radius of people, metres: nearer people hide farther ones from the robot",
        within=(0.0, 5.0),
    )
    range: float = row(0.0, "range of the robot's sensor, metres", within=(0.0, 1e6))
    fov: float = row(0.0, "field of view around the robot's heading, degrees", within=(0.0, 360.0))
    seed: int = row(0, "seed of the random numbers", within=(0, 2**31 - 1))

    @property
    def needs_robot(self) -> bool:
        """Whether a fault depends on where the robot is."""
        return bool(self.occlusion or self.range or self.fov)

    def __str__(self) -> str:
        """Text that `parse_faults` parses to the same faults."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        given = [
            f"{f.name}={values[f.name]:g}" for f in fields(self) if values[f.name] != f.default
        ]
        return ",".join(given) or "none"


#: Faults by name: none, and those of a tracker on a robot among people ("robot").
PRESETS = {
    "none": TrackerFaults(),
    "robot": TrackerFaults(
        noise=0.04,
        drift=0.06,
        drift_s=1.0,
        misses=0.1,
        burst=0.4,
        cuts=10.0,
        gap=0.3,
        forget=1.0,
        swaps=0.7,
        ghosts=6.0,
        latency=0.1,
        jitter=0.05,
        quantum=0.01,
        occlusion=0.25,
        range=20.0,
    ),
}


def parse_faults(text: str) -> TrackerFaults:
    """Parses faults: a preset, `name=value` separated by commas, or both.

    Args:
        text: for example `robot`, `cuts=5,noise=0.05,seed=1` or `robot,rate=10`.

    Raises:
        ParameterError: a name is unknown or a value invalid; the message names the valid ones.
    """
    faults = PRESETS["none"]
    names = [entry.name for entry in fields(TrackerFaults)]
    given: dict[str, float] = {}
    for position, item in enumerate(text.split(",")):
        name, equals, value = (part.strip() for part in item.partition("="))
        if name in PRESETS and not equals:
            if position > 0:
                raise ParameterError(f"{text!r}: the preset {name} must stand first")
            faults = PRESETS[name]
        elif name not in names:
            hint = did_you_mean(name, (*names, *PRESETS))
            raise ParameterError(
                f"{text!r}: no tracker fault {name!r}{hint}; write NAME=VALUE,... with the names "
                f"{', '.join(names)}, optionally after one of {', '.join(PRESETS)}"
            )
        elif name in given:
            raise ParameterError(f"{text!r}: {name} is given twice; remove one")
        else:
            given[name] = _number(text, name, value)
    try:
        return replace(faults, **given)  # type: ignore[arg-type]
    except ParameterError as error:
        raise ParameterError(f"{text!r}: {error}") from error


def _number(text: str, name: str, value: str) -> float:
    kind = type(getattr(PRESETS["none"], name))
    try:
        number: float = kind(value)
    except ValueError as error:
        expected = "a whole number" if kind is int else "a number"
        raise ParameterError(
            f"{text!r}: {name} is {value!r}, expected {expected}, as in {name}=1"
        ) from error
    return number
