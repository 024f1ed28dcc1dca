"""Security check of a model file before onnxruntime loads it.

A model file must not refer to other files, since no checksum covers them, and must not contain
loops, so that every prediction terminates. The check reads the file's protocol buffer encoding
(https://protobuf.dev/programming-guides/encoding); field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_LENGTHS = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10

#: Message -> field number -> message: the fields that lead to nodes and tensors.
_INNER: Mapping[str, Mapping[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_OP_TYPE = ("Node", 4)
_EXTERNAL_DATA, _DATA_LOCATION = ("Tensor", 13), ("Tensor", 14)
_LOOPS = (b"Loop", b"Scan")
#: Maximum nesting of messages; the models of this package have no nested graphs.
_MAX_DEPTH = 32


def check_onnx_file(data: bytes) -> None:
    """Checks a model file.

    Args:
        data: the whole file.

    Raises:
        ValueError: it refers to other files, contains a loop, or is not a protocol buffer.
    """
    _check(memoryview(data), "Model", 0)


def _check(data: memoryview, message: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError(f"graphs are nested more than {_MAX_DEPTH // 3} deep")
    for number, value in _fields(data):
        place = (message, number)
        if place == _EXTERNAL_DATA or (place == _DATA_LOCATION and value != 0):
            raise ValueError(
                "its weights are in other files, which no checksum covers: save it with all "
                "weights in one file"
            )
        if place == _OP_TYPE and isinstance(value, memoryview) and bytes(value) in _LOOPS:
            raise ValueError(
                f"it has the operator {bytes(value).decode()}, which may not terminate: export it "
                "without loops"
            )
        inner = _INNER[message].get(number)
        if inner is not None and isinstance(value, memoryview):
            _check(value, inner, depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields field number and value of a message; strings and messages as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in _FIXED_LENGTHS:
            length = _FIXED_LENGTHS[kind]
        else:
            raise ValueError(f"the field at byte {at} has an unknown wire type")
        if length > len(data) - at:
            raise ValueError(f"it is truncated within a field of {length} bytes")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Decodes a variable-length integer; returns it and the offset after it."""
    value = 0
    for place, byte in enumerate(data[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError(f"the integer at byte {at} is truncated or too long")
