"""Writes config/predictor.yaml and docs/parameters.md from the rows in settings.py.

    python3 scripts/write_parameters.py

Run it after changing a parameter; a test compares both files with the rows.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from social_implicit_ros.parameter_spec import ParameterSpec  # noqa: E402
from social_implicit_ros.settings import PARAMETERS  # noqa: E402

_WIDTH = 100
_YAML_HEADER = """\
# Every parameter of predictor_node with its default. Copy this file and keep the lines that you
# change. Written by scripts/write_parameters.py.
#
# Changes while the node runs take effect at the next tick. Those of parameters marked [configure]
# are rejected while the node is configured: deactivate, clean up, set, configure, activate.
/**:
  ros__parameters:
"""
_PAGE_HEADER = """\
# Parameters of predictor_node

[config/predictor.yaml](../config/predictor.yaml) has the same content. Copy that file, keep the
lines that you change, and start the node with `--params-file`.
`ros2 param describe /predictor NAME` shows one parameter.

Changes while the node runs take effect at the next tick. Those of parameters marked *configure* are
rejected while the node is configured: deactivate, clean up, set, configure, activate. An invalid
value is rejected with a reason. If it is given at startup, the node stays unconfigured until it is
corrected.

Written by `scripts/write_parameters.py` from the rows in `social_implicit_ros/settings.py`.
"""


def parameters_yaml() -> str:
    """The content of config/predictor.yaml."""
    blocks = []
    for prefix, specs in _groups():
        indent = " " * (6 if prefix else 4)
        rows = (textwrap.indent(_yaml_row(spec, _WIDTH - len(indent)), indent) for spec in specs)
        blocks.append((f"    {prefix}:\n" if prefix else "") + "\n".join(rows))
    return _YAML_HEADER + "\n".join(blocks)


def parameters_page() -> str:
    """The content of docs/parameters.md."""
    tables = [
        "\n".join(
            [
                f"\n## {prefix or 'General'}\n",
                "| parameter | default | range | meaning |",
                "|---|---|---|---|",
                *map(_table_row, specs),
            ]
        )
        for prefix, specs in _groups()
    ]
    return _PAGE_HEADER + "\n".join(tables) + "\n"


def _groups() -> Iterator[tuple[str, list[ParameterSpec]]]:
    for prefix, specs in groupby(PARAMETERS, key=lambda spec: spec.name.rpartition(".")[0]):
        yield prefix, list(specs)


def _yaml_row(spec: ParameterSpec, width: int) -> str:
    mark = " [configure]" if spec.needs_configure else ""
    allowed = f" Range: {_range(spec)}." if _range(spec) else ""
    described = textwrap.wrap(f"{spec.description}{allowed}{mark}", width - 2)
    column = max(map(len, spec.choices), default=0) + 2
    for name, meaning in spec.choices.items():
        described += textwrap.wrap(
            f"  {name:{column}}{meaning}", width - 2, subsequent_indent=" " * (column + 2)
        )
    comment = "".join(f"# {line}\n" for line in described)
    return f"{comment}{spec.name.rpartition('.')[2]}: {_value(spec)}\n"


def _table_row(spec: ParameterSpec) -> str:
    choices = "".join(f"<br>`{name}`: {meaning}" for name, meaning in spec.choices.items())
    mark = " *configure*" if spec.needs_configure else ""
    meaning = f"{spec.description}{mark}{choices}"
    return f"| `{spec.name}` | `{_value(spec)}` | {_range(spec)} | {meaning} |"


def _range(spec: ParameterSpec) -> str:
    if spec.minimum is None:
        return ""
    number = "{}" if isinstance(spec.minimum, int) else "{:g}"
    if spec.minimum_above_zero is not None:
        return f"0, or {number.format(spec.minimum_above_zero)} to {number.format(spec.maximum)}"
    return f"{number.format(spec.minimum)} to {number.format(spec.maximum)}"


def _value(spec: ParameterSpec) -> str:
    value = list(spec.default) if isinstance(spec.default, tuple) else spec.default
    return yaml.safe_dump(value, default_flow_style=True).splitlines()[0]


def main(root: Path) -> None:
    """Writes both files below a folder."""
    (root / "config" / "predictor.yaml").write_text(parameters_yaml(), encoding="utf-8")
    (root / "docs" / "parameters.md").write_text(parameters_page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
