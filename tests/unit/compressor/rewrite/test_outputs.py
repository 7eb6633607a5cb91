"""The three outputs of one compression compute the same, wherever the weight was, and leave the rest of the model alone."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto

from sparsebook_compressor import Config, compress, decompress, inspect
from sparsebook_compressor.graph.scopes import scopes
from sparsebook_runtime import library_path
from tests.unit.compressor import models
from tests.unit.compressor.models import HIDING, Hiding, feeds_of

OUTPUTS = ("operator", "portable", "dense")
SETTINGS = {"*": {"density": 0.3, "bits": 4}}


def packed(model: Path, output: str, folder: Path, **config: object) -> Path:
    """The artifact's file."""
    raw = {"preset": "paper", "output": output, "weights": SETTINGS, **config}
    compress(model, folder / output, Config.parse(raw), verify=False)
    return folder / output / "model.onnx"


def run(path: Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.register_custom_ops_library(str(library_path()))
    return ort.InferenceSession(str(path), options, ["CPUExecutionProvider"]).run(None, feeds)


def check_close(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        error = np.linalg.norm(a.astype(np.float64) - b.astype(np.float64))
        assert error <= tolerance * max(np.linalg.norm(b.astype(np.float64)), 1e-30)


def check_sound(model: ModelProto) -> None:
    """By inference of all types and shapes, and by the checker, which wants every output to say its shape."""
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    for output in model.graph.output:
        output.type.tensor_type.shape.SetInParent()
    onnx.checker.check_model(model)


def kernels(model: ModelProto) -> tuple[str, ...]:
    """Ops of our domain, in every scope."""
    nodes = [node for scope in scopes(model) for node in scope.body.node]
    return tuple(sorted(node.op_type for node in nodes if node.domain == "sparsebook"))


def domains(model: ModelProto) -> set[str]:
    holders = [model, *model.functions]
    return {entry.domain for holder in holders for entry in holder.opset_import}


def check_survived(original: ModelProto, found: ModelProto) -> None:
    """What a user of the model sees is as it was."""
    constants = {tensor.name for tensor in original.graph.initializer}
    inputs = [value for value in original.graph.input if value.name not in constants]
    kept = {value.name for value in inputs}
    assert [value for value in found.graph.input if value.name in kept] == inputs
    assert {value.name for value in found.graph.input} - kept <= constants
    assert list(found.graph.output) == list(original.graph.output)
    assert list(found.metadata_props) == list(original.metadata_props)
    for field in ("doc_string", "producer_name", "producer_version", "domain", "model_version"):
        assert getattr(found, field) == getattr(original, field)
    assert found.graph.name == original.graph.name
    assert found.ir_version in {original.ir_version, max(original.ir_version, 4)}
    standard = [entry for entry in found.opset_import if entry.domain != "sparsebook"]
    assert standard == list(original.opset_import)
    assert len(found.functions) == len(original.functions)


@pytest.mark.parametrize("hiding", HIDING, ids=lambda hiding: hiding.name)
def test_all_outputs_compute_the_same(hiding: Hiding, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    path = hiding.write(source)
    original = hiding.build()
    feeds = feeds_of(original)
    paths = {output: packed(path, output, tmp_path) for output in OUTPUTS}
    artifacts = {output: onnx.load(path) for output, path in paths.items()}
    for artifact in artifacts.values():
        check_survived(original, artifact)
    for output in ("portable", "dense"):
        assert domains(artifacts[output]) == domains(original)
        assert kernels(artifacts[output]) == ()
        check_sound(artifacts[output])
    assert kernels(artifacts["operator"]) == hiding.kernels
    dense = run(paths["dense"], feeds)
    check_close(run(paths["portable"], feeds), dense, 0)
    check_close(run(paths["operator"], feeds), dense, 1e-4)
    # A third of every weight is left: the outputs are those of the original, and they are not the same.
    before = run(path, feeds)
    assert any((a != b).any() for a, b in zip(before, dense, strict=True))
    check_close(dense, before, 1.5)

    restored = tmp_path / "restored.onnx"
    decompress(paths["operator"], restored)
    plain = onnx.load(restored)
    check_survived(original, plain)
    assert domains(plain) == domains(original)
    check_sound(plain)
    check_close(run(restored, feeds), dense, 0)


@pytest.mark.parametrize("hiding", HIDING, ids=lambda hiding: hiding.name)
def test_a_dense_weight_runs_in_every_output_too(hiding: Hiding, tmp_path: Path) -> None:
    """At full density products take their weight from Decode: every use has both forms."""
    source = tmp_path / "source"
    source.mkdir()
    path = hiding.write(source)
    feeds = feeds_of(hiding.build())
    settings = {"*": {"density": 1.0, "bits": 8}}
    found = {
        output: run(packed(path, output, tmp_path, weights=settings), feeds) for output in OUTPUTS
    }
    check_close(found["portable"], found["dense"], 0)
    check_close(found["operator"], found["dense"], 1e-4)
    check_close(found["dense"], run(path, feeds), 0.05)


OPSETS = [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, models.NEWEST]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("density", [0.1, 0.9])
def test_every_opset(opset: int, density: float, tmp_path: Path) -> None:
    """A convolution, a product and an embedding from opset 7 on; fillers, too, where a weight is thin."""
    nodes = [
        models.node("Conv", ["image", "kernel", "bias"], ["c"]),
        models.node("Flatten", ["c"], ["f"]),
        models.node("Gemm", ["f", "w", "b"], ["g"], transB=1),
        models.node("Gather", ["table", "ids"], ["e"]),
        models.node("MatMul", ["e", "v"], ["y"]),
    ]
    weights = {
        "kernel": models.values(8, 3, 3, 3),
        "bias": models.values(8),
        "w": models.values(20, 8 * 6 * 6),
        "b": models.values(20),
        "table": models.values(90, 24),
        "v": models.values(24, 700),
    }
    inputs = [
        models.value("image", ["n", 3, 8, 8]),
        models.value("ids", ["t"], models.INT64),
    ]
    outputs = [models.value("g", ["n", 20]), models.value("y", ["t", 700])]
    graph = models.graph_of(nodes, inputs, outputs, weights)
    ir = 13 if opset > 24 else 11 if opset > 22 else 10 if opset > 20 else 8
    original = models.model_of(graph, opset=opset, ir=ir)
    path = tmp_path / "source.onnx"
    path.write_bytes(original.SerializeToString())
    feeds = feeds_of(original)
    settings = {"*": {"density": density, "bits": 5}}
    paths = {output: packed(path, output, tmp_path, weights=settings) for output in OUTPUTS}
    dense = run(paths["dense"], feeds)
    check_close(run(paths["portable"], feeds), dense, 0)
    check_close(run(paths["operator"], feeds), dense, 1e-4)
    for output in ("portable", "dense"):
        check_sound(onnx.load(paths[output]))
    portable = onnx.load(paths["portable"])
    ops = {node.op_type for node in portable.graph.node}
    assert ("CumSum" in ops) == (opset >= 11 and density < 0.5)
    assert check_survived(original, portable) is None


def test_the_artifact_is_smaller_and_its_files_are_alone(tmp_path: Path) -> None:
    model = models.one_matmul()
    model.graph.initializer[0].CopyFrom(models.tensor("w", models.values(models.K, 5000)))
    model.graph.output[0].CopyFrom(models.value("y", ["batch", 5000]))
    path = tmp_path / "source.onnx"
    path.write_bytes(model.SerializeToString())
    size = path.stat().st_size
    assert packed(path, "operator", tmp_path).stat().st_size < size / 8
    assert packed(path, "portable", tmp_path).stat().st_size < size / 4
    assert abs(packed(path, "dense", tmp_path).stat().st_size - size) < 100
    for output in OUTPUTS:
        files = {file.name for file in (tmp_path / output).iterdir()}
        assert files == {"model.onnx", "manifest.json", "report.html", "report.json"}


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_a_recurrent_node_wants_both_of_its_weights(op: str, tmp_path: Path) -> None:
    path = tmp_path / "source.onnx"
    original = models.recurrent(op, 4 if op == "LSTM" else 3, 2)
    path.write_bytes(original.SerializeToString())
    feeds = feeds_of(original)
    settings = {"w": SETTINGS["*"], "r": {"skip": True}}
    artifact = packed(path, "operator", tmp_path, weights=settings)
    assert kernels(onnx.load(artifact)) == ("Decode",)
    dense = packed(path, "dense", tmp_path, weights=settings)
    check_close(run(artifact, feeds), run(dense, feeds), 1e-4)
    restored = tmp_path / "restored.onnx"
    decompress(artifact, restored)
    check_close(run(restored, feeds), run(dense, feeds), 0)


def test_what_a_recurrent_node_says_of_itself_survives(tmp_path: Path) -> None:
    original = models.recurrent("LSTM", 4, 3, activations=["Sigmoid", "Tanh", "Tanh"] * 2)
    original.graph.node[0].name = "layer"
    path = tmp_path / "source.onnx"
    path.write_bytes(original.SerializeToString())
    artifact = packed(path, "operator", tmp_path)
    (found,) = onnx.load(artifact).graph.node
    expected = onnx.NodeProto()
    expected.CopyFrom(original.graph.node[0])
    expected.domain = "sparsebook"
    expected.input[1:3] = ["w.payload", "r.payload"]
    assert found == expected
    restored = tmp_path / "restored.onnx"
    decompress(artifact, restored)
    expected.domain = ""
    expected.input[1:3] = ["w", "r"]
    assert list(onnx.load(restored).graph.node) == [expected]
    assert {row.role for row in inspect(artifact).rows} == {"LSTM"}


def test_unused_nodes_go_and_used_ones_stay(tmp_path: Path) -> None:
    hidings = {hiding.name: hiding for hiding in HIDING}

    def ops(name: str) -> list[str]:
        folder = tmp_path / name
        folder.mkdir()
        artifact = onnx.load(packed(hidings[name].write(folder), "operator", folder))
        return [node.op_type for node in artifact.graph.node]

    assert ops("transposed") == ["MatMul"]
    assert ops("tied embedding") == ["Gather", "MatMul"]
    assert ops("transposed outside If, used inside") == ["If"]
    assert ops("transposed for two, one of them without a kernel") == [
        "Decode",
        "Transpose",
        "MatMul",
        "Einsum",
        "Add",
    ]
