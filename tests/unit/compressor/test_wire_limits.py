"""However many fields a file has, few are looked at one by one; what is not looked at is parsed as it is."""

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor import wire
from sparsebook_compressor.wire import OWN_FILE, skim
from tests.unit.compressor.models import free, graph_of, model_of, node, value

VALUES = np.arange(40_000, dtype=np.float32).reshape(400, 100)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where fields were read, one entry for each number of the wire format."""
    seen: list[int] = []
    whole = wire._varint

    def counted(data: object, at: int, end: int) -> tuple[int, int]:
        seen.append(at)
        return whole(data, at, end)

    monkeypatch.setattr(wire, "_varint", counted)
    return seen


def saved(model: ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_tensor_of_many_small_fields_is_not_walked(tmp_path: Path, looked_at: list[int]) -> None:
    """Unpacked int32_data (field 5): a byte of tag and a byte of value, half a million times."""
    model = model_of(graph_of([node("Neg", ["x"], ["y"])], [free("x", 2)], [free("y", 2)]))
    tensor = TensorProto(name="t", data_type=TensorProto.INT32, dims=[1 << 19])
    body = tensor.SerializeToString() + b"\x28\x07" * (1 << 19)
    graph = wire._length_delimited(5, body)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString() + wire._length_delimited(7, graph))
    other = tmp_path / "first.onnx"
    del model.graph.initializer[:]
    other.write_bytes(wire._length_delimited(7, graph) + model.SerializeToString())
    for file in (path, other):
        found = skim(file).graph.initializer[0]
        assert len(found.int32_data) == 1 << 19
        assert set(found.int32_data) == {7}
    assert len(looked_at) < 1000


def test_dimensions_in_numbers_do_not_hide_the_values(tmp_path: Path) -> None:
    """More fields than are looked at: the tensor is parsed as it is, and nothing of it is lost."""
    graph = graph_of([node("Neg", ["x"], ["y"])], [free("x", 2)], [free("y", 2)])
    for rank in (8, 100):
        tensor = helper.make_tensor(
            f"w{rank}", TensorProto.FLOAT, [1] * (rank - 1) + [VALUES.size], VALUES, raw=True
        )
        graph.initializer.append(tensor)
    few, many = skim(saved(model_of(graph), tmp_path)).graph.initializer
    assert few.external_data[0].value == OWN_FILE
    assert many.raw_data == VALUES.tobytes()


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8])
def test_what_lies_behind_the_last_field_that_is_looked_at_is_kept(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "v"], ["y"])]
    weights = {"w": VALUES, "v": VALUES.T.copy()}
    model = model_of(graph_of(nodes, [value("x", ["b", 400])], [free("y", 2)], weights))
    path = saved(model, tmp_path)
    monkeypatch.setattr(wire, "_MOST_FIELDS", most)
    found = skim(path)
    data = path.read_bytes()
    for tensor in found.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries:
            start = int(entries["offset"])
            tensor.raw_data = data[start : start + int(entries["length"])]
            tensor.ClearField("data_location")
            del tensor.external_data[:]
    assert found == model
