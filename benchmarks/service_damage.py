"""Damaged models: every second one in its bytes, every second one in its fields, where the file stays a protobuf and goes further in."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import ModelProto

# What is at an edge of some type, or of some reader's arithmetic.
_INTEGERS = (0, 1, -1, 2, 7, 127, 255, 65_536, (1 << 31) - 1, -(1 << 31), 1 << 36, (1 << 63) - 1)
_FLOATS = (0.0, -0.0, 1e-45, 3.4e38, -3.4e38, float("nan"), float("inf"), float("-inf"))
_TEXTS = ("", "\0", "x", "../../x", "/etc/passwd", "*/_ORT_MEM_ADDR_/*", "ä" * 40, "x" * 100_000)
_32_BITS = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32)
_UNSIGNED = (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)


def damaged(originals: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Models with something wrong, `count` of them, the same ones for a seed; originals take turns, and so do the two ways."""
    generator = random.Random(seed)
    for number in range(count):
        turn, original = divmod(number, len(originals))
        damage: Callable[[bytes, random.Random], bytes] = (in_bytes, in_fields)[turn % 2]
        yield damage(originals[original], generator)


def in_bytes(original: bytes, generator: random.Random) -> bytes:
    """Bytes changed, cut out, doubled or put in, mostly at the front, where the structure is."""
    content = bytearray(original)
    for _ in range(generator.choice((1, 1, 2, 5, 20))):
        _damage_bytes(content, generator)
    return bytes(content)


def _damage_bytes(content: bytearray, generator: random.Random) -> None:
    if len(content) < 2:
        return
    span = generator.choice((64, 1024, len(content), len(content)))
    at = generator.randrange(min(span, len(content)))
    if generator.random() < 0.25:
        at = len(content) - 1 - at  # graphs' inputs and outputs, opsets and metadata come last
    match generator.randrange(6):
        case 0:
            content[at] ^= 1 << generator.randrange(8)
        case 1:
            content[at] = generator.choice((0, 0x7F, 0x80, 0xFF))
        case 2:
            del content[at : at + generator.choice((1, 2, 8, 1000))]
        case 3:
            content[at:at] = generator.randbytes(generator.choice((1, 2, 8, 100)))
        case 4:
            content[at:at] = content[at : at + generator.choice((8, 64, 1000))]
        case _:
            del content[at + 1 :]


def in_fields(original: bytes, generator: random.Random) -> bytes:
    """Fields changed, emptied, doubled, exchanged or filled that were empty, anywhere in the message's tree."""
    model = ModelProto.FromString(original)
    for _ in range(generator.choice((1, 1, 2, 5))):
        _damage_fields(model, generator)
    return model.SerializeToString(deterministic=True)


def _damage_fields(message: Message, generator: random.Random) -> None:
    while True:
        inner = [field for field, _ in message.ListFields() if field.message_type is not None]
        if not inner or generator.random() < 0.15:
            break
        # What a graph has most of counts most: its nodes and weights.
        into = generator.choices(inner, [_length(message, each) for each in inner])[0]
        value = getattr(message, into.name)
        message = generator.choice(value) if into.is_repeated else value
    is_set = [field for field, _ in message.ListFields()]
    whole = not is_set or generator.random() >= 0.85
    every = cast(Sequence[FieldDescriptor], message.DESCRIPTOR.fields)
    field = generator.choice(every if whole else is_set)
    if field.is_repeated:
        _damage_many(getattr(message, field.name), field, generator)
    elif field.message_type is not None or generator.random() < 0.2:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _other(getattr(message, field.name), field, generator))


def _length(message: Message, field: FieldDescriptor) -> int:
    return len(getattr(message, field.name)) if field.is_repeated else 1


def _damage_many(values: Any, field: FieldDescriptor, generator: random.Random) -> None:
    if len(values) == 0:
        if field.message_type is not None:
            values.add()
        else:
            values.append(_other(_empty(field), field, generator))
        return
    at, from_ = generator.randrange(len(values)), generator.randrange(len(values))
    match generator.randrange(5):
        case 0:
            del values[at]
        case 1:
            values.append(values[at])
        case 2:
            del values[at:]
        case 3 if field.message_type is not None:
            values[at].CopyFrom(values[from_])
        case 4 if field.message_type is not None:
            values.sort(key=lambda _: generator.random())
        case 3:
            values[at] = values[from_]
        case _:
            values[at] = _other(values[at], field, generator)


def _empty(field: FieldDescriptor) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b""
    if field.type == FieldDescriptor.TYPE_STRING:
        return ""
    floats = (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)
    return 0.0 if field.type in floats else 0


def _other(value: Any, field: FieldDescriptor, generator: random.Random) -> Any:
    """Something else of the field's type."""
    if field.enum_type is not None:
        return generator.choice(field.enum_type.values).number
    if isinstance(value, bytes):
        return in_bytes(value, generator) if value else generator.randbytes(16)
    if isinstance(value, str):
        return generator.choice((*_TEXTS, value + "x", value[: len(value) // 2]))
    if isinstance(value, float):
        return generator.choice(_FLOATS)
    number = generator.choice((*_INTEGERS, value + 1, value - 1, value * 2))
    bits = 32 if field.cpp_type in _32_BITS else 64
    low, high = (
        (0, (1 << bits) - 1)
        if field.cpp_type in _UNSIGNED
        else (-(1 << bits - 1), (1 << bits - 1) - 1)
    )
    return min(max(number, low), high)
