"""Security check of a model file before onnxruntime loads it.

A model file must not refer to other files, since no checksum covers them. It contains only known
operators of ONNX that terminate: no loops, no functions, no custom operators. The check reads the
protocol buffer encoding (https://protobuf.dev/programming-guides/encoding); field numbers are those
of onnx.proto. Encodings that readers interpret differently are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from social_implicit_ros.untrusted_files import short_text

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_LENGTHS = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10

#: Message -> field number -> message: the fields that lead to nodes and tensors.
_INNER: Mapping[str, Mapping[int, str]] = {
    "Model": {7: "Graph"},
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
_NODE, _OP_TYPE, _DOMAIN = ("Graph", 1), ("Node", 4), ("Node", 7)
_TRAINING, _FUNCTION = ("Model", 20), ("Model", 25)
_EXTERNAL_DATA, _DATA_LOCATION = ("Tensor", 13), ("Tensor", 14)
#: Domains of ONNX's own operators.
_OWN_DOMAINS = (b"", b"ai.onnx")
#: Operators that exporters of trajectory models use: arithmetic on tensors, layers and `If`. Each
#: terminates, and none is random, reads files or runs a graph more than once.
OPERATORS = frozenset(
    name.encode()
    for name in """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
    BatchNormalization BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu
    CenterCropPad Clip Compress Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum
    DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp
    Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool
    GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish
    Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu
    Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean
    MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow QLinearConv
    QLinearMatMul QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2
    ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize ReverseSequence RotaryEmbedding Round ScatterElements
    ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign
    SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose
    Trilu Unique Unsqueeze Where Xor
    """.split()  # noqa: SIM905 (one per line would fill two pages)
)
#: Maximum number of nodes; the models of this package have about 70.
_MAX_NODES = 20_000
#: Field numbers have 29 bits, and readers ignore the bits of a tag beyond 32.
_MAX_TAG = 2**32 - 1
#: Maximum nesting of messages; the models of this package have no nested graphs.
_MAX_DEPTH = 32


def check_onnx_file(data: bytes) -> None:
    """Checks the content of a model file.

    Raises:
        ValueError: it refers to other files, contains an operator that is not in `OPERATORS`, a
            function or training information, has too many nodes, or is not a protocol buffer in
            its canonical encoding.
    """
    n_nodes = _check(memoryview(data), "Model", 0)
    if n_nodes > _MAX_NODES:
        raise ValueError(f"it has {n_nodes} operators, expected at most {_MAX_NODES}")


def _check(data: memoryview, message: str, depth: int) -> int:
    """Checks a message and all nested ones; returns the number of nodes."""
    n_nodes = 0
    if depth > _MAX_DEPTH:
        raise ValueError(f"graphs are nested more than {_MAX_DEPTH // 3} deep")
    for number, value in _fields(data):
        place = (message, number)
        if place == _EXTERNAL_DATA or (place == _DATA_LOCATION and value != 0):
            raise ValueError(
                "its weights are in other files, which no checksum covers: save it with all "
                "weights in one file"
            )
        if place in (_TRAINING, _FUNCTION):
            raise ValueError(
                "it has functions or training information: export it for inference, with its "
                "functions inlined (onnx.inliner)"
            )
        if place == _OP_TYPE and (isinstance(value, int) or bytes(value) not in OPERATORS):
            raise ValueError(
                f"it has the operator {_name(value)}, which is not allowed, as it may not "
                "terminate or is not needed for trajectories: export it without loops and without "
                "custom operators"
            )
        if place == _DOMAIN and (isinstance(value, int) or bytes(value) not in _OWN_DOMAINS):
            raise ValueError(
                f"it has an operator of the domain {_name(value)}: export it with ONNX's own "
                "operators"
            )
        n_nodes += place == _NODE
        inner = _INNER[message].get(number)
        if inner is not None and isinstance(value, memoryview):
            n_nodes += _check(value, inner, depth + 1)
    return n_nodes


def _name(value: int | memoryview) -> str:
    if isinstance(value, int):
        return str(value)
    text = bytes(value[:100]).decode(errors="replace")
    return text if text.isidentifier() else short_text(text)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields field number and value of a message; strings and messages as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if key > _MAX_TAG or number == 0:
            raise ValueError(f"the field before byte {at} has an invalid number")
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
            if value >= 2**64 or (place > 0 and byte == 0):
                raise ValueError(f"the integer at byte {at} is not in its canonical encoding")
            return value, at + place + 1
    raise ValueError(f"the integer at byte {at} is truncated or too long")
