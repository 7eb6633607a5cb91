"""Portable weights: every form, width and opset gives exactly the coded values, in standard operators."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import ModelProto, TensorProto

from sparsebook_compressor import admit
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.rewrite import portable
from sparsebook_compressor.rewrite.surgery import Surgeon
from tests.unit.compressor.models import graph_of, model_of, node, value
from tests.unit.compressor.weights import made

# Not a multiple of 8 in either direction.
SHAPE = (61, 67)
OPSETS = [7, 9, 10, 11, 13, 21]


def rewritten(weight: CodedWeight, opset: int, folder: Path) -> tuple[ModelProto, int]:
    """A model that hands out the rows of the weight, its weight in the portable form, and the bytes of that."""
    rows, columns = weight.shape
    table = value("y", [rows, columns], weight.dtype)
    dense = weight.values().astype(onnx.helper.tensor_dtype_to_np_dtype(weight.dtype))
    look_up = node("Gather", ["w", "ids"], ["y"])
    constants = {"w": dense, "ids": np.arange(rows)}
    model = model_of(graph_of([look_up], [], [table], constants), opset=opset, ir=8)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    model = admit.load(path)
    surgeon = Surgeon(model)
    size = portable.replace(surgeon, survey(model, path).weights[0], weight)
    surgeon.finish()
    onnx.checker.check_model(model)
    return model, size


def check_values(model: ModelProto, weight: CodedWeight) -> None:
    for level in (
        ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
        ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ):
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        options.log_severity_level = 4
        session = ort.InferenceSession(model.SerializeToString(), options)
        (found,) = session.run(None, {})
        assert found.tobytes() == weight.values().astype(found.dtype).tobytes()


def ops(model: ModelProto) -> list[str]:
    return [each.op_type for each in model.graph.node]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_flat_codes_of_every_width(bits: int, opset: int, tmp_path: Path) -> None:
    weight = made((161, 167), 0.9, (1 << bits) - 1)
    model, _ = rewritten(weight, opset, tmp_path)
    check_values(model, weight)
    planes = {1: 1, 2: 1, 3: 2, 4: 1, 5: 2, 6: 2, 7: 3, 8: 0}[bits]
    assert ops(model).count("Div") == planes * (1 if opset >= 10 else 2)
    assert ("Mod" in ops(model)) == (opset >= 10 and planes > 0)
    assert "CumSum" not in ops(model)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_sparse_codes_of_every_width(bits: int, opset: int, tmp_path: Path) -> None:
    weight = made((121, 133), 0.2, (1 << bits) - 1)
    model, size = rewritten(weight, opset, tmp_path)
    check_values(model, weight)
    sparse = opset >= 11 and bits > 2  # two bits an element are no more than a byte a non-zero
    assert ("CumSum" in ops(model)) == sparse
    if sparse and bits > 3:
        assert size < rewritten(weight, 10, tmp_path)[1]


@pytest.mark.parametrize("zeros", [253, 254, 255, 256, 508, 509, 510, 511, 2000])
def test_fillers_bridge_wide_gaps(zeros: int, tmp_path: Path) -> None:
    codes = np.zeros(100 * 300, np.uint8)
    codes[np.arange(0, len(codes), zeros + 1)] = 1
    codes[zeros : 3 * zeros : 7] = 200
    weight = CodedWeight((100, 300), TensorProto.FLOAT, 8, made((1,), 1.0, 255).codebook, codes)
    model, _ = rewritten(weight, 17, tmp_path)
    assert "ScatterElements" in ops(model)
    check_values(model, weight)


@pytest.mark.parametrize("position", [0, 1, 254, 255, 256, 29_999])
def test_a_lone_non_zero_anywhere(position: int, tmp_path: Path) -> None:
    codes = np.zeros(100 * 300, np.uint8)
    codes[position] = 1
    weight = CodedWeight((100, 300), TensorProto.FLOAT, 1, np.array([2.5], np.float32), codes)
    model, _ = rewritten(weight, 17, tmp_path)
    check_values(model, weight)


@pytest.mark.parametrize("opset", [7, 17])
@pytest.mark.parametrize(
    "codes", [np.zeros(4087, np.uint8), np.ones(4087, np.uint8)], ids=["all zero", "all equal"]
)
def test_one_value_everywhere(codes: np.ndarray, opset: int, tmp_path: Path) -> None:
    codebook = np.array([0.75], np.float32)[: int(codes.max())]
    weight = CodedWeight(SHAPE, TensorProto.FLOAT, 1, codebook, codes)
    model, _ = rewritten(weight, opset, tmp_path)
    check_values(model, weight)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.DOUBLE])
@pytest.mark.parametrize("density", [0.1, 0.9])
def test_other_dtypes_get_a_cast(dtype: int, density: float, tmp_path: Path) -> None:
    weight = made(SHAPE, density, 15, dtype)
    model, _ = rewritten(weight, 17, tmp_path)
    check_values(model, weight)
    assert ops(model)[-3:] == ["Cast", "Reshape", "Gather"]


def test_a_small_weight_keeps_a_byte_a_code(tmp_path: Path) -> None:
    weight = made((10, 20), 0.9, 15)
    model, size = rewritten(weight, 17, tmp_path)
    check_values(model, weight)
    assert ops(model) == ["Cast", "Gather", "Reshape", "Gather"]
    assert size < 200 + 16 * 4 + 50


@given(arrays(np.uint8, st.integers(1, 30).map(lambda n: 8 * n)), st.sampled_from([1, 2, 4]))
def test_planes_are_packed_by_columns(items: np.ndarray, width: int) -> None:
    items = items & np.uint8((1 << width) - 1)
    packed = portable.pack_plane(items, width)
    length = len(packed)
    assert length == len(items) * width // 8
    for index, item in enumerate(items):
        byte, place = index % length, index // length
        assert packed[byte] >> (place * width) & ((1 << width) - 1) == item


@pytest.mark.parametrize("bits", range(1, 9))
def test_planes_have_the_bits_of_a_code(bits: int) -> None:
    assert sum(portable.plane_widths(bits)) == bits


@pytest.mark.parametrize("bits", [1, 3, 4, 5, 8])
@pytest.mark.parametrize("density", [0.05, 0.3, 1.0])
def test_the_expected_bytes_are_near_those_of_the_file(
    bits: int, density: float, tmp_path: Path
) -> None:
    weight = made((300, 301), density, (1 << bits) - 1)
    model, _ = rewritten(weight, 17, tmp_path)
    nonzeros = int(np.count_nonzero(weight.codes))
    expected = portable.expected_bytes(300 * 301, nonzeros, len(weight.codebook))
    # Besides the weight the file has 300 row numbers and a little.
    actual = model.ByteSize() - 300 * 8
    assert abs(expected - actual) < 0.03 * actual + 600
