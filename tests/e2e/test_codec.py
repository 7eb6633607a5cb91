"""The context codec from the command and from the service to ONNX Runtime and back."""

import json
from pathlib import Path

import httpx
import numpy as np
import onnx
import onnxruntime

from sparsebook_compressor import Report
from sparsebook_runtime import register
from tests.e2e import models
from tests.e2e.calls import submit, wait
from tests.e2e.commands import Cli

SETTINGS = ("--preset", "paper", "--json")


def run(path: Path) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    register(options)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, models.samples())[0]


def uneven() -> onnx.ModelProto:
    """Layers whose rows differ in scale, so that pruning leaves some full and some empty."""
    model = models.mlp(64, 256, 32)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        scale = np.random.default_rng(0).choice([0.3, 1.0, 2.0], (len(values), 1))
        tensor.CopyFrom(
            onnx.numpy_helper.from_array((values * scale).astype(np.float32), tensor.name)
        )
    return model


def test_an_artifact_of_another_codec_computes_the_same(cli: Cli) -> None:
    onnx.save(uneven(), "uneven.onnx")
    reports = {}
    for codec in ("huffman", "context", "auto"):
        done = cli("compress", "uneven.onnx", *SETTINGS, "--codec", codec, "-o", codec)
        assert done.status == 0, done.err
        reports[codec] = Report.from_json(done.out)
        rows = json.loads(cli("inspect", f"{codec}/model.onnx", "--json").out)["rows"]
        written = {row["name"]: row["codec"] for row in rows}
        assert written == {row.name: row.codec for row in reports[codec].weights}
    assert {row.codec for row in reports["huffman"].weights} == {"huffman"}
    assert {row.codec for row in reports["context"].weights} == {"context"}
    assert reports["context"].config["codec"] == "context"
    sizes = {codec: report.artifact.bytes for codec, report in reports.items()}
    assert sizes["auto"] <= min(sizes["huffman"], int(1.01 * sizes["context"]))
    assert sizes["context"] < sizes["huffman"]
    expected = run(Path("huffman/model.onnx"))
    assert np.array_equal(run(Path("context/model.onnx")), expected)
    assert cli("verify", "context").status == 0
    plain = []
    for codec in ("huffman", "context"):
        assert cli("decompress", f"{codec}/model.onnx", "-o", f"{codec}.onnx").status == 0
        plain.append(Path(f"{codec}.onnx").read_bytes())
    assert plain[0] == plain[1]


def test_outputs_without_operators_have_no_codec(cli: Cli) -> None:
    for codec in ("huffman", "context"):
        done = cli(
            "compress", "tiny.onnx", "--output", "portable", "--codec", codec, "-o", codec, "--json"
        )
        assert done.status == 0, done.err
    assert Path("huffman/model.onnx").read_bytes() == Path("context/model.onnx").read_bytes()


def test_a_codec_that_does_not_exist_is_refused(cli: Cli) -> None:
    done = cli("compress", "tiny.onnx", "--codec", "zstd")
    assert (done.status, "codec" in done.err) == (2, True)


def test_the_service_takes_the_codec(http: httpx.Client) -> None:
    config = json.dumps({"preset": "paper", "codec": "context"})
    job = wait(http, submit(http, uneven().SerializeToString(), params={"config": config})["id"])
    report = http.get(f"/jobs/{job['id']}/report").raise_for_status().json()
    assert {row["codec"] for row in report["weights"]} == {"context"}
