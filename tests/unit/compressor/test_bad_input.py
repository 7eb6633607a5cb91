"""What cannot be compressed is refused by the class of its error, by name, and nothing is left behind."""

import os
import random
import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor import Config, compress, decompress, errors, estimate, inspect
from sparsebook_compressor.errors import (
    BadData,
    BadValue,
    ExternalDataMissing,
    ExternalDataOutside,
    InputError,
    InvalidGraph,
    NotFinite,
    NothingToCompress,
    NotOnnx,
    PayloadError,
)
from tests.unit.compressor.models import (
    FLOAT,
    HIDING,
    Hiding,
    K,
    N,
    constant,
    free,
    graph_of,
    model_of,
    node,
    one_matmul,
    tensor,
    value,
    values,
)

PAPER = Config.parse({"preset": "paper"})


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where a bundle would go; a test that uses it expects that nothing is there, nor beside it, in the end."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    yield folder / "bundle"
    assert list(folder.iterdir()) == []


def refused(kind: type[InputError], model: Path, out: Path, **more: Any) -> str:
    """The message with which `compress` refuses, of exactly this class; `estimate` and `inspect` do so too."""
    with pytest.raises(kind) as caught:
        compress(model, out, more.pop("config", PAPER), **more)
    assert type(caught.value) is kind
    return str(caught.value)


def saved(model: ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


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


def graph_with(*nodes: onnx.NodeProto, **constants: np.ndarray) -> ModelProto:
    return model_of(graph_of(list(nodes), [value("x", ["b", K])], [free("y", 2)], constants))


MATMUL = node("MatMul", ["x", "w"], ["y"])
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
        assert f"weight 'w': element {5 * N + 6}" in message
        assert '{"weights": {"w": {"skip": true}}}' in message


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


def external(location: str, **entries: Any) -> ModelProto:
    model = one_matmul()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, entry in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=str(entry))
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with a file of weights, and a file beside it that is nobody's business."""
    inside = tmp_path / "models" / "lenet"
    inside.mkdir(parents=True)
    (inside / "w.bin").write_bytes(values(K, N).tobytes())
    (tmp_path / "models" / "secret.bin").write_bytes(values(K, N).tobytes())
    return inside


OUTSIDE = [
    "../secret.bin",
    "sub/../../secret.bin",
    "..",
    ".",
    "",
    "/etc/passwd",
    "\\\\server\\w.bin",
    "..\\secret.bin",
    "link.bin",
    "linked/secret.bin",
    "hard.bin",
    "sub",
    "pipe",
    "\0own file",
    "w.bin\0",
]


@pytest.mark.parametrize("location", OUTSIDE, ids=repr)
def test_external_data_outside_the_folder_is_refused(
    location: str, folder: Path, out: Path
) -> None:
    (folder / "sub").mkdir()
    (folder / "link.bin").symlink_to(folder / "w.bin")
    (folder / "linked").symlink_to(folder.parent)
    os.link(folder / "w.bin", folder / "hard.bin")
    os.mkfifo(folder / "pipe")
    message = refused(ExternalDataOutside, saved(external(location), folder), out)
    assert "weight 'w'" in message


@pytest.mark.parametrize("where", ["weight", "bias", "Constant", "If"])
def test_external_data_of_any_tensor_stays_inside(where: str, folder: Path, out: Path) -> None:
    """Those that are left alone are copied into the artifact, so they are looked at as well."""
    outside = TensorProto(name="b", data_type=FLOAT, dims=[N], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="../secret.bin")
    outside.external_data.add(key="length", value=str(4 * N))
    if where == "weight":
        model = external("../secret.bin")
    else:
        model = graph_with(node("Gemm", ["x", "w", "b"], ["y"]), w=values(K, N))
        if where == "bias":
            model.graph.initializer.append(outside)
        elif where == "Constant":
            model.graph.node.insert(0, node("Constant", [], ["b"], value=outside))
        else:
            then = graph_of([node("Identity", ["i"], ["t"])], [], [value("t", None)])
            outside.name = "i"
            then.initializer.append(outside)
            other = graph_of(
                [node("Identity", ["e"], ["o"])], [], [value("o", None)], {"e": values(N)}
            )
            choice = node("If", ["yes"], ["b"], then_branch=then, else_branch=other)
            model.graph.node.insert(0, choice)
            model.graph.node.insert(0, constant("yes", np.array(True)))
    refused(ExternalDataOutside, saved(model, folder), out)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (external("gone.bin"), ExternalDataMissing),
        (external("sub/gone.bin"), ExternalDataMissing),
        (external("w.bin", offset=4), ExternalDataMissing),
        (external("w.bin", offset=10**30), ExternalDataMissing),
        (external("short.bin"), ExternalDataMissing),
        (external("x" * 5000), ExternalDataMissing),
        (external("w.bin", length=4), InvalidGraph),
        (external("w.bin", length=-1), InvalidGraph),
        (external("w.bin", offset=-4), InvalidGraph),
        (external("w.bin", offset="four"), InvalidGraph),
        (external("w.bin", offset="9" * 5000), InvalidGraph),
    ],
    ids=[
        "no file",
        "no folder",
        "past the end",
        "far past the end",
        "file too short",
        "a name too long",
        "length too short",
        "negative length",
        "negative offset",
        "offset that is no number",
        "offset that is too long a number",
    ],
)
def test_external_data_that_is_not_there_is_refused(
    model: ModelProto, kind: type[InputError], folder: Path, out: Path
) -> None:
    (folder / "short.bin").write_bytes(bytes(100))
    assert "'w'" in refused(kind, saved(model, folder), out)


