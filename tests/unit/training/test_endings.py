"""Which state is kept, and what ends a training."""

import resource
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from tests.unit.training.graphs import (
    FEATURES,
    Graph,
    blobs,
    falling_root,
    line,
    mlp,
    normal,
    regression,
)
from tests.unit.training.worker import Job, Result


def assert_start(result: Result, model: object) -> None:
    tensors = [numpy_helper.to_array(t) for t in model.graph.initializer]
    for found, first in zip(result.parameters, tensors, strict=False):
        assert (found == first).all()


def test_a_worse_training_keeps_the_start_and_ends_by_patience(tmp_path: Path) -> None:
    job = Job(tmp_path)
    model, parameters = regression()
    job.write_order(
        *(model, parameters),
        optimizer="sgd",
        schedule="constant",
        learning_rate=0.4,
        epochs=9,
        select="loss",
        patience=2,
        metric="one-minus-rms",
        batch_size=4,
        feed=4,
    )
    job.write_dataset([line(24, 1)], [line(40, 2)])
    result = job.train()
    losses = [epoch["eval_loss"] for epoch in result.values["epochs"]]
    assert losses[0] == min(losses)
    assert len(losses) == 3
    assert result.values["ended"] == "patience"
    assert result.values["kept_epoch"] == 0
    assert_start(result, model)


def test_without_the_start_the_best_trained_state_is_kept(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write_order(
        *regression(),
        optimizer="sgd",
        schedule="constant",
        learning_rate=0.4,
        epochs=2,
        select="loss",
        metric="one-minus-rms",
        batch_size=4,
        feed=4,
        keep_start=False,
    )
    job.write_dataset([line(24, 1)], [line(40, 2)])
    result = job.train()
    losses = [epoch["eval_loss"] for epoch in result.values["epochs"]]
    assert losses[0] < min(losses[1:])
    assert losses[result.values["kept_epoch"]] == min(losses[1:])
    assert result.values["ended"] == "finished"


@pytest.mark.parametrize("keep_start", [True, False])
def test_of_states_that_are_alike_the_earliest_is_kept(tmp_path: Path, keep_start: bool) -> None:
    """Steps so small that no parameter moves."""
    job = Job(tmp_path)
    job.write_order(
        *regression(),
        optimizer="sgd",
        learning_rate=1e-30,
        epochs=3,
        metric="one-minus-rms",
        keep_start=keep_start,
    )
    job.write_dataset([line(64, 1)], [line(40, 2)])
    result = job.train()
    assert len(set(result.metrics)) == 1
    assert result.values["kept_epoch"] == (0 if keep_start else 1)


def test_a_root_of_what_is_below_zero_is_no_metric(tmp_path: Path) -> None:
    """A graph of one's own may give any sums; what is kept goes by the loss then."""
    job = Job(tmp_path)
    job.write_order(
        *falling_root(),
        optimizer="sgd",
        schedule="constant",
        learning_rate=0.01,
        epochs=2,
        metric="one-minus-rms",
        keep_start=False,
    )
    x = {"x": -np.ones((64, 1), np.float32)}
    job.write_dataset([x], [x])
    result = job.train()
    assert result.metrics == [None] * 3
    losses = [epoch["eval_loss"] for epoch in result.values["epochs"]]
    assert losses == sorted(losses, reverse=True)
    assert result.values["kept_epoch"] == 2


@pytest.mark.parametrize("evaluated", [True, False])
def test_divergence_keeps_the_last_good_state(tmp_path: Path, evaluated: bool) -> None:
    x = {"x": np.linspace(0.5, 1.5, 40, dtype=np.float32)[:, None]}
    job = Job(tmp_path)
    job.write_order(
        *falling_root(),
        optimizer="sgd",
        schedule="constant",
        learning_rate=0.01,
        epochs=50,
        select="loss",
        batch_size=4,
        feed=4,
    )
    job.write_dataset([x], [x] if evaluated else [])
    result = job.train()
    *good, last = result.values["epochs"]
    assert result.values["ended"] == "diverged"
    assert len(good) > 2
    assert last["eval_loss"] is None
    assert result.values["kept_epoch"] == good[-1]["epoch"] == last["epoch"] - 1
    assert 0 < result.parameters[0][0] < 1
    assert len(result.values["learning_rates"]) == last["epoch"]


def test_a_start_that_is_no_number_diverges_at_once(tmp_path: Path) -> None:
    model, parameters = falling_root()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(-np.ones(1, np.float32), "p"))
    job = Job(tmp_path)
    job.write_order(model, parameters, keep_start=False)
    x = {"x": np.ones((40, 1), np.float32)}
    job.write_dataset([x], [x])
    result = job.train()
    assert result.values["ended"] == "diverged"
    assert (result.values["kept_epoch"], result.values["steps"]) == (0, 0)
    assert_start(result, model)


def test_parameters_that_are_no_numbers_behind_a_loss_that_is(tmp_path: Path) -> None:
    # Without an eval part nothing but the parameters themselves shows the last step.
    x = {"x": np.ones((4, 1), np.float32)}
    job = Job(tmp_path)
    model, parameters = falling_root()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros(1, np.float32), "p"))
    job.write_order(
        *(model, parameters), optimizer="sgd", batch_size=4, feed=4, epochs=1, learning_rate=1.0
    )
    job.write_dataset([x], [])
    result = job.train()
    assert result.values["epochs"][1]["loss"] == 0
    assert result.values["ended"] == "diverged"
    assert_start(result, model)


def test_without_an_eval_part_the_last_state_is_kept(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write_order(*mlp(), patience=1)
    # Fewer samples than a batch.
    job.write_dataset([blobs(10, 1)], [])
    result = job.train()
    assert result.values["kept_epoch"] == 4
    assert result.values["steps"] == 4
    assert result.metrics == [None] * 5
    assert result.values["epochs"][4]["loss"] < result.values["epochs"][1]["loss"]


def test_another_order_in_the_same_folder_starts_anew(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write_dataset([line(64, 1)], [])
    job.write_order(*regression(), epochs=1)
    first = job.train()
    job.write_order(*regression(), epochs=2)
    second = job.train()
    assert (first.values["steps"], second.values["steps"]) == (2, 4)
    assert (first.parameters[0] != second.parameters[0]).all()


def test_two_workers_take_turns_in_one_folder(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write_dataset([line(64, 1)], [])
    job.write_order(*regression())
    with job.start() as first, job.start() as second:
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.read().endswith('{"kind": "done"}\n')
    assert Result(tmp_path / "work" / "result").values["steps"] == 8


def test_a_full_disk_is_said_and_goes_on_later(tmp_path: Path) -> None:
    graph = Graph()
    hidden = graph.linear("x", "fc1", graph.parameter("fc1", normal(FEATURES, 4000, seed=1)), 4000)
    out = graph.linear(hidden, "fc2", graph.parameter("fc2", normal(4000, 4, seed=2)), 4)
    job = Job(tmp_path)
    job.write_order(graph.classifier(out), graph.parameters, epochs=2, learning_rate=1e-3)
    job.write_dataset([blobs(64, 1)], [blobs(32, 2)])
    expected = job.train("undisturbed")
    # 400 KB of parameters fit under a megabyte, with AdamW's moments they do not; 100 KB are too little for the graph.
    for room, left in ((100_000, set()), (300_000, set()), (1_000_000, {"kept-0", "kept-1"})):
        limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (room, room))
        assert "no room" in job.fail("storage-full", preexec_fn=limit)
        found = {path.name for path in (tmp_path / "work").iterdir()}
        assert found == {"lock", "order.sha256", *left}
    assert job.train().bytes == expected.bytes
