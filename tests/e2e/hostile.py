"""Files that are made to do harm, each with what becomes of it.

The numbers are those of the advisories on the onnx package whose kind of file a case is. Some of them are faults of functions that
the product does not call; the case then is the file that they were about.
"""

import io
import stat
import struct
import warnings
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.e2e import models

GIB = 1 << 30


@dataclass(frozen=True)
class Hostile:
    """Parts of a form, and the problem of the job that they become, with a word that its detail has."""

    problem: str
    mentions: str
    model: bytes
    name: str = "model.onnx"
    external: dict[str, bytes] = field(default_factory=dict)
    data: bytes | None = None

    def files(self) -> list[tuple[str, Any]]:
        """As httpx takes them."""
        data = [] if self.data is None else [("data", ("data.npz", self.data))]
        external = [("external", (name, content)) for name, content in self.external.items()]
        return [("model", (self.name, self.model)), *data, *external]


# ------------------------------------------------------------------------------------------- the wire format


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def message(number: int, body: bytes, *, declared: int | None = None) -> bytes:
    """A length-delimited field; `declared` is a length that is not true."""
    return varint(number << 3 | 2) + varint(len(body) if declared is None else declared) + body


def model_of(graph: bytes, *, declared: int | None = None) -> bytes:
    """A ModelProto of IR version 8 and opset 17 around the bytes of a graph."""
    return b"\x08\x08" + message(8, b"\x10\x11") + message(7, graph, declared=declared)


def many_nodes(count: int) -> bytes:
    """Two bytes a node in the file, more than a hundred in memory."""
    return model_of(message(1, b"") * count)


def nested(depth: int) -> bytes:
    """Graphs in attributes in nodes in graphs."""
    graph = b""
    for _ in range(depth):
        graph = message(1, message(5, message(6, graph)))
    return model_of(graph)


# ------------------------------------------------------------------------------------------------- models


def external_entries(**entries: str) -> bytes:
    """A model whose first weight has these entries of external data."""
    model = models.mlp(64, 256, 32)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return model.SerializeToString()


def constant_of_shape(elements: int) -> bytes:
    """A model that fills `elements` float32 while it is run, or while a constant is folded."""
    model = models.mlp(64, 256, 32)
    graph = model.graph
    graph.initializer.append(helper.make_tensor("huge", TensorProto.INT64, [1], [elements]))
    graph.node.append(helper.make_node("ConstantOfShape", ["huge"], ["filled"]))
    graph.node.append(helper.make_node("ReduceMax", ["filled"], ["most"], keepdims=0))
    graph.node[-3].output[0] = "product"
    graph.node.append(helper.make_node("Add", ["product", "most"], ["y"]))
    return model.SerializeToString()


def declared_elements(*dims: int) -> bytes:
    """A weight whose dimensions are larger than its values."""
    model = models.mlp(64, 256, 32)
    model.graph.initializer[0].dims[:] = dims
    return model.SerializeToString()


def long_text() -> bytes:
    """An operator whose name is longer than any buffer for a message."""
    model = models.mlp(64, 256, 32)
    model.graph.node[0].op_type = "M" * 5000
    return model.SerializeToString()


def recursive_function() -> bytes:
    """A function that calls itself."""
    call = helper.make_node("Loop2", ["a"], ["b"], domain="mine")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    function = helper.make_function("mine", "Loop2", ["a"], ["b"], [call], opsets)
    model = models.mlp(64, 256, 32)
    model.opset_import.append(opsets[1])
    model.functions.append(function)
    model.graph.node.append(helper.make_node("Loop2", ["x"], ["z"], domain="mine"))
    return model.SerializeToString()


# ----------------------------------------------------------------------------------------------- archives


