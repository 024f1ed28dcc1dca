"""Messages of every type with a shipped tracker mapping, built from decisions."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.draws import Draws
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

INTERFACES = Path(__file__).resolve().parents[1] / "interfaces"
MOST_ENTRIES = 4
_INTEGER_BYTES = {f"{sign}int{8 * n}": n for sign in ("", "u") for n in (1, 2, 4, 8)}


@cache
def typestore() -> Typestore:
    """The common messages, and those of test/interfaces."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    added: dict[str, Any] = {}
    for file in sorted(INTERFACES.glob("*/msg/*.msg")):
        name = f"{file.parents[1].name}/msg/{file.stem}"
        if name not in store.fielddefs:
            added.update(get_types_from_msg(file.read_text(), name))
    store.register(added)
    return store


def build(message_type: str, draws: Draws) -> Any:
    """A message whose fields are drawn."""
    store = typestore()
    _, fields = store.fielddefs[message_type]
    return store.types[message_type](**{name: _field(kind, draws) for name, kind in fields})


def _field(field: Any, draws: Draws) -> Any:
    kind, detail = field
    if kind is Nodetype.BASE:
        return _base(detail[0], draws)
    if kind is Nodetype.NAME:
        return build(detail, draws)
    inner, size = detail
    length = size if kind is Nodetype.ARRAY else draws.byte() % (MOST_ENTRIES + 1)
    if kind is Nodetype.ARRAY and inner[0] is Nodetype.BASE and draws.byte() < 128:
        values = [_base(inner[1][0], draws)] * length
    else:
        values = [_field(inner, draws) for _ in range(length)]
    if inner[0] is Nodetype.BASE and inner[1][0] != "string":
        name = "uint8" if inner[1][0] in ("octet", "byte", "char") else inner[1][0]
        with np.errstate(over="ignore"):
            return np.array(values, dtype=name)
    return values


def _base(name: str, draws: Draws) -> Any:
    if name == "string":
        return draws.text()
    if name == "bool":
        return draws.byte() % 2 == 1
    if name.startswith("float"):
        value = draws.number()
        with np.errstate(over="ignore"):
            return float(np.float32(value)) if name == "float32" else value
    n_bytes = _INTEGER_BYTES.get(name, 1)
    return draws.integer(n_bytes, signed=name.startswith("int"))
