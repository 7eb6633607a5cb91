"""Models read without their large weights, which stay in the file, and written one initializer after the other.

Protobuf copies every byte of a message several times: a plain parse of a 550 MB model peaks at 1.6 GB, writing it takes as
much again. `skim` walks the few wire-format fields that matter

    ModelProto.graph (7) > GraphProto.initializer (5) > TensorProto.raw_data (9)

and turns each large raw_data into an external-data entry that points into the model's own file; `pour` goes the same way back.
"""

import mmap
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from onnx import GraphProto, ModelProto, StringStringEntryProto, TensorProto

# The location of external data that lies in the model's own file: no file can have this name, and no model can know it.
OWN_FILE: Final = f"\0own file {secrets.token_hex(16)}"
# Smaller tensors are parsed as they are.
LARGE: Final = 1 << 16
# Fields looked at one by one, at about 2 us each; what lies behind them is parsed as it is. A tensor whose values are raw
# has some ten fields and its dimensions; graphs have up to a hundred thousand nodes, initializers and values.
_MOST_TENSOR_FIELDS = 64
_MOST_FIELDS = 1 << 18

_GRAPH: Final = ModelProto.DESCRIPTOR.fields_by_name["graph"].number
_INITIALIZER: Final = GraphProto.DESCRIPTOR.fields_by_name["initializer"].number
_RAW_DATA: Final = TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number
_NAME: Final = TensorProto.DESCRIPTOR.fields_by_name["name"].number
_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5

Buffer: TypeAlias = bytes | memoryview


class NotWireFormat(ValueError):
    """The bytes are no protobuf message."""


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a message: it spans [start, end) with its tag; a length-delimited one has its contents from `body`."""

    number: int
    wire_type: int
    start: int
    body: int
    end: int


def skim(path: Path) -> ModelProto:
    """Parse a model; main-graph initializers of at least 64 KiB of raw data become references into the file.

    Raises:
        NotWireFormat: the file is no protobuf message, or is cut short.
        google.protobuf.message.DecodeError: a part that is parsed as it is cannot be.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        pieces = list(_model(data))
    model = ModelProto()
    model.ParseFromString(b"".join(pieces))
    return model


