"""What cannot be compressed is refused by the class of its error, by name, and nothing is left behind."""

import os
import random
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor import Config, admit, compress, decompress, errors, estimate, inspect
from sparsebook_compressor.errors import (
    BadData,
    BadValue,
    InputError,
    InvalidGraph,
    NotFinite,
    NothingToCompress,
    NotOnnx,
    PayloadError,
)
from tests.unit.compressor.models import (
    HIDING,
    Hiding,
    K,
    N,
    free,
    graph_of,
    model_of,
    node,
    one_matmul,
    tensor,
    value,
    values,
)
from tests.unit.compressor.refusals import MATMUL, PAPER, graph_with, refused, saved


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"not a model at all, but a text that is long enough",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        b"\x08\x08",  # an IR version and nothing else
        one_matmul().SerializeToString()[:-1],
        one_matmul().SerializeToString() + b"\xff",
        os.urandom(64),
    ],
    ids=["empty", "zero", "text", "png", "zip", "no graph", "cut", "a byte more", "random"],
)
def test_what_is_no_onnx_is_refused(data: bytes, tmp_path: Path, out: Path) -> None:
    path = tmp_path / "lenet.onnx"
    path.write_bytes(data)
    assert "lenet.onnx" in refused(NotOnnx, path, out)
    for look in (estimate, inspect):
        with pytest.raises(NotOnnx, match=r"lenet\.onnx"):
            look(path)
    with pytest.raises(NotOnnx, match=r"lenet\.onnx"):
        decompress(path, tmp_path / "plain.onnx")


def test_a_missing_file_is_a_missing_file(tmp_path: Path, out: Path) -> None:
    with pytest.raises(FileNotFoundError):
        compress(tmp_path / "nowhere.onnx", out, PAPER)


@pytest.mark.parametrize("name", ["Gemm", "Constant node", "If", "sparse initializer", "LSTM"])
def test_a_model_cut_anywhere_is_refused(name: str, tmp_path: Path, out: Path) -> None:
    hiding = next(hiding for hiding in HIDING if hiding.name == name)
    model = hiding.build()
    del model.metadata_props[:]  # they stand at the end, where a cut can leave a sound model
    data = model.SerializeToString()
    path = tmp_path / "cut.onnx"
    rng = random.Random(0)
    sizes = {*range(200), *range(len(data) - 200, len(data))}
    for size in sorted({*sizes, *(rng.randrange(len(data)) for _ in range(100))}):
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match=r"cut\.onnx"):
            compress(path, out, PAPER, verify=False)


@pytest.mark.parametrize("hiding", HIDING, ids=lambda hiding: hiding.name)
def test_damage_anywhere_is_refused_or_harmless(hiding: Hiding, tmp_path: Path) -> None:
    """No other exception than an InputError, whatever a byte becomes; and nothing is left of what is refused."""
    source = hiding.write(tmp_path)
    data = source.read_bytes()
    path, out = tmp_path / "damaged.onnx", tmp_path / "out"
    beside = {file.name for file in tmp_path.iterdir()} | {path.name}
    rng = random.Random(hiding.name)
    for number in range(25):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            # Most of a model is weights, whose bytes may be anything: names and structure lie at both ends.
            near = rng.randrange(min(300, len(data)))
            damaged[near if rng.random() < 0.5 else -near] = rng.choice([0, 1, 128, 255])
        path.write_bytes(bytes(damaged))
        config = Config.parse({"preset": "paper", "output": ("operator", "portable")[number % 2]})
        try:
            compress(path, out, config, verify=False)
        except InputError:
            assert {file.name for file in tmp_path.iterdir()} <= beside
        else:
            for file in out.iterdir():
                file.unlink()
            out.rmdir()


INVALID = {
    "unknown op": graph_with(node("MatMool", ["x", "w"], ["y"]), w=values(K, N)),
    "dangling input": graph_with(node("MatMul", ["z", "w"], ["y"]), w=values(K, N)),
    "two of one name": graph_with(MATMUL, node("Neg", ["x"], ["y"]), w=values(K, N)),
    "cycle": graph_with(
        node("Add", ["y", "m"], ["a"]),
        node("MatMul", ["x", "w"], ["m"]),
        node("Neg", ["a"], ["y"]),
        w=values(K, N),
    ),
    "too few inputs": graph_with(node("MatMul", ["w"], ["y"]), w=values(K, N)),
    "wrong attribute": graph_with(node("MatMul", ["x", "w"], ["y"], color="red"), w=values(K, N)),
}


