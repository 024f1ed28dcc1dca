"""Changes every parameter of a ticking node; prints what its ticks imported and predicted.

Runs as a module in a process of its own, as other tests may have imported what a tick would import.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from support.ticking import Messages, TickingNode, stamps_from, ticking_node

from social_implicit_ros.parameter_spec import ParameterSpec
from social_implicit_ros.settings import PARAMETERS

N_PEOPLE = 5
#: Seconds within which a change must take effect.
_PATIENCE_S = 60.0


class MainThreadImports:
    """An import finder that finds nothing, and records what the main thread imports."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if threading.current_thread() is threading.main_thread():
            self.names.append(name)


def other_value(spec: ParameterSpec, value: Any) -> Any:
    """A valid value other than `value`."""
    if isinstance(spec.default, bool):
        return not value
    if spec.choices:
        return next(choice for choice in spec.choices if choice != value)
    if isinstance(spec.default, tuple):
        return [0.3, 0.6]
    if isinstance(spec.default, str):
        return f"{value}s"
    if isinstance(spec.default, int):
        return value + 1
    return max(value + 0.005, spec.minimum_above_zero or 0.0)


def main() -> None:
    imports = MainThreadImports()
    outputs = "[pointcloud,samples,markers,costmap]"
    with ticking_node(outputs=outputs, robot="odometry") as ticking:
        messages = Messages(N_PEOPLE, stamps_from(ticking._begin_ns))
        n_predicted: list[int] = []
        log = ticking.node.reporter.log
        add_tick = log.add_tick

        def noted(duration_s: float, n_tracked: int, skipped: Any, n: int) -> None:
            n_predicted.append(n)
            add_tick(duration_s, n_tracked, skipped, n)

        def tick() -> None:
            ticking._subscription.callback(next(messages))

        for _ in range(200):
            tick()
        log.add_tick = noted  # type: ignore[method-assign]
        sys.meta_path.insert(0, imports)
        changed = change_each(ticking, tick)
        sys.meta_path.remove(imports)
    print(json.dumps({"changed": changed, "imports": imports.names, "predicted": n_predicted}))


def change_each(ticking: TickingNode, tick: Any) -> list[str]:
    """Changes each parameter and back, with ticks meanwhile; returns their names."""
    changed = []
    for spec in PARAMETERS:
        # At tick_rate_hz 0 there is a tick at every message.
        if spec.needs_configure or spec.name == "tick_rate_hz":
            continue
        value = ticking.node.get_parameter(spec.name).value
        for wanted in (other_value(spec, value), value):
            ticking.set(**{spec.name: wanted})
            expected = ticking.node.read_config()
            deadline_s = time.monotonic() + _PATIENCE_S
            tick()
            while ticking.node._configured().config != expected:
                assert time.monotonic() < deadline_s, f"{spec.name} took no effect"
                tick()
            for _ in range(3):
                tick()
        changed.append(spec.name)
    return changed


if __name__ == "__main__":
    main()
