"""The real worker takes what `attach` and the dataset hand it: also one sample at a time, halves, and labels nobody reads."""

import json
import subprocess
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

from sparsebook_compressor.training.aim.metrics import record_teacher
from sparsebook_compressor.training.losses.attach import attach
from tests.unit.compressor.models import graph_of, model_of, node, value
from tests.unit.compressor.training.cases import CLASS, WEIGHT, X, weighted_loss
from tests.unit.compressor.training.data import Job, inputs, linear
from tests.unit.compressor.training.test_losses import PYTHON


def train(job: Job, student: ModelProto, folder: Path) -> list[dict[str, float]]:
    """Train the student; the epochs."""
    record_teacher(job.path, job.dataset, job.objective)
    order = folder / "order"
    order.mkdir()
    graph = attach(student, job.objective, job.dataset)
    (order / "model.onnx").write_bytes(graph.SerializeToString())
    settings = {
        "format": 1,
        "parameters": ["w"],
        "metric": job.objective.form,
        "select": "metric",
        "batch_size": 8,
        "feed": 8 if job.objective.batched else 1,
        "epochs": 3,
        "learning_rate": 0.05,
        "optimizer": "adamw",
        "schedule": "constant",
        "weight_decay": 0.0,
        "patience": None,
        "keep_start": True,
        "seed": 0,
    }
    (order / "order.json").write_text(json.dumps(settings))
    work = folder / "work"
    command = [PYTHON, "-P", "-m", "sparsebook_training", order, job.dataset.shared, work]
    # It ends when its standard input does; a pipe that nobody writes to stays open.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        lines = running.stdout.read().splitlines()
    assert json.loads(lines[-1]) == {"kind": "done"}, lines[-1]
    epochs: list[dict[str, float]] = json.loads((work / "result/result.json").read_text())["epochs"]
    return epochs


def falls(epochs: list[dict[str, float]]) -> bool:
    return epochs[-1]["eval_loss"] < epochs[0]["eval_loss"] * 0.95


def test_an_own_loss_beside_labels_that_only_the_metric_reads(tmp_path: Path) -> None:
    arrays = {"x": X, "weight": WEIGHT, "labels": CLASS}
    job = Job(tmp_path, linear(), arrays, own_loss=weighted_loss(tmp_path))
    assert (job.objective.loss, job.objective.metric) == ("own", "accuracy")
    assert falls(train(job, linear(seed=1), tmp_path))


def recurrent(scale: float, kind: int) -> ModelProto:
    """[2, 3] a sample -> an embedding [2, 4]; no dimension is free."""
    dtype = np.float16 if kind == TensorProto.FLOAT16 else np.float32
    weight = np.random.default_rng(0).standard_normal((3, 4)) * scale
    graph = graph_of(
        [node("MatMul", ["x", "w"], ["y"])], [value("x", [2, 3], kind)], [value("y", [2, 4], kind)]
    )
    graph.initializer.append(numpy_helper.from_array(weight.astype(dtype), "w"))
    return model_of(graph)


def test_halves_one_whole_feed_at_a_time_with_labels_that_nobody_reads(tmp_path: Path) -> None:
    arrays = {"x": inputs(40, (2, 3)).astype(np.float16), "labels": np.zeros((40, 7, 7))}
    job = Job(
        tmp_path,
        recurrent(1.0, TensorProto.FLOAT16),
        arrays,
        loss="distill",
        metric="retrieval",
    )
    assert not job.objective.batched
    epochs = train(job, recurrent(0.5, TensorProto.FLOAT), tmp_path)
    assert falls(epochs)
    assert epochs[-1]["metric"] > epochs[0]["metric"]
