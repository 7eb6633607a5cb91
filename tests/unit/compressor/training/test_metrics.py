"""Metrics that are reported: by brute force on small data, and what they say of models that give no numbers."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from onnx import ModelProto, TensorProto

from sparsebook_compressor.errors import BadData, InternalError
from sparsebook_compressor.training.aim import tallies
from sparsebook_compressor.training.aim.metrics import (
    evaluate,
    keep_reference,
    record_teacher,
    require_runs,
    tallied,
)
from sparsebook_compressor.training.aim.objective import Objective
from sparsebook_compressor.training.data.dataset import teacher_name
from sparsebook_compressor.training.losses.attach import attach
from tests.unit.compressor.models import graph_of, model_of, node, value
from tests.unit.compressor.training.cases import ARGMAX, CHOICE, CLASS, SOFTMAX, TARGETS, X, plain
from tests.unit.compressor.training.data import Job, column, inputs
from tests.unit.compressor.training.test_losses import session


def save(folder: Path, model: ModelProto) -> Path:
    path = folder / "other.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def scaled(factor: Any, **options: Any) -> ModelProto:
    """y = x * factor."""
    nodes = [node("Mul", ["x", "f"], ["y"])]
    return model_of(
        graph_of(
            nodes,
            [value("x", options.get("shape", ["n", 3]))],
            [value("y", options.get("shape", ["n", 3]))],
            {"f": np.array(factor, np.float32)},
        )
    )


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_accuracy_is_the_share_of_hits_whatever_the_batch(
    batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparsebook_compressor.training.aim.metrics.BATCH", batch)
    model = plain(SOFTMAX)(0, 17)
    job = Job(tmp_path, model, {"x": X, "labels": CLASS})
    found = job.measure(job.path, "train")
    (outputs,) = session(model).run(None, {"x": column(job.dataset, "train", "x")})
    expected = outputs.argmax(1) == column(job.dataset, "train", "labels")
    assert found == expected.mean()


def test_a_position_without_numbers_is_no_hit(tmp_path: Path) -> None:
    arrays = {"x": np.abs(X), "labels": np.zeros(len(X), int)}
    job = Job(tmp_path, scaled([9, 1e-9, 1e-9]), arrays)
    assert job.measure(job.path, "test") == 1
    broken = save(tmp_path, scaled([np.nan, 1, 1]))
    # NumPy finds the largest of NaN, 1, 1 at NaN: the label's place.
    assert job.measure(broken, "test") == 0


def test_relative_error_is_that_of_its_definition(tmp_path: Path) -> None:
    job = Job(tmp_path, scaled([1, 1, 1]), {"x": X})
    other = save(tmp_path, scaled([1, 1, 3]))
    x = column(job.dataset, "eval", "x").astype(np.float64)
    error = np.linalg.norm(2 * x[:, 2]) / np.linalg.norm(x)
    found = job.measure(other, "eval")
    assert found == pytest.approx(1 - error)


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_a_standard_error_is_told_from_the_samples_whatever_the_batch(
    batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deviation of the error that would be had from as many other samples, by drawing them anew from these."""
    monkeypatch.setattr("sparsebook_compressor.training.aim.metrics.BATCH", batch)
    job = Job(tmp_path, scaled([1, 1, 1]), {"x": X})
    other = save(tmp_path, scaled([1, 1, 3]))
    metric = job.measure(other, "train")
    reference = tmp_path / "reference-train"
    tally = tallied(other, None, job.dataset, "train", job.objective, reference)
    assert isinstance(tally, tallies.RelativeError)
    assert metric == tally.value()
    x = column(job.dataset, "train", "x").astype(np.float64)
    errors, squares = np.square(2 * x[:, 2]), np.square(x).sum(axis=1)
    drawn = np.random.default_rng(0).integers(0, len(x), (4000, len(x)))
    deviation = (errors[drawn].sum(axis=1) / squares[drawn].sum(axis=1)).std()
    found = (1 - tally.spared()) ** 2 - (1 - tally.value()) ** 2
    assert found == pytest.approx(deviation, rel=0.1)