@pytest.mark.parametrize("kind", INVALID)
def test_an_invalid_graph_is_refused(kind: str, tmp_path: Path, out: Path) -> None:
    assert "model.onnx" in refused(InvalidGraph, saved(INVALID[kind], tmp_path), out)


@pytest.mark.parametrize("version", [2**31, 2**40, 2**63 - 1, -1])
def test_a_version_that_there_cannot_be_is_refused(version: int, tmp_path: Path, out: Path) -> None:
    """ONNX's own look-up of LayerNormalization takes 32 bits, and threw a TypeError."""
    model = one_matmul()
    model.graph.node.append(node("LayerNormalization", ["y", "scale"], ["normal"]))
    model.graph.initializer.append(tensor("scale", np.ones(N, np.float32)))
    model.opset_import[0].version = version
    assert f"version {version}" in refused(InvalidGraph, saved(model, tmp_path), out)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scope", ["weight", "global"])
@pytest.mark.parametrize("preset", ["safe", "paper"])
def test_weights_that_are_not_finite_are_refused_by_name(
    bad: float, scope: str, preset: str, tmp_path: Path, out: Path
) -> None:
    array = values(K, N)
    array[5, 6] = bad
    path = saved(graph_with(MATMUL, w=array), tmp_path)
    for threshold in ({}, {"weights": {"w": {"threshold": 0.1}}}):
        raw = {"preset": preset, "prune": {"scope": scope}, **threshold}
        message = refused(NotFinite, path, out, config=Config.parse(raw))
        assert "'w'" in message
        assert f"element {5 * N + 6} is {bad}" in message
        # Without it nothing would be left where it stands alone; infinity need not even be left out by hand.
        assert np.isinf(bad) or '{"weights": {"w": {"skip": true}}}' in message


def test_a_weight_that_is_not_finite_can_be_skipped(tmp_path: Path) -> None:
    array = values(K, N)
    array[0, 0] = np.nan
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "v"], ["y"])]
    path = saved(graph_with(*nodes, w=array, v=values(N, K)), tmp_path)
    config = Config.parse({"preset": "paper", "weights": {"w": {"skip": True}}})
    report = compress(path, tmp_path / "bundle", config, verify=False)
    assert [row.name for row in report.weights] == ["v"]


