"""`sparsebook bench`: an artifact and its original, measured by the real command. No timing is held against anything."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sparsebook_service.bench.result import Comparison, Side
from tests.e2e import models
from tests.e2e.commands import Cli

QUICK = ("--seconds", "0.01")


@pytest.fixture
def pair(cli: Cli) -> tuple[str, ...]:
    """The arguments that name an artifact and its original."""
    return made(cli)


def made(cli: Cli, *options: str) -> tuple[str, ...]:
    done = cli("compress", "tiny.onnx", "-o", "small", *options)
    assert done.status == 0, done.err
    return ("bench", "small/model.onnx", "--against", "tiny.onnx", *QUICK)


def check(side: Side, batches: list[int]) -> None:
    assert side.bytes > 0
    assert side.load.calls == side.first.calls == 3
    assert [row.batch for row in side.latencies] == batches
    for row in side.latencies:
        assert 0 < row.seconds.low <= row.seconds.median <= row.seconds.high
        assert row.seconds.calls >= 5
    assert side.resident_bytes is None or side.resident_bytes >= 0
    assert side.weight_bytes == (
        sum(form.bytes for form in side.weight_forms) if side.weight_forms else None
    )


def test_a_table_for_people_and_a_file_for_machines(cli: Cli, pair: tuple[str, ...]) -> None:
    done = cli(*pair, "-o", "figures.json")
    assert done.status == 0, done.err
    for expected in (
        "model.onnx against tiny.onnx",
        "1 thread; synthetic inputs; door: operators; ONNX Runtime",
        "load time",
        "first inference",
        "latency, batch 64",
        "resident memory",
        "weights",
        "smaller",
    ):
        assert expected in done.out
    found = Comparison.model_validate_json((cli.folder / "figures.json").read_text())
    assert Comparison.model_validate_json(found.model_dump_json()) == found
    for side in (found.artifact, found.model):
        check(side, [1, 8, 64])
    assert found.model.weight_bytes == 4 * (64 * 256 + 256 * 32)
    assert found.artifact.bytes < found.model.bytes
    assert sum(form.weights for form in found.artifact.weight_forms) == 2
    assert all(form.isa for form in found.artifact.weight_forms)
    assert cli.left() == {"tiny.onnx", "small", "figures.json"}


def test_json_alone_goes_to_standard_output(cli: Cli, pair: tuple[str, ...]) -> None:
    np.savez(cli.folder / "samples.npz", **models.samples(4))
    options = ("--data", "samples.npz", "--batches", "2,32", "--threads", "2")
    done = cli(*pair, *options, "--json")
    assert (done.status, done.err) == (0, "")
    found = Comparison.model_validate_json(done.out)
    assert (found.inputs, found.threads, found.door) == ("given", 2, "operators")
    check(found.artifact, [2, 32])
    assert json.loads(done.out)["versions"]["onnxruntime"]


def test_the_other_door(cli: Cli, pair: tuple[str, ...]) -> None:
    done = cli(*pair, "--door", "provider", "--batches", "1", "--json")
    assert done.status == 0, done.err
    found = Comparison.model_validate_json(done.out)
    assert found.door == "provider"
    check(found.artifact, [1])


def test_a_portable_artifact_needs_no_door(cli: Cli) -> None:
    done = cli(*made(cli, "--output", "portable"), "--batches", "1", "--json")
    assert done.status == 0, done.err
    found = Comparison.model_validate_json(done.out)
    assert found.door == "none"
    assert found.artifact.weight_bytes == found.model.weight_bytes


def test_a_fixed_batch_is_run_as_it_is(cli: Cli) -> None:
    model = onnx.load(cli.folder / "tiny.onnx")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(model, cli.folder / "tiny.onnx")
    done = cli(*made(cli))
    assert done.status == 0, done.err
    assert "note: the model's batch is fixed: it was run as it is, at 3" in done.out
    assert "latency, batch 3" in done.out


def test_a_batch_that_the_graph_does_not_take_is_left_out(cli: Cli) -> None:
    model = onnx.load(cli.folder / "tiny.onnx")
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 64])
    model.graph.initializer.append(shape)
    model.graph.node.insert(0, helper.make_node("Reshape", ["x", "shape"], ["one"]))
    model.graph.node[1].input[0] = "one"
    onnx.save(model, cli.folder / "tiny.onnx")
    done = cli(*made(cli), "--batches", "1,8")
    assert done.status == 0, done.err
    assert "note: batch 8: the model does not run on it" in done.out
    assert "latency, batch 8" not in done.out


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        (["tiny.onnx"], "--against"),
        (["none.onnx", "--against", "tiny.onnx"], "the artifact none.onnx does not exist"),
        (["tiny.onnx", "--against", "none.onnx"], "the model none.onnx does not exist"),
        (["tiny.onnx", "--against", "."], "is not a file"),
        (["tiny.onnx", "--against", "tiny.onnx", "--batches", "1,x"], "--batches"),
        (["tiny.onnx", "--against", "tiny.onnx", "--batches", "0"], "--batches"),
        (["tiny.onnx", "--against", "tiny.onnx", "--threads", "0"], "--threads"),
        (["tiny.onnx", "--against", "tiny.onnx", "--seconds", "0"], "--seconds"),
        (["tiny.onnx", "--against", "tiny.onnx", "--door", "back"], "operators or provider"),
        (["tiny.onnx", "--against", "tiny.onnx", "--data", "none.npz"], "does not exist"),
        (["tiny.onnx", "--against", "tiny.onnx", "-o", "."], "name a file"),
        (["tiny.onnx", "--against", "tiny.onnx", "-o", "gone/f.json"], "name a file"),
    ],
)
def test_bad_usage(cli: Cli, arguments: list[str], mentions: str) -> None:
    refused = cli("bench", *arguments)
    assert refused.status == 2
    assert mentions in refused.err
    assert "Traceback" not in refused.err
    assert cli.left() == {"tiny.onnx"}


def refused(cli: Cli, artifact: bytes | Path, *options: str) -> str:
    if isinstance(artifact, bytes):
        (cli.folder / "other.onnx").write_bytes(artifact)
    done = cli("bench", "other.onnx", "--against", "tiny.onnx", *QUICK, *options)
    assert done.status == 2, done.err
    assert "Traceback" not in done.err
    return done.err


def test_models_with_other_inputs_are_no_pair(cli: Cli) -> None:
    wider = models.mlp(65, 32).SerializeToString()
    assert "'x' is float32 [?, 65] in the artifact" in refused(cli, wider)
    renamed = models.mlp(64, 32)
    renamed.graph.input[0].name = renamed.graph.node[0].input[0] = "z"
    assert "that the artifact lacks" in refused(cli, renamed.SerializeToString())


def test_a_damaged_artifact_is_named(cli: Cli, pair: tuple[str, ...]) -> None:
    damaged = bytearray((cli.folder / "small/model.onnx").read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    assert "w" in refused(cli, bytes(damaged))
    assert "not an ONNX file" in refused(cli, b"\xffnot a protobuf" * 50)


def test_data_that_does_not_fit_is_refused(cli: Cli) -> None:
    np.savez(cli.folder / "samples.npz", x=np.zeros((3, 65), np.float32))
    assert "samples.npz" in refused(cli, models.small(), "--data", "samples.npz")


def test_an_artifact_without_a_library_is_refused(
    cli: Cli, pair: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sparsebook_runtime  # noqa: PLC0415

    monkeypatch.setattr(sparsebook_runtime, "__file__", str(tmp_path / "__init__.py"))
    ended = cli(*pair)
    assert ended.status == 2
    assert "has operators" in ended.err
    assert "pip install" in ended.err