def test_of_one_sample_no_standard_error_is_told() -> None:
    objective = SimpleNamespace(batched=True, against="original", floats=(0,))
    tally = tallies.RelativeError(cast(Objective, objective))
    tally.add([np.array([[1.0, 2.0]])], {"x": np.zeros((1, 2))}, [np.array([[1.0, 1.0]])])
    assert tally.spared() == tally.value() == 1 - math.sqrt(0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_output_that_is_no_number_is_as_wrong_as_can_be(bad: float, tmp_path: Path) -> None:
    job = Job(tmp_path, scaled([1, 1, 1]), {"x": X})
    assert -np.inf < job.measure(save(tmp_path, scaled([1, 1, bad])), "eval") < -1e30


def test_an_all_zero_original_is_either_right_or_wrong(tmp_path: Path) -> None:
    job = Job(tmp_path, scaled(0), {"x": X})
    assert job.measure(job.path, "eval") == 1
    assert job.measure(save(tmp_path, scaled(1)), "eval") == 0


def above(threshold: float) -> ModelProto:
    """The elements of one row above a threshold: as many as there are."""
    nodes = [
        node("Greater", ["x", "t"], ["g"]),
        node("Squeeze", ["g", "first"], ["g1"]),
        node("Compress", ["x", "g1"], ["y"], axis=1),
    ]
    constants = {"t": np.array([threshold], np.float32), "first": np.array([0])}
    return model_of(graph_of(nodes, [value("x", [1, 3])], [value("y", [1, "k"])], constants))


def test_outputs_whose_shape_depends_on_values_are_compared_and_cannot_be_learned(
    tmp_path: Path,
) -> None:
    x = np.tile(np.array([[1, 2, 3]], np.float32), (20, 1)) + (np.arange(20) >= 10)[:, None]
    job = Job(tmp_path, above(1.5), {"x": x})
    other = save(tmp_path, above(2.5))
    assert job.measure(job.path, "train") == 1
    assert 0 < job.measure(other, "train") < 1
    with pytest.raises(BadData, match="changes its shape from sample to sample"):
        record_teacher(job.path, job.dataset, job.objective)


def neighbours(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similar = unit @ unit.T
    np.fill_diagonal(similar, -np.inf)
    return similar.argmax(1)


@pytest.mark.parametrize("shape", [["n", 3], [1, 3]])
def test_retrieval_is_that_of_brute_force_over_the_whole_part(
    shape: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "BLOCK", 7)
    x = inputs(200)
    job = Job(tmp_path, scaled([1, 1, 1], shape=shape), {"x": x}, metric="retrieval")
    other = save(tmp_path, scaled([1, 1, 0.2], shape=shape))
    held = column(job.dataset, "train", "x").astype(np.float64)
    expected = (neighbours(held) == neighbours(held * [1, 1, 0.2])).mean()
    found = job.measure(other, "train")
    assert found == pytest.approx(expected)
    assert 0.1 < found < 0.9


def test_duplicates_are_equally_near(tmp_path: Path) -> None:
    """Which of two equal samples is the nearest is decided by rounding: either will do."""
    x = np.repeat(inputs(10), 4, axis=0)
    job = Job(tmp_path, scaled([1, 1, 1]), {"x": x}, metric="retrieval")
    other = save(tmp_path, scaled([3, 3, 3.0001]))
    assert job.measure(other, "train") == 1


def test_tokens_are_averaged_and_only_so_many_samples_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "MOST_NEIGHBOURS", 10)
    x = inputs(100, (5, 3))
    model = scaled([1, 1, 1], shape=["n", 5, 3])
    job = Job(tmp_path, model, {"x": x}, metric="retrieval")
    other = save(tmp_path, scaled([1, 1, 0.1], shape=["n", 5, 3]))
    first = column(job.dataset, "train", "x").astype(np.float64)[:10].mean(1)
    expected = (neighbours(first) == neighbours(first * [1, 1, 0.1])).mean()
    found = job.measure(other, "train")
    assert found == pytest.approx(expected)


def test_a_kept_reference_serves_many_models(tmp_path: Path) -> None:
    job = Job(tmp_path, plain(ARGMAX, **CHOICE)(0, 17), {"x": X})
    kept = tmp_path / "reference"
    keep_reference(job.path, job.dataset, "eval", job.objective, kept)
    for seed in range(3):
        other = save(tmp_path, plain(ARGMAX, **CHOICE)(seed, 17))
        found = evaluate(other, None, job.dataset, "eval", job.objective, kept)
        x = column(job.dataset, "eval", "x")
        chosen, expected = (
            session(plain(ARGMAX, **CHOICE)(number, 17)).run(None, {"x": x})[0]
            for number in (seed, 0)
        )
        assert found == (chosen == expected).mean()
        assert (found == 1) or seed


def test_a_model_that_does_not_run_where_the_original_does_is_a_fault_of_ours(
    tmp_path: Path,
) -> None:
    job = Job(tmp_path, scaled([1, 1, 1]), {"x": X})
    torn = tmp_path / "torn.onnx"
    torn.write_bytes(job.path.read_bytes()[:40])
    with pytest.raises(InternalError, match=r"torn\.onnx does not run on the eval part"):
        job.measure(torn, "eval")


def only_small(limit: float) -> ModelProto:
    """Looks a row up whose number is the sample: runs for numbers below the table's rows."""
    nodes = [node("Cast", ["x"], ["i"], to=7), node("Gather", ["table", "i"], ["y"])]
    return model_of(
        graph_of(
            nodes,
            [value("x", ["n"])],
            [value("y", ["n", 2])],
            {"table": np.ones((int(limit), 2), np.float32)},
        )
    )


def test_a_sample_that_the_original_does_not_take_is_bad_data(tmp_path: Path) -> None:
    """It is named as the caller has it, though samples are fed many at a time."""
    arrays = {"x": np.zeros(20), "test_x": np.array([0, 0, 0, 5.0, 0])}
    job = Job(tmp_path, only_small(3), arrays)
    assert job.objective.batched
    words = (
        r"^data\.npz: array 'test_x', sample 3: the model does not run on it: .*; compare its sizes"
    )
    with pytest.raises(BadData, match=words):
        job.measure(job.path, "test")
    with pytest.raises(BadData, match=words):
        require_runs(job.path, job.dataset, ["test"], job.objective)
    require_runs(job.path, job.dataset, ["train", "eval"], job.objective)


def test_an_original_that_gives_no_numbers_teaches_nothing(tmp_path: Path) -> None:
    nodes = [node("Log", ["x"], ["y"])]
    model = model_of(graph_of(nodes, [value("x", ["n", 3])], [value("y", ["n", 3])]))
    x = np.abs(X) + 1
    x[17, 2] = -1
    job = Job(tmp_path, model, {"x": x, "eval_x": x[:5], "test_x": x[:5]})
    words = r"^data\.npz: array 'x', sample 17: the original gives NaN or infinity on it"
    with pytest.raises(BadData, match=words):
        record_teacher(job.path, job.dataset, job.objective)


def test_half_precision_and_whole_feeds_reach_the_training_graph_as_they_are(
    tmp_path: Path,
) -> None:
    """The graph was widened to float32 and takes [2, 3] a feed; the data holds float16 [samples, 2, 3]."""
    half = scaled([2, 2, 2], shape=[2, 3])
    for tensor in (half.graph.input[0], half.graph.output[0]):
        tensor.type.tensor_type.elem_type = TensorProto.FLOAT16
    half.graph.initializer[0].CopyFrom(scaled(1).graph.initializer[0])
    half.graph.initializer[0].data_type = TensorProto.FLOAT16
    half.graph.initializer[0].ClearField("float_data")
    half.graph.initializer[0].raw_data = np.array(2, np.float16).tobytes()
    x = inputs(30, (2, 3)).astype(np.float16)
    job = Job(tmp_path, half, {"x": x})
    assert job.dataset.whole == {"x"}
    record_teacher(job.path, job.dataset, job.objective)
    assert column(job.dataset, "train", teacher_name(0)).shape == (24, 2, 3)
    graph = attach(scaled([3, 3, 3], shape=[2, 3]), job.objective, job.dataset)
    running = session(graph)
    sums = np.zeros(2)
    for sample in range(24):
        feed = {
            given.name: np.load(job.dataset.shared / file)[sample : sample + 1]
            for given in graph.graph.input
            for file in [_file(job, given.name)]
        }
        assert feed["x"].dtype == np.float16
        loss, *pair = running.run(None, feed)
        assert loss > 0
        sums += pair
    # |3x - 2x| / |2x|
    assert 1 - (sums[0] / sums[1]) ** 0.5 == pytest.approx(0.5, abs=1e-3)


def _file(job: Job, name: str) -> str:
    description = json.loads((job.dataset.shared / "dataset.json").read_text())
    found: str = description["parts"]["train"][0]["files"][name]
    return found


@pytest.mark.parametrize("name", ["loss", "labels", "metric_sum"])
def test_values_of_the_model_make_way_for_the_names_of_the_training_graph(
    name: str, tmp_path: Path
) -> None:
    nodes = [node("Mul", ["x", "f"], [name]), node("Neg", [name], ["y"])]
    outputs = [value(name, ["n", 3]), value("y", ["n", 3])]
    model = model_of(
        graph_of(nodes, [value("x", ["n", 3])], outputs, {"f": np.array(2, np.float32)})
    )
    job = Job(tmp_path, model, {"x": X, "labels": TARGETS[:, :3]})
    assert job.objective.loss == "squared-error"
    graph = attach(model, job.objective, job.dataset)
    (feed,) = job.dataset.batches("eval", 64)
    loss = session(graph).run(["loss"], feed)[0]
    expected = np.square(2 * feed["x"] - feed["labels"]).mean()
    assert loss == pytest.approx(float(expected), rel=1e-5)
