"""Hand-made artifacts, which are not as Sparsebook writes them, come back as models that run, or are refused."""

import struct
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor import decompress
from sparsebook_compressor.errors import BadValue, InvalidGraph, TooLarge
from sparsebook_compressor.payload import CodedWeight, encode
from sparsebook_compressor.payload_header import checksum
from tests.unit.compressor.models import HALF, constant, free, graph_of, model_of, node, value
from tests.unit.compressor.weights import made

IMPORTS = [helper.make_opsetid("", 17), helper.make_opsetid("sparsebook", 1)]
SHAPE = (64, 64)


def artifact(
    folder: Path,
    nodes: list[onnx.NodeProto],
    payload: bytes,
    outputs: list[onnx.ValueInfoProto] | None = None,
) -> Path:
    constants = {"p": np.frombuffer(payload, np.uint8)}
    graph = graph_of(nodes, [value("x", ["b", 64])], outputs or [free("y", 2)], constants)
    path = folder / "artifact.onnx"
    path.write_bytes(model_of(graph, opset_imports=IMPORTS).SerializeToString())
    return path


def decode_node(output: str, shape: tuple[int, ...] = SHAPE) -> onnx.NodeProto:
    return node("Decode", ["p"], [output], domain="sparsebook", shape=list(shape))


def run(model: ModelProto | Path, **feeds: np.ndarray) -> list[np.ndarray]:
    given = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(given).run(None, feeds)


X = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)


def test_two_decodes_of_one_payload_keep_both_names(tmp_path: Path) -> None:
    weight = made(SHAPE, 0.2)
    nodes = [
        decode_node("first"),
        decode_node("second"),
        node("MatMul", ["x", "first"], ["h"]),
        node("MatMul", ["h", "second"], ["y"]),
    ]
    plain = tmp_path / "plain.onnx"
    decompress(artifact(tmp_path, nodes, encode(weight)[0]), plain)
    (found,) = run(plain, x=X)
    np.testing.assert_allclose(found, X @ weight.values() @ weight.values(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, HALF])
def test_a_decode_gives_float32_whatever_the_weight_is(dtype: int, tmp_path: Path) -> None:
    """Its consumers count on that; only a Cast behind it brings back the weight's own dtype."""
    weight = made(SHAPE, 0.2, dtype=dtype)
    nodes = [
        decode_node("w"),
        node("MatMul", ["x", "w"], ["y"]),
        decode_node("v"),
        node("Cast", ["v"], ["z"], to=dtype),
    ]
    outputs = [free("y", 2), value("z", list(SHAPE), dtype), value("v", list(SHAPE))]
    plain = tmp_path / "plain.onnx"
    decompress(artifact(tmp_path, nodes, encode(weight)[0], outputs), plain)
    y, z, v = run(plain, x=X)
    np.testing.assert_allclose(y, X @ weight.values(), rtol=1e-4, atol=1e-5)
    assert z.dtype == helper.tensor_dtype_to_np_dtype(dtype)
    assert v.dtype == np.float32
    assert (z.astype(np.float32) == weight.values()).all()
    assert (v == weight.values()).all()


def test_decodes_in_branches_share_the_payload_of_the_outer_graph(tmp_path: Path) -> None:
    weight = made(SHAPE, 0.2)
    branches = {}
    for name, op in (("then_branch", "MatMul"), ("else_branch", "Add")):
        inner = [decode_node("w"), node(op, ["rows", "w"], [f"{op}.y"])]
        branches[name] = graph_of(inner, [], [free(f"{op}.y", 2)])
    nodes = [
        node("Concat", ["x"] * 64, ["many"], axis=0),
        constant("start", np.array([0])),
        constant("end", np.array([64])),
        node("Slice", ["many", "start", "end"], ["rows"]),
        constant("yes", np.array(True)),
        node("If", ["yes"], ["y"], **branches),
    ]
    plain = tmp_path / "plain.onnx"
    decompress(artifact(tmp_path, nodes, encode(weight)[0]), plain)
    (found,) = run(plain, x=X)
    rows = np.concatenate([X] * 64)[:64]
    np.testing.assert_allclose(found, rows @ weight.values(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [7, 10, 11, 17])
@pytest.mark.parametrize("bounds", [{}, {"low": -0.5}, {"high": 0.25}, {"low": -0.5, "high": 0.25}])
def test_what_is_fused_comes_back_behind_the_node(
    bounds: dict[str, float], opset: int, tmp_path: Path
) -> None:
    """Names that it would take are in use; an absent bound is open."""
    weight = made(SHAPE, 0.2)
    attributes = {"transB": 1, "activation": "clip", **bounds}
    nodes = [
        node("Neg", ["x"], ["y.before_clip"]),
        node("Neg", ["y.before_clip"], ["y.low"]),
        node("MatMul", ["y.low", "p", "b"], ["y"], domain="sparsebook", name="fc", **attributes),
    ]
    bias = np.linspace(-1, 1, 64, dtype=np.float32)
    constants = {"p": np.frombuffer(encode(weight)[0], np.uint8), "b": bias}
    graph = graph_of(nodes, [value("x", ["b", 64])], [free("y", 2)], constants)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("sparsebook", 1)]
    path, plain = tmp_path / "artifact.onnx", tmp_path / "plain.onnx"
    path.write_bytes(model_of(graph, opset_imports=imports).SerializeToString())
    decompress(path, plain)
    onnx.checker.check_model(plain, full_check=True)
    ops = [each.op_type for each in onnx.load(plain).graph.node]
    assert ops == ["Neg", "Neg", "Transpose", "MatMul", "Add", "Clip"]
    (found,) = run(plain, x=X)
    expected = X @ weight.values().T + bias
    low, high = bounds.get("low", -np.inf), bounds.get("high", np.inf)
    np.testing.assert_allclose(found, np.clip(expected, low, high), rtol=1e-4, atol=1e-5)


