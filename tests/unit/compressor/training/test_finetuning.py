"""Training orders one by one: what is trained, with what, and what comes back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto

from sparsebook_compressor.clock import Clock
from sparsebook_compressor.errors import BadData, BadValue
from sparsebook_compressor.training.course.rounds import prune, prune_and_retrain, share
from sparsebook_compressor.training.orders.graphs import write_inference
from tests.unit.compressor.models import graph_of, model_of, node, value
from tests.unit.compressor.training.bench import (
    CLASSES,
    FEATURES,
    Bench,
    Program,
    blobs,
    fitted,
    mlp,
)
from tests.unit.compressor.training.test_packing import nested
from tests.unit.compressor.training.test_sensitivity import sequences

CLOCK = Clock(None, training=True)


def run(path: Path, x: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def plain(**raw: Any) -> dict[str, Any]:
    return {"weights": {"*": {"density": 1.0, "bits": 4}}, "prune": {"rounds": 2}, **raw}


def test_before_anything_is_done_the_graph_is_the_users_model(tmp_path: Path) -> None:
    bench = Bench.of(tmp_path, nested(), blobs(60))
    write_inference(tmp_path / "now.onnx", bench.tuning.task, bench.tuning.values)
    x = blobs(30, seed=2)["x"]
    np.testing.assert_allclose(
        run(tmp_path / "now.onnx", x), run(tmp_path / "model.onnx", x), atol=1e-5
    )


def test_the_graph_can_be_written_with_other_values(tmp_path: Path) -> None:
    bench = Bench.of(tmp_path, mlp(), blobs(60))
    other = bench.tuning.values.fork()
    other.write("fc2", np.zeros(256, np.float32))
    other.write_vector("b2", np.arange(CLASSES, dtype=np.float32))
    write_inference(tmp_path / "other.onnx", bench.tuning.task, other)
    x = blobs(30, seed=2)["x"]
    np.testing.assert_array_equal(run(tmp_path / "other.onnx", x), [np.arange(CLASSES)] * 30)
    write_inference(tmp_path / "now.onnx", bench.tuning.task, bench.tuning.values)
    assert np.abs(run(tmp_path / "now.onnx", x)).max() > 1


def test_the_rate_is_what_the_users_own_weights_add_to_the_loss(tmp_path: Path) -> None:
    found = []
    for rate in (0.0, 0.75):
        bench = Bench.of(tmp_path / str(rate), mlp(), blobs(100), **plain())
        bench.tuning.retrain(["fc1", "fc2"], 1, 1, rate)
        found.append(bench.tuning.journal.phases[0].epochs[0].eval_loss)
    assert found[1] - found[0] == pytest.approx(0.75, rel=1e-4)


def test_only_what_is_asked_for_is_trained_and_what_is_zero_stays_so(tmp_path: Path) -> None:
    program = Program()
    weights = {"fc1": {"density": 0.7, "bits": 4}, "fc2": {"density": 1.0, "bits": 4}}
    raw = plain(weights=weights, train={"learning_rate": 0.01})
    bench = Bench.of(tmp_path, mlp(), blobs(), program, **raw)
    prune(bench.plan, bench.tuning.values, CLOCK)
    before = {name: np.array(bench.tuning.values.read(name)) for name in ("fc1", "fc2")}
    bench.tuning.retrain(["fc1"], 1, 2, 0.0)
    held = bench.tuning.values
    np.testing.assert_array_equal(held.read("fc2"), before["fc2"])
    np.testing.assert_array_equal(held.read("fc1") == 0, before["fc1"] == 0)
    assert bench.tuning.journal.phases[0].kept_epoch > 0
    assert (held.read("fc1") != before["fc1"]).mean() > 0.6
    (order,) = program.orders
    assert set(order["parameters"]) == {"fc1", "b1", "b2"}


def test_tuning_moves_centroids_and_leaves_every_code(tmp_path: Path) -> None:
    raw = plain(
        weights={"fc1": {"density": 0.8, "bits": 3}, "fc2": {"density": 0.3, "bits": 3}},
        train={"learning_rate": 0.01},
    )
    bench = Bench.of(tmp_path, mlp(), blobs(), **raw)
    held = bench.tuning.values
    prune(bench.plan, held, CLOCK)
    share(bench.plan, bench.weights, held, "operator", CLOCK)
    codes = {name: np.array(held.codes(name)) for name in held.codebooks}
    before = held.codebooks
    bench.tuning.tune(["fc1", "fc2"], epochs=3)
    assert bench.tuning.journal.phases[0].kept_epoch > 0
    for name, codebook in held.codebooks.items():
        np.testing.assert_array_equal(held.codes(name), codes[name])
        assert codebook.shape == before[name].shape
        assert (codebook != before[name]).all()
        assert (held.read(name)[codes[name] == 0] == 0).all()
    epochs = bench.tuning.journal.phases[0].epochs
    losses = [epoch.eval_loss for epoch in epochs]
    assert losses[bench.tuning.journal.phases[0].kept_epoch] == min(
        loss for loss in losses if loss is not None
    )


def test_with_nothing_better_than_the_start_the_start_is_kept_to_the_bit(tmp_path: Path) -> None:
    """The original against its own outputs cannot become better."""
    program = Program()
    raw = plain(train={"loss": "distill", "learning_rate": 0.5, "epochs": 1})
    bench = Bench.of(tmp_path, mlp(), {"x": blobs(100)["x"]}, program, **raw)
    bench.tuning.retrain(["fc1", "fc2"], 1, 1, 0.0)
    (phase,) = bench.tuning.journal.phases
    assert (phase.kept_epoch, phase.retries, phase.ended) == (0, 1, "finished")
    assert [order["learning_rate"] for order in program.orders] == [0.5, 0.125]
    for name in ("fc1", "fc2"):
        np.testing.assert_array_equal(bench.tuning.values.read(name), fitted()[name].ravel())
    for name, vector in bench.tuning.values.vectors.items():
        np.testing.assert_array_equal(vector, fitted()[name])


def test_a_weight_without_a_gradient_is_pruned_and_not_trained(tmp_path: Path) -> None:
    program = Program()
    raw = {
        "weights": {"*": {"density": 0.5, "bits": 4}},
        "prune": {"rounds": 1},
        "train": {"epochs": 1},
    }
    bench = Bench.of(tmp_path, nested(), blobs(100), program, **raw)
    frozen = {each.weight for each in bench.tuning.task.trainable.frozen}
    assert frozen == {"then.w", "other.w"}
    prune_and_retrain(bench.plan, bench.tuning)
    for name in frozen:
        array = bench.weights[name].read()
        found = bench.tuning.values.read(name)
        assert np.count_nonzero(found) == 80
        np.testing.assert_array_equal(found[found != 0], array[found != 0])
    assert not {
        name for name in program.orders[0]["parameters"] if name.split(".")[0] in ("then", "other")
    }


def test_where_nothing_has_a_gradient_nothing_is_ordered(tmp_path: Path) -> None:
    """The one weight that is planned is behind a Floor, the other one is skipped, and there is no bias."""
    rng = np.random.default_rng(0)
    held = {
        "w": rng.standard_normal((FEATURES, 20)).astype(np.float32),
        "v": rng.standard_normal((20, 16)).astype(np.float32),
    }
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Floor", ["h"], ["f"]),
        node("MatMul", ["f", "v"], ["y"]),
    ]
    graph = graph_of(nodes, [value("x", ["n", FEATURES])], [value("y", ["n", 16])], held)
    program = Program()
    raw = {"weights": {"v": {"skip": True}, "w": {"density": 0.5, "bits": 4}}}
    bench = Bench.of(tmp_path, model_of(graph), {"x": blobs(60)["x"]}, program, **raw)
    assert [each.weight for each in bench.tuning.task.trainable.frozen] == ["w"]
    prune_and_retrain(bench.plan, bench.tuning)
    share(bench.plan, bench.weights, bench.tuning.values, "operator", CLOCK)
    bench.tuning.tune(["w"])
    assert program.orders == []
    assert bench.tuning.journal.phases == []


def test_a_weight_that_is_pruned_whole_is_left_out(tmp_path: Path) -> None:
    program = Program()
    raw = plain(
        weights={"fc1": {"density": 0.0}, "fc2": {"density": 0.5, "bits": 3}}, train={"epochs": 1}
    )
    bench = Bench.of(tmp_path, mlp(), blobs(100), program, **raw)
    prune_and_retrain(bench.plan, bench.tuning)
    share(bench.plan, bench.weights, bench.tuning.values, "operator", CLOCK)
    bench.tuning.tune(["fc1", "fc2"])
    assert bench.tuning.values.nonzeros("fc1") == 0
    assert not any("fc1" in name for order in program.orders for name in order["parameters"])


def test_a_model_that_takes_one_whole_sample_at_a_time_is_trained(tmp_path: Path) -> None:
    program = Program()
    model, arrays = sequences()
    raw = plain(weights={"*": {"density": 0.4, "bits": 4}}, train={"epochs": 2, "batch_size": 8})
    bench = Bench.of(tmp_path, model, arrays, program, **raw)
    prune_and_retrain(bench.plan, bench.tuning)
    assert all((order["feed"], order["batch_size"]) == (1, 8) for order in program.orders)
    phases = bench.tuning.journal.phases
    first, last = phases[0].epochs[0], phases[-1].epochs[-1]
    assert first.eval_loss is not None
    assert last.eval_loss is not None
    assert bench.tuning.journal.phases[0].kept_epoch > 0


def test_densities_are_those_of_the_planned_weights(tmp_path: Path) -> None:
    raw = plain(
        weights={"fc1": {"density": 0.25, "bits": 4}, "fc2": {"skip": True}}, train={"epochs": 1}
    )
    bench = Bench.of(tmp_path, mlp(), blobs(100), **{**raw, "prune": {"rounds": 1}})
    prune_and_retrain(bench.plan, bench.tuning)
    assert [phase.density for phase in bench.tuning.journal.phases] == [0.25]
    # Orders are as large as the model, and so is what comes back: neither stays when it has been read.
    assert list((tmp_path / "scratch" / "orders").iterdir()) == []


def test_integer_inputs_keep_their_dtype(tmp_path: Path) -> None:
    """An embedding of int32 tokens, looked up and averaged."""
    rng = np.random.default_rng(0)
    held = {
        "table": rng.standard_normal((30, 16)).astype(np.float32),
        "v": rng.standard_normal((16, 12)).astype(np.float32),
    }
    nodes = [
        node("Gather", ["table", "tokens"], ["g"]),
        node("ReduceMean", ["g"], ["m"], axes=[1], keepdims=0),
        node("MatMul", ["m", "v"], ["y"]),
    ]
    graph = graph_of(
        nodes, [value("tokens", ["n", 6], TensorProto.INT32)], [value("y", ["n", 12])], held
    )
    arrays = {"tokens": rng.integers(0, 30, (80, 6)).astype(np.int32)}
    raw = plain(
        weights={"*": {"density": 0.4, "bits": 4}}, train={"epochs": 1, "learning_rate": 0.01}
    )
    bench = Bench.of(tmp_path, model_of(graph), arrays, **{**raw, "prune": {"rounds": 1}})
    prune_and_retrain(bench.plan, bench.tuning)
    assert bench.tuning.journal.phases[0].kept_epoch == 1
    assert bench.tuning.values.nonzeros("table") == 192


@pytest.mark.parametrize("prefix", ["", "eval_", "test_"])
def test_a_sample_that_the_model_does_not_take_is_known_before_anything_is_trained(
    prefix: str, tmp_path: Path
) -> None:
    """A token beyond the table, with labels, so that nobody else needs the original."""
    rng = np.random.default_rng(0)
    held = {"table": rng.standard_normal((30, 16)).astype(np.float32)}
    nodes = [
        node("Gather", ["table", "tokens"], ["g"]),
        node("ReduceMean", ["g"], ["y"], axes=[1], keepdims=0),
    ]
    given = [value("tokens", ["n", 6], TensorProto.INT64)]
    model = model_of(graph_of(nodes, given, [value("y", ["n", 16])], held))
    arrays: dict[str, np.ndarray] = {}
    for part in ("", "eval_", "test_"):
        arrays[f"{part}tokens"] = rng.integers(0, 30, (80, 6))
        arrays[f"{part}labels"] = rng.integers(0, 16, 80)
    arrays[f"{prefix}tokens"][72, 5] = 30
    raw = plain(train={"epochs": 1, "loss": "labels"})
    words = rf"data\.npz: array '{prefix}tokens', sample 72: the model does"
    with pytest.raises(BadData, match=words):
        Bench.of(tmp_path, model, arrays, **raw)


def test_noise_is_for_the_inputs_of_floats_and_for_them_alone(tmp_path: Path) -> None:
    program = Program()
    raw = plain(train={"noise": 0.25})
    bench = Bench.of(tmp_path, mlp(), blobs(), program, **raw)
    bench.tuning.retrain(["fc1", "fc2"], 1, 1, 0.0)
    settings = replace(bench.tuning.task.settings, noise=0.0)
    bench.tuning.task = replace(bench.tuning.task, settings=settings)
    bench.tuning.retrain(["fc1", "fc2"], 2, 1, 0.0)
    with_noise, without = program.orders
    assert with_noise["noise"] == dict.fromkeys(bench.tuning.task.dataset.floats, 0.25)
    assert len(with_noise["noise"]) == 1
    assert "noise" not in without


def test_what_can_be_moved_is_moved_in_retraining_and_not_in_tuning(tmp_path: Path) -> None:
    nodes = [node("Flatten", ["x"], ["row"]), *mlp().graph.node]
    nodes[1].input[0] = "row"
    shape = (4, FEATURES // 4)
    given = [value("x", ["n", *shape])]
    model = model_of(graph_of(nodes, given, [value("y", ["n", CLASSES])], fitted()))
    arrays = blobs()
    arrays["x"] = arrays["x"].reshape(-1, *shape)
    program = Program()
    bench = Bench.of(tmp_path, model, arrays, program, **plain(train={"shift": 1}))
    bench.tuning.retrain(["fc1", "fc2"], 1, 1, 0.0)
    share(bench.plan, bench.weights, bench.tuning.values, "operator", CLOCK)
    bench.tuning.tune(["fc1", "fc2"], epochs=1)
    assert program.orders[0]["shift"] == {"x": 1}
    assert "shift" not in program.orders[-1]
    assert all("noise" not in order for order in program.orders)


def test_a_shift_of_samples_without_two_axes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"config train\.shift: no input of the model"):
        Bench.of(tmp_path, mlp(), blobs(), **plain(train={"shift": 1}))


def test_weights_decay_and_centroids_do_not(tmp_path: Path) -> None:
    program = Program()
    raw = plain(weights={"*": {"density": 0.5, "bits": 3}}, train={"weight_decay": 0.25})
    bench = Bench.of(tmp_path, mlp(), blobs(), program, **raw)
    prune(bench.plan, bench.tuning.values, CLOCK)
    bench.tuning.retrain(["fc1", "fc2"], 1, 1, 0.0)
    share(bench.plan, bench.weights, bench.tuning.values, "operator", CLOCK)
    bench.tuning.tune(["fc1", "fc2"], epochs=1)
    assert {order["weight_decay"] for order in program.orders[:1]} == {0.25}
    assert program.orders[-1]["weight_decay"] == 0.0


def test_elements_choose_their_centroid_anew_where_the_graph_sees_centroids(tmp_path: Path) -> None:
    raw = {
        "weights": {"fc1": {"density": 1.0, "bits": 2}, "fc2": {"density": 0.3, "bits": 2}},
        "prune": {"rounds": 1},
        "train": {"learning_rate": 0.003},
    }
    bench = Bench.of(tmp_path, mlp(), blobs(), **raw)
    prune(bench.plan, bench.tuning.values, CLOCK)
    floats = bench.tuning.values.fork()
    share(bench.plan, bench.weights, bench.tuning.values, "operator", CLOCK)
    before = {name: bench.tuning.values.codes(name).copy() for name in ("fc1", "fc2")}
    codebooks = bench.tuning.values.codebooks
    bench.tuning.settle(["fc1", "fc2"], floats, 2, 12)
    (phase,) = bench.tuning.journal.phases
    assert (phase.stage, phase.number) == ("retrain", 2)
    assert phase.kept_epoch > 0
    assert phase.epochs[phase.kept_epoch].eval_loss < 0.9 * phase.epochs[0].eval_loss
    for name, codes in before.items():
        found = bench.tuning.values.codes(name)
        np.testing.assert_array_equal(found != 0, codes != 0)
        assert (found != codes).any()
        assert found.max() <= len(codebooks[name])
        np.testing.assert_array_equal(bench.tuning.values.codebooks[name], codebooks[name])
    # What was trained is what is there now: tuning starts where this ended.
    bench.tuning.tune(["fc1", "fc2"])
    start = bench.tuning.journal.phases[1].epochs[0].eval_loss
    assert start == pytest.approx(phase.epochs[phase.kept_epoch].eval_loss, rel=1e-3)


def test_a_copy_of_the_original_has_nothing_to_learn_from_it(tmp_path: Path) -> None:
    """Retraining begins with the first round that takes something from a weight."""
    data = {"x": blobs()["x"]}
    for density, orders in ((1.0, 0), (0.9, 2)):
        raw = {"weights": {"*": {"density": density, "bits": 4}}, "train": {"epochs": 2}}
        program = Program()
        bench = Bench.of(tmp_path / str(density), mlp(), data, program, **raw, prune={"rounds": 2})
        prune_and_retrain(bench.plan, bench.tuning)
        assert len(program.orders) == orders
    labelled = Program()
    bench = Bench.of(tmp_path / "labels", mlp(), blobs(), labelled, **plain(train={"epochs": 2}))
    prune_and_retrain(bench.plan, bench.tuning)
    assert len(labelled.orders) == 2
