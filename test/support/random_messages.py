"""Random messages of any type, without ROS."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from support.typestore import STORE


def random_message(kind: str, chance: random.Random) -> Any:
    """A message of the type with random values."""
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
