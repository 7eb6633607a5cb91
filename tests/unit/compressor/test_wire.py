"""Skimming a model parses the same model, with its large weights left in the file."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from sparsebook_compressor import wire
from sparsebook_compressor.wire import LARGE, OWN_FILE, NotWireFormat, skim
from tests.unit.compressor.models import HIDING, Hiding, free, graph_of, model_of, node, value


def saved(model: ModelProto, folder: Path, *more: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString() + b"".join(more))
    return path


def large(rows: int = 200) -> ModelProto:
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((rows, 100)).astype(np.float32),
        "small": rng.standard_normal((100, 10)).astype(np.float32),
        "indices": rng.integers(0, 9, (100, 100)),
    }
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "small"], ["y"])]
    return model_of(graph_of(nodes, [value("x", ["b", rows])], [free("y", 2)], weights))


def restored(path: Path, model: ModelProto) -> ModelProto:
    """The references into the file replaced by what they refer to."""
    data = path.read_bytes()
    for tensor in model.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries.get("location") == OWN_FILE:
            start = int(entries["offset"])
            tensor.raw_data = data[start : start + int(entries["length"])]
            tensor.ClearField("data_location")
            del tensor.external_data[:]
    return model


@pytest.mark.parametrize("hiding", HIDING, ids=lambda hiding: hiding.name)
@pytest.mark.parametrize("least", [1, 1000, LARGE])
def test_nothing_is_lost(
    hiding: Hiding, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "LARGE", least)
    path = hiding.write(tmp_path)
    assert restored(path, skim(path)) == onnx.load(path, load_external_data=False)


def test_large_tensors_of_any_dtype_stay_in_the_file(tmp_path: Path) -> None:
    path = saved(large(), tmp_path)
    found = skim(path)
    locations = {
        tensor.name: next((e.value for e in tensor.external_data if e.key == "location"), None)
        for tensor in found.graph.initializer
    }
    assert locations == {"w": OWN_FILE, "small": None, "indices": OWN_FILE}
    assert found.ByteSize() < 10_000
    assert restored(path, found) == large()


def test_the_limit_is_exact(tmp_path: Path) -> None:
    for size, stays in ((LARGE - 1, False), (LARGE, True)):
        tensor = TensorProto(
            name="t", data_type=TensorProto.UINT8, dims=[size], raw_data=bytes(size)
        )
        model = large(10)
        model.graph.initializer.append(tensor)
        found = skim(saved(model, tmp_path)).graph.initializer[-1]
        assert (found.data_location == TensorProto.EXTERNAL) == stays


def test_fields_in_pieces_are_merged_as_protobuf_does(tmp_path: Path) -> None:
    """Two graph fields in a file are one graph; the last of two raw_data counts."""
    model, more = large(), ModelProto()
    more.graph.initializer.add(
        name="late", data_type=TensorProto.UINT8, dims=[LARGE]
    ).raw_data = bytes(LARGE)
    path = saved(model, tmp_path, more.SerializeToString())
    expected = ModelProto.FromString(path.read_bytes())
    found = skim(path)
    assert found.graph.initializer[-1].data_location == TensorProto.EXTERNAL
    assert restored(path, found) == expected


def test_a_tensor_with_two_data_fields_is_parsed_as_it_is(tmp_path: Path) -> None:
    twice = TensorProto(name="t", data_type=TensorProto.UINT8, dims=[LARGE], raw_data=bytes(LARGE))
    body = twice.SerializeToString()
    body += TensorProto(raw_data=b"\x01" * LARGE).SerializeToString()
    graph = wire._length_delimited(5, body)
    path = tmp_path / "model.onnx"
    path.write_bytes(wire._length_delimited(7, graph))
    assert skim(path) == ModelProto.FromString(path.read_bytes())


def test_nobody_can_know_the_name_of_the_own_file() -> None:
    assert OWN_FILE.startswith("\0")
    assert len(OWN_FILE) > 40


@pytest.mark.parametrize("cut", [1, 2, 10, 1000, 70_000, 100_000])
def test_a_cut_file_is_no_message(cut: int, tmp_path: Path) -> None:
    path = saved(large(), tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises((NotWireFormat, DecodeError)):
        skim(path)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01",  # field 0
        b"\x0b",  # a group, which ONNX has none of
        b"\x0f",
        b"\x08",  # a number that is missing
        b"\x08" + b"\xff" * 11,
        b"\x3a\xff\xff\xff\xff\x0f",  # a graph of four gigabytes
        b"\x3a" + b"\xff" * 9 + b"\x01",
        b"\x0d\x01",  # four bytes of which three are missing
        b"\x09\x01",
        b"\x3a\x03\x2a\x05\x00",  # an initializer that leaves its graph
    ],
    ids=bytes.hex,
)
def test_bytes_that_are_no_message_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises((NotWireFormat, DecodeError)):
        skim(path)