def test_what_is_fused_comes_back_in_a_function_too(tmp_path: Path) -> None:
    weight = made(SHAPE, 0.2)
    body = [
        constant("p", np.frombuffer(encode(weight)[0], np.uint8)),
        node("Gemm", ["a", "p"], ["g"], domain="sparsebook", activation="relu"),
        node("MatMul", ["g", "p"], ["c"], domain="sparsebook", activation="clip", high=1.0),
    ]
    block = helper.make_function("local", "Block", ["a"], ["c"], body, IMPORTS)
    calls = [node("Block", ["x"], ["y"], domain="local")]
    graph = graph_of(calls, [value("x", ["b", 64])], [free("y", 2)])
    imports = [*IMPORTS, helper.make_opsetid("local", 1)]
    path, plain = tmp_path / "artifact.onnx", tmp_path / "plain.onnx"
    model = model_of(graph, functions=[block], opset_imports=imports)
    path.write_bytes(model.SerializeToString())
    decompress(path, plain)
    (found,) = run(plain, x=X)
    expected = np.minimum(np.maximum(X @ weight.values(), 0) @ weight.values(), 1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_an_activation_that_is_not_known_is_refused(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "p"], ["y"], domain="sparsebook", name="fc", activation="tanh")]
    path = artifact(tmp_path, nodes, encode(made(SHAPE))[0])
    with pytest.raises(InvalidGraph, match="'fc': activation b'tanh' is not known"):
        decompress(path, tmp_path / "plain.onnx")


@pytest.mark.parametrize("shape", [(32, 128), (64,), (64, 64, 1), (4096,)])
def test_a_decode_of_another_shape_than_its_payload_is_refused(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    nodes = [decode_node("w", shape), node("MatMul", ["x", "w"], ["y"])]
    path = artifact(tmp_path, nodes, encode(made(SHAPE, 0.2))[0])
    with pytest.raises(InvalidGraph, match="'p'"):
        decompress(path, tmp_path / "plain.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["artifact.onnx"]


def test_a_decode_without_a_shape_is_refused(tmp_path: Path) -> None:
    nodes = [node("Decode", ["p"], ["w"], domain="sparsebook"), node("MatMul", ["x", "w"], ["y"])]
    with pytest.raises(InvalidGraph, match="'p'"):
        decompress(artifact(tmp_path, nodes, encode(made(SHAPE))[0]), tmp_path / "plain.onnx")


def all_pruned(rows: int, columns: int) -> bytes:
    """A sound payload of a few bytes, whatever the shape is."""
    none = CodedWeight(
        SHAPE, TensorProto.FLOAT, 1, np.zeros(0, np.float32), np.zeros(4096, np.uint8)
    )
    body = bytearray(encode(none)[0][:-4])
    if struct.unpack_from("<Q", body, 16)[0]:
        struct.pack_into("<Q", body, 16, rows * columns)
    struct.pack_into("<2I", body, 24, rows, columns)
    return bytes(body) + checksum(bytes(body))


def test_a_few_bytes_do_not_claim_gibibytes(tmp_path: Path) -> None:
    shape = (1 << 15, 1 << 15)
    payload = all_pruned(*shape)
    assert len(payload) < 50
    nodes = [decode_node("w", shape), node("MatMul", ["x", "w"], ["y"])]
    with pytest.raises(TooLarge, match=rf"{len(payload)} bytes, claim to be {4 << 30} bytes"):
        decompress(artifact(tmp_path, nodes, payload), tmp_path / "plain.onnx")


def test_a_weight_all_pruned_comes_back(tmp_path: Path) -> None:
    shape = (64, 4096)
    nodes = [decode_node("w", shape), node("MatMul", ["x", "w"], ["y"])]
    decompress(artifact(tmp_path, nodes, all_pruned(*shape)), tmp_path / "plain.onnx")
    (found,) = run(tmp_path / "plain.onnx", x=X)
    assert found.shape == (3, 4096)
    assert not found.any()


def simple(folder: Path) -> Path:
    nodes = [decode_node("w"), node("MatMul", ["x", "w"], ["y"])]
    return artifact(folder, nodes, encode(made(SHAPE, 0.2))[0])


def test_data_of_an_earlier_model_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plain = simple(tmp_path), tmp_path / "out" / "o.onnx"
    with monkeypatch.context() as patch:
        patch.setattr("sparsebook_compressor.pack.MOST_INLINE", 1000)
        first = decompress(path, plain)
    data = plain.with_name("o.onnx.data")
    assert first.bytes == plain.stat().st_size + data.stat().st_size
    second = decompress(path, plain)
    assert [file.name for file in plain.parent.iterdir()] == ["o.onnx"]
    assert second.bytes == plain.stat().st_size


def test_the_data_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is there has its data beside it, whatever the names are."""
    monkeypatch.setattr("sparsebook_compressor.pack.MOST_INLINE", 1000)
    moved: list[str] = []
    replace = Path.replace

    def seen(self: Path, target: Path) -> Path:
        moved.append(self.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", seen)
    decompress(simple(tmp_path), tmp_path / "o.onnx")
    assert moved == ["o.onnx.data", "o.onnx"]


@pytest.mark.parametrize("place", ["", "/proc/x/o.onnx", "artifact.onnx/o.onnx", "n" * 300])
def test_where_nothing_can_be_written_is_said(place: str, tmp_path: Path) -> None:
    path = simple(tmp_path)
    with pytest.raises(BadValue, match=r"cannot be written|is a folder"):
        decompress(path, tmp_path / place)
    assert [file.name for file in tmp_path.iterdir()] == ["artifact.onnx"]