def archive(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """A .zip of members in this order, whatever they are called."""
    packed = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # duplicate names are what is wanted
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in members:
                opened.writestr(name, content)
    return packed.getvalue()


def linked(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    """A symbolic link as a member."""
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member, target.encode()


def overlapping(content: bytes, count: int) -> bytes:
    """A .zip whose directory names one member again and again: every name unpacks the same bytes."""
    single = archive(("model.onnx", models.small()), ("weights", content))
    at = single.index(b"PK\x01\x02", single.index(b"PK\x01\x02") + 1)
    end = single.index(b"PK\x05\x06")
    start = single.index(b"PK\x01\x02")
    entry, first = single[at:end], single[start:at]
    name_at = 46
    entries = b"".join(
        entry[:name_at] + b"w%06d" % number + entry[name_at + 7 :] for number in range(count)
    )
    directory = first + entries
    tail = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, count + 1, count + 1, len(directory), start, 0
    )
    return single[:start] + directory + tail


def declaring(content: bytes, size: int) -> bytes:
    """A .zip that declares a member to be of another size than it is."""
    whole = bytearray(archive(("model.onnx", content)))
    directory = whole.index(b"PK\x01\x02")
    whole[directory + 24 : directory + 28] = struct.pack("<L", size)
    whole[22:26] = struct.pack("<L", size)
    return bytes(whole)


def npz(**members: bytes) -> bytes:
    """A data file of raw members."""
    return archive(*((f"{name}.npy", content) for name, content in members.items()))


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    """An array as a member of a data file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


class Touching:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os  # noqa: PLC0415  as an attacker writes it

        return os.system, ("touch /tmp/sparsebook-was-here",)


def npy_declaring(shape: str) -> bytes:
    """An array that declares a shape and has eight bytes."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    padded = header + " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode() + bytes(8)


OBJECTS = np.array([Touching()], dtype=object)


def cases() -> dict[str, Hostile]:
    """All of them."""
    small = models.small()
    outside = "external-data-outside"
    memory = "*/_ORT_MEM_ADDR_/*"
    return {
        # External data that is not the model's: CVE-2022-25882, CVE-2024-27318, CVE-2025-51480.
        "up": Hostile(outside, "../", external_entries(location="../../../../etc/passwd")),
        "up in the middle": Hostile(outside, "a/../..", external_entries(location="a/../../b")),
        "absolute": Hostile(outside, "/etc/passwd", external_entries(location="/etc/passwd")),
        "backslash": Hostile(outside, "model's folder", external_entries(location="..\\secret")),
        "NUL": Hostile(outside, "model's folder", external_entries(location="w\0/etc/passwd")),
        "an address in memory": Hostile(
            outside,
            "memory",
            external_entries(location=memory, offset="94000000000000", length="65536"),
        ),
        "zip with a file for an address in memory": Hostile(
            outside,
            "memory",
            archive(("model.onnx", external_entries(location=memory)), (memory, bytes(65536))),
        ),
        "the server's own files": Hostile(
            "external-data-missing", "not there", external_entries(location="proc/self/environ")
        ),
        # CVE-2026-34445: keys of external data that are attributes of an object.
        "entries that are attributes": Hostile(
            "external-data-missing",
            "not there",
            external_entries(location="w", __class__="int", basepath="/etc", __dict__="{}"),
        ),
        "a length that is huge": Hostile(
            "invalid-graph",
            "w0",
            external_entries(location="w", length=str(1 << 62)),
            external={"w": b"1"},
        ),
        "an offset below zero": Hostile(
            "invalid-graph",
            "negative",
            external_entries(location="w", offset="-4096"),
            external={"w": b"1"},
        ),
        "an offset behind the end": Hostile(
            "external-data-missing",
            "w0",
            external_entries(location="w", offset=str(1 << 60)),
            external={"w": b"1"},
        ),
        # CVE-2024-27319: text that is longer than the buffer for a message.
        "a name of 5000 characters": Hostile("invalid-graph", "MMMM", long_text()),
        # Bombs.
        "20 million nodes": Hostile("limit-exceeded", "memory", many_nodes(20_000_000)),
        "deep nesting": Hostile("not-onnx", "model.onnx", nested(5000)),
        "nesting that protobuf takes": Hostile("invalid-graph", "model.onnx", nested(20)),
        "2^36 elements declared": Hostile(
            "invalid-graph", "w0", declared_elements(1 << 18, 1 << 18)
        ),
        "2^80 elements declared": Hostile(
            "invalid-graph", "w0", declared_elements(1 << 40, 1 << 40)
        ),
        "elements below zero": Hostile("invalid-graph", "w0", declared_elements(-64, 256)),
        "a graph longer than the file": Hostile(
            "not-onnx", "model.onnx", model_of(b"", declared=1 << 40)
        ),
        "a weight longer than the file": Hostile(
            "not-onnx",
            "model.onnx",
            model_of(message(5, message(9, bytes(100_000), declared=1 << 34))),
        ),
        "a function that calls itself": Hostile(
            "invalid-graph", "model.onnx", recursive_function()
        ),
        # Archives; CVE-2024-5187, CVE-2026-27489, CVE-2026-34446 and CVE-2026-34447 are about what is unpacked or linked.
        "zip up": Hostile(outside, "leads out", archive(("../model.onnx", small))),
        "zip absolute": Hostile(outside, "absolute", archive(("/tmp/model.onnx", small))),
        "zip drive": Hostile(outside, "absolute", archive(("C:/model.onnx", small))),
        "zip symbolic link": Hostile(
            outside,
            "link",
            archive(("model.onnx", models.pointing_at("w")), linked("w", "/etc/passwd")),
        ),
        "zip link to a folder": Hostile(
            outside,
            "link",
            archive(linked("d", "/etc"), ("model.onnx", models.pointing_at("d/passwd"))),
        ),
        "zip twice": Hostile(
            outside, "twice", archive(("model.onnx", small), ("model.onnx", small))
        ),
        "zip file and folder": Hostile(
            outside, "both", archive(("model.onnx", small), ("model.onnx/w", b"1"))
        ),
        "zip bomb": Hostile(
            "too-large", "times its size", archive(("model.onnx", small), ("w", bytes(100 << 20)))
        ),
        "zip bomb of one member under many names": Hostile(
            "too-large", "times its size", overlapping(bytes(1 << 20), 2000)
        ),
        "zip of too many": Hostile(
            "too-large",
            "files",
            archive(("model.onnx", small), *((f"w{n}", b"") for n in range(10_001))),
        ),
        "zip that declares less": Hostile("not-onnx", "ZIP", declaring(small, 100)),
        "zip that declares more": Hostile("not-onnx", "", declaring(small, 10_000_000)),
        "zip cut short": Hostile("not-onnx", "ZIP", archive(("model.onnx", small))[:-40]),
        "zip in a zip": Hostile(
            "not-onnx", "no .onnx", archive(("inner.zip", archive(("model.onnx", small))))
        ),
        # Data.
        "pickled array": Hostile(
            "bad-data", "", small, data=npz(x=npy(OBJECTS, allow_pickle=True))
        ),
        "pickled labels": Hostile(
            "bad-data",
            "",
            small,
            data=npz(x=npy(models.samples()["x"]), labels=npy(OBJECTS, allow_pickle=True)),
        ),
        "pickle alone": Hostile("bad-data", "", small, data=npy(OBJECTS, allow_pickle=True)),
        "data that declares 2^40 samples": Hostile(
            "bad-data", "", small, data=npz(x=npy_declaring("(1099511627776, 64)"))
        ),
        "data with a header that is code": Hostile(
            "bad-data", "", small, data=npz(x=npy_declaring("__import__('os').getpid()"))
        ),
        "data bomb": Hostile("bad-data", "", small, data=npz(y=bytes(200 << 20))),
    }