NOTHING = {
    "no constants": (graph_with(node("Neg", ["x"], ["y"])), "no float constants"),
    "tiny": (graph_with(MATMUL, w=values(K, 5)), "tiny"),
    "vectors": (
        graph_with(node("Gather", ["w", "i"], ["y"]), w=values(999), i=np.array([[1]])),
        "vector",
    ),
    "operands": (graph_with(node("Add", ["x", "w"], ["y"]), w=values(40, K)), "operand of Add"),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_a_model_without_weights_is_refused_with_the_reasons(
    kind: str, tmp_path: Path, out: Path
) -> None:
    model, reason = NOTHING[kind]
    path = saved(model, tmp_path)
    message = refused(NothingToCompress, path, out)
    assert "model.onnx" in message
    assert reason in message
    with pytest.raises(NothingToCompress):
        estimate(path)
    assert inspect(path).rows == ()


def test_a_model_whose_weights_would_all_grow_is_refused(tmp_path: Path, out: Path) -> None:
    """128 values that 255 centroids keep exactly: the codebook alone is as large as the weight."""
    path = saved(graph_with(node("Gemm", ["x", "w"], ["y"]), w=values(K, 6)), tmp_path)
    config = Config.parse({"weights": {"w": {"density": 1.0, "bits": 8}}})
    for output in ("operator", "portable"):
        wanted = config.model_copy(update={"output": output})
        assert "smaller" in refused(NothingToCompress, path, out, config=wanted)


def test_bad_data_is_refused_before_any_work(tmp_path: Path, out: Path) -> None:
    data = tmp_path / "data.npz"
    np.savez(data, nothing=np.zeros(3))
    seen = []
    message = refused(BadData, saved(one_matmul(), tmp_path), out, data=data, progress=seen.append)
    assert "'x'" in message
    assert {step.stage for step in seen} == {"admit"}


def artifact_of(model: ModelProto, folder: Path) -> Path:
    compress(saved(model, folder), folder / "bundle", PAPER, verify=False)
    return folder / "bundle" / "model.onnx"


def test_a_damaged_payload_is_named(tmp_path: Path) -> None:
    path = artifact_of(graph_with(MATMUL, w=values(K, 500)), tmp_path)
    model = onnx.load(path)
    payload = next(found for found in model.graph.initializer if found.name == "w.payload")
    damaged = bytearray(payload.raw_data)
    damaged[-10] ^= 4
    payload.raw_data = bytes(damaged)
    path.write_bytes(model.SerializeToString())
    for look in (inspect, lambda file: decompress(file, tmp_path / "plain.onnx")):
        with pytest.raises(PayloadError, match=r"payload: checksum: .*'w\.payload'"):
            look(path)
    assert not (tmp_path / "plain.onnx").exists()


def test_a_payload_that_is_no_constant_is_refused(tmp_path: Path) -> None:
    graph = graph_of(
        [node("MatMul", ["x", "p"], ["y"], domain="sparsebook")],
        [value("x", ["b", K]), value("p", ["n"], TensorProto.UINT8)],
        [free("y", 2)],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("sparsebook", 1)]
    path = saved(model_of(graph, opset_imports=imports), tmp_path)
    for look in (inspect, lambda file: decompress(file, tmp_path / "plain.onnx")):
        with pytest.raises(InvalidGraph, match="'p' is no constant"):
            look(path)


def test_what_is_no_artifact_is_not_decompressed(tmp_path: Path) -> None:
    path = saved(one_matmul(), tmp_path)
    with pytest.raises(BadValue, match="no sparsebook operators"):
        decompress(path, tmp_path / "plain.onnx")
    assert {file.name for file in tmp_path.iterdir()} == {"model.onnx"}


def test_an_artifact_is_not_compressed_again(tmp_path: Path, out: Path) -> None:
    path = artifact_of(graph_with(MATMUL, w=values(K, 500)), tmp_path)
    message = refused(NothingToCompress, path, out)
    assert "model.onnx" in message


def test_nodes_of_other_domains_with_odd_tensors_do_no_harm(tmp_path: Path) -> None:
    odd = node("Thing", ["x"], [], domain="custom", t=tensor("t", np.zeros(3, np.uint8)))
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
    graph = graph_of([MATMUL, odd], [value("x", ["b", K])], [free("y", 2)], {"w": values(K, N)})
    path = saved(model_of(graph, opset_imports=imports), tmp_path)
    assert inspect(path).kind == "model"
    compress(path, tmp_path / "bundle", PAPER, verify=False)
    assert inspect(tmp_path / "bundle" / "model.onnx").kind == "artifact"


def test_every_error_says_its_problem() -> None:
    classes = [found for found in vars(errors).values() if isinstance(found, type)]
    kinds = [found for found in classes if issubclass(found, errors.SparsebookError)]
    assert len(kinds) == 21
    for kind in kinds:
        assert kind.problem.replace("-", "").isalpha()


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"<!DOCTYPE html><html>404</html>", "it begins like a page or XML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "run `git lfs pull`"),
        (b"PK\x03\x04" + bytes(60), "it begins like a zip, as .npz, .pt and .keras are"),
        (b"\x89HDF\r\n\x1a\n", "convert the model to ONNX with tf2onnx"),
        (b"\x1c\x00\x00\x00TFL3", "it begins like TFLite"),
        (b"hello", "export or copy it again"),
    ],
)
def test_other_files_are_named(tmp_path: Path, head: bytes, said: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(head)
    with pytest.raises(NotOnnx, match=re.escape(said)):
        admit.load(path)
