"""A model that is poured is the model that protobuf would have written."""

import io
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto

from sparsebook_compressor import pack
from sparsebook_compressor.wire import Initializer, pour, skim
from tests.unit.compressor.models import HIDING, Hiding, free, graph_of, model_of, node, value

LARGE = np.arange(1 << 15, dtype=np.float32).reshape(-1, 64)


def poured(model: ModelProto, initializers: list[Initializer]) -> bytes:
    file = io.BytesIO()
    pour(model, initializers, file)
    return file.getvalue()


@pytest.mark.parametrize("hiding", HIDING, ids=lambda hiding: hiding.name)
def test_nothing_is_lost(hiding: Hiding) -> None:
    expected, model = hiding.build(), hiding.build()
    initializers = [Initializer.whole(tensor) for tensor in model.graph.initializer]
    del model.graph.initializer[:]
    assert ModelProto.FromString(poured(model, initializers)) == expected


def test_data_that_comes_late_takes_the_place_of_any_other() -> None:
    model = model_of(graph_of([node("Neg", ["x"], ["y"])], [free("x", 2)], [free("y", 2)]))
    tensor = TensorProto(name="t", data_type=TensorProto.UINT8, dims=[300], raw_data=b"old")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="t.bin")
    late = Initializer.with_data(tensor, 300, lambda: memoryview(bytes(range(150)) * 2))
    (found,) = ModelProto.FromString(poured(model, [late])).graph.initializer
    assert found.raw_data == bytes(range(150)) * 2
    assert (found.name, found.data_location, len(found.external_data)) == ("t", 0, 0)


@pytest.mark.parametrize("empty", [True, False])
def test_one_initializer_is_made_at_a_time(empty: bool) -> None:
    """Each is asked for its bytes only when those before it are written."""
    model = model_of(graph_of([node("Neg", ["x"], ["y"])], [free("x", 2)], [free("y", 2)]))
    file = io.BytesIO()
    positions: list[int] = []

    def parts() -> tuple[bytes]:
        positions.append(file.tell())
        return (b"" if empty else TensorProto(name="t").SerializeToString(),)

    pour(model, [Initializer(0 if empty else 3, parts) for _ in range(3)], file)
    assert len(ModelProto.FromString(file.getvalue()).graph.initializer) == 3
    assert positions == sorted(set(positions))


def test_a_model_whose_weights_lie_in_its_own_file_comes_through(tmp_path: Path) -> None:
    """In the order of its initializers, the large ones straight from file to file."""
    weights = {"a": LARGE, "small": LARGE[:2], "b": LARGE + 1}
    nodes = [node("MatMul", ["x", name], [f"y{name}"]) for name in weights]
    outputs = [free(f"y{name}", 2) for name in weights]
    model = model_of(graph_of(nodes, [value("x", ["n", "k"])], outputs, weights))
    source = tmp_path / "source.onnx"
    source.write_bytes(model.SerializeToString())
    pack.write_model(skim(source), tmp_path, source)
    written = (tmp_path / pack.MODEL_NAME).read_bytes()
    assert ModelProto.FromString(written) == model
    pack.write_model(skim(source), tmp_path, source, "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == written