def test_external_data_needs_no_length_and_no_offset(folder: Path, tmp_path: Path) -> None:
    """The dimensions say how much of the file is meant, for weights and for what is left alone."""
    (folder / "w.bin").write_bytes(values(K, N).tobytes() + values(N).tobytes() + bytes(1000))
    model = external("w.bin")
    model.graph.node[0].CopyFrom(node("Gemm", ["x", "w", "b"], ["y"]))
    bias = TensorProto(name="b", data_type=FLOAT, dims=[N], data_location=TensorProto.EXTERNAL)
    bias.external_data.add(key="location", value="w.bin")
    bias.external_data.add(key="offset", value=str(4 * K * N))
    model.graph.initializer.append(bias)
    path = saved(model, folder)
    compress(path, tmp_path / "bundle", PAPER, verify=False)
    artifact = onnx.load(tmp_path / "bundle" / "model.onnx")
    found = {found.name: found for found in artifact.graph.initializer}
    assert onnx.numpy_helper.to_array(found["b"]).tobytes() == values(N).tobytes()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_folder_that_is_taken_is_left_as_it_is(kind: str, tmp_path: Path) -> None:
    path = saved(one_matmul(), tmp_path)
    out = tmp_path / "bundle"
    if kind == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "mine").write_text("mine")
    with pytest.raises(BadValue, match="not empty"):
        compress(path, out, PAPER)
    assert (out if kind == "file" else out / "mine").read_text() == "mine"
    assert {file.name for file in tmp_path.iterdir()} == {"model.onnx", "bundle"}


def test_an_empty_folder_is_filled_and_parents_are_made(tmp_path: Path) -> None:
    path = saved(one_matmul(), tmp_path)
    (tmp_path / "empty").mkdir()
    compress(path, tmp_path / "empty", PAPER, verify=False)
    assert (tmp_path / "empty" / "model.onnx").exists()
    compress(path, tmp_path / "a" / "b" / "c", PAPER, verify=False)
    assert (tmp_path / "a" / "b" / "c" / "report.json").exists()


def test_the_current_folder_can_be_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(one_matmul(), tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    compress(path, Path(), PAPER, verify=False)
    assert (tmp_path / "here" / "model.onnx").exists()


def test_bad_data_is_refused_before_any_work(tmp_path: Path, out: Path) -> None:
    data = tmp_path / "data.npz"
    np.savez(data, nothing=np.zeros(3))
    seen = []
    message = refused(BadData, saved(one_matmul(), tmp_path), out, data=data, progress=seen.append)
    assert "'x'" in message
    assert {step.stage for step in seen} == {"admit"}


@pytest.mark.parametrize("output", ["operator", "portable", "dense"])
@pytest.mark.parametrize("limit", [100, 1000, 4000])
def test_a_full_disk_leaves_nothing(output: str, limit: int, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the system refuses the write in the same way."""
    graph = graph_with(MATMUL, w=values(K, 2000))
    path = saved(graph, tmp_path)
    program = f"""
        import resource, sys
        from pathlib import Path
        from sparsebook_compressor import Config, compress
        from sparsebook_compressor.errors import StorageFull
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            compress(Path(sys.argv[1]), Path(sys.argv[2]), Config.parse({{"output": {output!r}}}), verify=False)
        except StorageFull as error:
            sys.exit(str(error))
    """
    out = tmp_path / "bundles" / "bundle"
    command = [sys.executable, "-c", textwrap.dedent(program), str(path), str(out)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 1, child.stderr
    assert "bundle" in child.stderr
    assert "free some space" in child.stderr
    assert list(out.parent.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_full_disk_leaves_nothing_of_a_decompressed_model(tmp_path: Path) -> None:
    path = saved(graph_with(MATMUL, w=values(K, 2000)), tmp_path)
    compress(path, tmp_path / "bundle", PAPER, verify=False)
    program = """
        import resource, sys
        from pathlib import Path
        from sparsebook_compressor import decompress
        from sparsebook_compressor.errors import StorageFull
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        try:
            decompress(Path(sys.argv[1]), Path(sys.argv[2]))
        except StorageFull as error:
            sys.exit(str(error))
    """
    plain = tmp_path / "plain" / "model.onnx"
    artifact = tmp_path / "bundle" / "model.onnx"
    command = [sys.executable, "-c", textwrap.dedent(program), str(artifact), str(plain)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 1, child.stderr
    assert "free some space" in child.stderr
    assert list(plain.parent.iterdir()) == []


def test_a_failure_at_any_stage_leaves_nothing(tmp_path: Path, out: Path) -> None:
    class Stop(Exception):
        pass

    path = saved(one_matmul(), tmp_path)
    steps: list[Any] = []
    compress(path, tmp_path / "whole", PAPER, progress=steps.append, verify=False)
    for stage in dict.fromkeys(step.stage for step in steps):

        def stop(step: Any, stage: str = stage) -> None:
            if step.stage == stage:
                raise Stop

        with pytest.raises(Stop):
            compress(path, out, PAPER, progress=stop, verify=False)
        assert not out.exists()


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
    assert len(kinds) == 19
    for kind in kinds:
        assert kind.problem.replace("-", "").isalpha()