def spans(path: Path) -> tuple[list[int], dict[str, tuple[int, int]]]:
    """Where things lie in a model's file.

    Returns:
        Where the fields of the model and of its graph begin, ascending: every node and initializer is such a field. And from
        where to where the raw data of the main graph's initializers reaches, by their names.

    Raises:
        NotWireFormat: the file is no protobuf message, or is cut short.
    """
    begins: list[int] = []
    raw: dict[str, tuple[int, int]] = {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        budget = iter(range(_MOST_FIELDS))
        for _, field in zip(budget, _fields(data, 0, len(data)), strict=False):
            begins.append(field.start)
            if field.number == _GRAPH and field.wire_type == _LEN:
                for _, inner in zip(budget, _fields(data, field.body, field.end), strict=False):
                    begins.append(inner.start)
                    if inner.number == _INITIALIZER and inner.wire_type == _LEN:
                        raw.update(_raw_data(data, inner))
    return begins, raw


def _raw_data(data: mmap.mmap, tensor: _Field) -> Iterator[tuple[str, tuple[int, int]]]:
    fields = list(islice(_fields(data, tensor.body, tensor.end), _MOST_TENSOR_FIELDS + 1))
    names = [data[each.body : each.end] for each in fields if each.number == _NAME]
    held = [(each.body, each.end) for each in fields if each.number == _RAW_DATA]
    if len(fields) <= _MOST_TENSOR_FIELDS and len(names) == len(held) == 1:
        yield names[0].decode(errors="replace"), held[0]


@dataclass(frozen=True, slots=True)
class Initializer:
    """A serialized initializer of known length, whose bytes are made only when they are written."""

    length: int
    parts: Callable[[], Iterable[Buffer]]

    @classmethod
    def whole(cls, tensor: TensorProto) -> "Initializer":
        """A tensor as it is."""
        return cls(tensor.ByteSize(), lambda: (tensor.SerializeToString(deterministic=True),))

    @classmethod
    def with_data(
        cls, tensor: TensorProto, length: int, read: Callable[[], Buffer]
    ) -> "Initializer":
        """A tensor with raw data of `length` bytes in the place of any other."""
        rest = TensorProto()
        rest.CopyFrom(tensor)
        for field in ("raw_data", "data_location", "external_data"):
            rest.ClearField(field)
        start = rest.SerializeToString(deterministic=True) + _announced(_RAW_DATA, length)
        return cls(len(start) + length, lambda: (start, read()))


def pour(model: ModelProto, initializers: Sequence[Initializer], file: BinaryIO) -> None:
    """Write a model as protobuf reads it, never holding more than one initializer besides.

    Args:
        model: its main graph, which is taken out of it here, has no initializers.
        initializers: those of the main graph, in their order.
        file: open for writing bytes.
    """
    graph = model.graph.SerializeToString(deterministic=True)
    model.ClearField("graph")
    heads = [_announced(_INITIALIZER, each.length) for each in initializers]
    length = len(graph) + sum(map(len, heads)) + sum(each.length for each in initializers)
    file.write(model.SerializeToString(deterministic=True))
    file.write(_announced(_GRAPH, length))
    file.write(graph)
    for head, each in zip(heads, initializers, strict=True):
        file.write(head)
        for part in each.parts():
            file.write(part)


def _model(data: mmap.mmap) -> Iterator[bytes]:
    at, budget = 0, iter(range(_MOST_FIELDS))
    for _, field in zip(budget, _fields(data, 0, len(data)), strict=False):
        if field.number == _GRAPH and field.wire_type == _LEN:
            yield _length_delimited(_GRAPH, b"".join(_graph(data, field, budget)))
        else:
            yield data[field.start : field.end]
        at = field.end
    yield data[at:]


def _graph(data: mmap.mmap, graph: _Field, budget: Iterator[int]) -> Iterator[bytes]:
    at = graph.body
    for _, field in zip(budget, _fields(data, graph.body, graph.end), strict=False):
        large = field.number == _INITIALIZER and field.end - field.body >= LARGE
        if large and field.wire_type == _LEN:
            yield _length_delimited(_INITIALIZER, _tensor(data, field))
        else:
            yield data[field.start : field.end]
        at = field.end
    yield data[at : graph.end]


def _tensor(data: mmap.mmap, tensor: _Field) -> bytes:
    fields = list(islice(_fields(data, tensor.body, tensor.end), _MOST_TENSOR_FIELDS + 1))
    raw = [field for field in fields if field.number == _RAW_DATA and field.wire_type == _LEN]
    is_plain = len(fields) <= _MOST_TENSOR_FIELDS and len(raw) == 1
    if not is_plain or raw[0].end - raw[0].body < LARGE:
        return data[tensor.body : tensor.end]
    entries = {"location": OWN_FILE, "offset": raw[0].body, "length": raw[0].end - raw[0].body}
    reference = TensorProto(
        data_location=TensorProto.EXTERNAL,
        external_data=[StringStringEntryProto(key=k, value=str(v)) for k, v in entries.items()],
    )
    rest = b"".join(data[field.start : field.end] for field in fields if field is not raw[0])
    return rest + reference.SerializeToString()


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[_Field]:
    at = start
    while at < end:
        tag, body = _varint(data, at, end)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            _, stop = _varint(data, body, end)
        elif wire_type == _LEN:
            length, body = _varint(data, body, end)
            stop = body + length
        elif wire_type in (_I64, _I32):
            stop = body + (8 if wire_type == _I64 else 4)
        else:
            raise NotWireFormat(f"wire type {wire_type} at byte {at}")
        if number == 0 or stop > end:
            raise NotWireFormat(f"field {number} at byte {at} ends at {stop}, its message at {end}")
        yield _Field(number, wire_type, at, body, stop)
        at = stop


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise NotWireFormat(f"a number is cut short at byte {at}")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise NotWireFormat(f"a number of more than ten bytes before byte {at}")


def _length_delimited(number: int, body: bytes) -> bytes:
    return _announced(number, len(body)) + body


def _announced(number: int, length: int) -> bytes:
    return _to_varint(number << 3 | _LEN) + _to_varint(length)


def _to_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
