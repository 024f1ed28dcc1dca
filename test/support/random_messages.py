"""Messages of any type with random content, without ROS."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

INTERFACES = Path(__file__).parents[1] / "interfaces"


def typestore() -> Typestore:
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = {}
    for file in INTERFACES.glob("*/msg/*.msg"):
        types.update(
            get_types_from_msg(file.read_text(), f"{file.parents[1].name}/msg/{file.stem}")
        )
    store.register(types)
    return store


STORE = typestore()


def random_message(kind: str, chance: random.Random) -> Any:
    """A message of a type with random content."""
    _, fields = STORE.fielddefs[kind]
    return STORE.types[kind](**{name: random_value(field, chance) for name, field in fields})


def random_value(field: Any, chance: random.Random) -> Any:
    node, detail = field
    if node == Nodetype.NAME:
        return random_message(detail, chance)
    if node == Nodetype.BASE:
        return random_base(detail[0], chance)
    item, length = detail
    count = length if node == Nodetype.ARRAY else chance.choice([0, 1, 2, 3])
    values = [random_value(item, chance) for _ in range(count)]
    if item[0] == Nodetype.BASE and item[1][0] != "string":
        return np.array(values, dtype=item[1][0])
    return values


def random_base(name: str, chance: random.Random) -> Any:
    if name == "string":
        return "".join(chance.choices("personäé7", k=chance.choice([0, 1, 2, 3, 4, 9])))
    if name == "bool":
        return chance.random() < 0.5
    if name.startswith("float"):
        return float(np.dtype(name).type(chance.uniform(-9, 9)))
    return chance.randrange(0, 5)
