"""The preset `small` from the command line: a model and inputs, no labels, no worker."""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort

import sparsebook_runtime
from sparsebook_compressor import Report
from tests.e2e import models
from tests.e2e.commands import Cli

SIZES = (32, 64, 16)


def arrays(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    sources = np.random.default_rng(5).standard_normal((6, SIZES[0]))
    return (rng.standard_normal((count, 6)) @ sources).astype(np.float32)


def written(folder: Path) -> None:
    model = models.mlp(*SIZES)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    name = model.graph.input[0].name
    np.savez(folder / "inputs.npz", **{name: arrays(160, 1)})


def test_inputs_alone_make_a_smaller_model_within_its_budget(cli: Cli) -> None:
    written(cli.folder)
    plain = cli("compress", "net.onnx", "-o", "safe")
    done = cli(
        "compress",
        "net.onnx",
        "--data",
        "inputs.npz",
        "--preset",
        "small",
        "--max-drop",
        "0.1",
        "-o",
        "out",
    )
    assert (plain.status, done.status) == (0, 0), done.err
    assert "Calibrated on 96 samples, given inputs" in done.out
    report = Report.from_json((cli.folder / "out/report.json").read_text())
    safe = Report.from_json((cli.folder / "safe/report.json").read_text())
    assert report.artifact.bytes < safe.artifact.bytes
    facts = report.calibration
    assert facts is not None
    assert (facts.samples, facts.eval_samples, facts.test_samples) == (96, 32, 32)
    assert facts.met
    # What the report says is what anybody sees who runs the artifact.
    options = ort.SessionOptions()
    sparsebook_runtime.register(options)
    sessions = (
        ort.InferenceSession(str(cli.folder / "net.onnx")),
        ort.InferenceSession(str(cli.folder / "out/model.onnx"), options),
    )
    fresh = arrays(200, 2)
    before, after = (
        running.run(None, {running.get_inputs()[0].name: fresh})[0] for running in sessions
    )
    assert float((before.argmax(1) == after.argmax(1)).mean()) > 0.8


def test_a_ratio_is_reached_and_no_data_is_said(cli: Cli) -> None:
    written(cli.folder)
    done = cli("compress", "net.onnx", "--preset", "small", "--min-ratio", "5", "-o", "out")
    assert done.status == 0, done.err
    assert "synthetic inputs" in done.out
    report = json.loads((cli.folder / "out/report.json").read_text())
    assert report["ratio"] >= 5
    assert report["calibration"]["inputs"] == "synthetic"


def test_what_cannot_be_met_ends_in_three_and_leaves_the_bundle(cli: Cli) -> None:
    written(cli.folder)
    done = cli("compress", "net.onnx", "--preset", "small", "--min-ratio", "1000", "-o", "out")
    assert done.status == 3
    assert "budget.min_ratio 1000" in done.err
    assert (cli.folder / "out/model.onnx").exists()


def test_an_estimate_says_that_it_has_no_inputs(cli: Cli) -> None:
    written(cli.folder)
    refused = cli("estimate", "net.onnx", "--preset", "small")
    assert refused.status == 2
    assert "decided by inputs" in refused.err
