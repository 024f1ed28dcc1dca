"""The message types of Humble and of `test/interfaces`, without ROS."""

from __future__ import annotations

from pathlib import Path

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

_INTERFACES = Path(__file__).parents[1] / "interfaces"


def _typestore() -> Typestore:
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = {}
    for file in _INTERFACES.glob("*/msg/*.msg"):
        name = f"{file.parents[1].name}/msg/{file.stem}"
        types.update(get_types_from_msg(file.read_text(), name))
    store.register(types)
    return store


STORE = _typestore()
