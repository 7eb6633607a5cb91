"""What pruning one weight alone costs, by hand and by the training graph."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto

from sparsebook_compressor.training.course import sensitivity
from sparsebook_compressor.training.course.sensitivity import DENSITIES, Sensitivity, sensitivities
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

DISTILLED: dict[str, Any] = {"train": {"loss": "distill"}, "budget": {"metric": "fidelity"}}


def found(bench: Bench, folder: Path) -> dict[str, Sensitivity]:
    return sensitivities(bench.tuning, bench.plan.rows, folder)


def pruned(array: np.ndarray, density: float) -> np.ndarray:
    keep = int(density * array.size + 0.5)
    flat = array.ravel().copy()
    flat[np.argsort(-np.abs(flat), kind="stable")[keep:]] = 0
    return flat.reshape(array.shape)


def scores(x: np.ndarray, held: dict[str, np.ndarray]) -> np.ndarray:
    hidden = np.maximum(x.astype(np.float64) @ held["fc1"] + held["b1"], 0)
    return hidden @ held["fc2"] + held["b2"]


def test_damage_is_the_loss_that_is_added_by_hand(tmp_path: Path) -> None:
    """Distillation without labels: mean squared error over the original's mean square on the train part."""
    program = Program()
    bench = Bench.of(tmp_path, mlp(), {"x": blobs()["x"]}, program, train={"loss": "distill"})
    held = fitted()
    parts = {
        part: np.concatenate(
            [feed["x"] for feed in bench.tuning.task.dataset.batches(part, 64, ["x"])]
        )
        for part in ("train", "eval")
    }
    scale = np.square(scores(parts["train"], held)).mean()
    before = scores(parts["eval"], held)
    for name, result in found(bench, tmp_path / "sensitivity").items():
        assert result.densities == (1.0, *DENSITIES)
        assert result.damage[0] == 0
        highest = 0.0
        for density, damage in zip(result.densities[1:], result.damage[1:], strict=True):
            after = scores(parts["eval"], {**held, name: pruned(held[name], density)})
            highest = max(highest, float(np.square(after - before).mean() / scale))
            assert damage == pytest.approx(highest, rel=1e-3)
        assert highest > 0.1
    assert program.orders == []


def test_damage_never_falls_as_the_density_does(tmp_path: Path) -> None:
    bench = Bench.of(tmp_path, mlp(), blobs())
    for result in found(bench, tmp_path / "sensitivity").values():
        assert list(result.damage) == sorted(result.damage)
        assert list(result.densities) == sorted(result.densities, reverse=True)
        assert result.felt


def noisy() -> ModelProto:
    """The classifier of the blobs, with a random product of the same input added to its scores; and a head that no loss sees."""
    rng = np.random.default_rng(3)
    held = fitted() | {
        "noise": rng.standard_normal((FEATURES, CLASSES)).astype(np.float32),
        "head": rng.standard_normal((FEATURES, CLASSES)).astype(np.float32),
    }
    nodes = [
        node("Gemm", ["x", "fc1", "b1"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "fc2", "b2"], ["s"]),
        node("MatMul", ["x", "noise"], ["n"]),
        node("Add", ["s", "n"], ["y"]),
        node("MatMul", ["x", "head"], ["z"]),
    ]
    ends = [value(name, ["n", CLASSES]) for name in ("y", "z")]
    return model_of(graph_of(nodes, [value("x", ["n", FEATURES])], ends, held))


def test_what_does_harm_is_felt_though_pruning_it_does_no_damage(tmp_path: Path) -> None:
    bench = Bench.of(tmp_path, noisy(), blobs(), train={"loss": "labels"})
    results = found(bench, tmp_path / "sensitivity")
    assert results["noise"].felt
    assert set(results["noise"].damage) == {0.0}
    assert results["fc1"].felt
    assert results["fc1"].damage[-1] > 0
    assert not results["head"].felt


def test_it_is_of_the_users_own_weights_whatever_has_been_done_to_them(tmp_path: Path) -> None:
    bench = Bench.of(tmp_path, mlp(), blobs())
    before = found(bench, tmp_path / "before")
    bench.tuning.values.write("fc1", np.zeros(640, np.float32))
    bench.tuning.values.share("fc2", np.ones(256, np.uint8), np.ones(1, np.float32))
    assert found(bench, tmp_path / "after") == before


def test_the_test_part_is_not_read(tmp_path: Path) -> None:
    bench = Bench.of(tmp_path, mlp(), blobs())
    (tmp_path / "data" / "test").rename(tmp_path / "away")
    assert set(found(bench, tmp_path / "sensitivity")) == {"fc1", "fc2"}


def test_many_weights_are_looked_at_more_coarsely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench.of(tmp_path, mlp(), blobs())
    fine = found(bench, tmp_path / "fine")
    for most, rungs in ((10, 5), (1, 3)):
        monkeypatch.setattr(sensitivity, "MOST_RUNS", most)
        for name, coarse in found(bench, tmp_path / str(most)).items():
            assert len(coarse.densities) == 1 + rungs
            assert coarse.densities[-1] == DENSITIES[-1]
            known = dict(zip(fine[name].densities, fine[name].damage, strict=True))
            for density, damage in zip(coarse.densities, coarse.damage, strict=True):
                assert damage <= known[density] + 1e-9


def test_weights_do_not_stand_in_memory_side_by_side(tmp_path: Path) -> None:
    """Of float16 weights, which cannot be mapped as they are: eight of 1 MB each as float32."""
    width = 512
    rng = np.random.default_rng(0)
    held = {
        f"w{number}": (rng.standard_normal((width, width)) / np.sqrt(width)).astype(np.float16)
        for number in range(8)
    }
    nodes = [node("MatMul", [f"h{n}", f"w{n}"], [f"h{n + 1}"]) for n in range(8)]
    ends = [value(name, ["n", width], TensorProto.FLOAT16) for name in ("h0", "h8")]
    model = model_of(graph_of(nodes, ends[:1], ends[1:], held))
    arrays = {"h0": rng.standard_normal((40, width)).astype(np.float16)}
    bench = Bench.of(tmp_path, model, arrays, weights={"*": {"density": 0.5, "bits": 4}})
    tracemalloc.start()
    try:
        results = found(bench, tmp_path / "sensitivity")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert all(result.damage[-1] > 0.01 for result in results.values())
    assert peak < 7 * 4 * width * width
    assert not (tmp_path / "sensitivity").exists()


def sequences() -> tuple[ModelProto, dict[str, np.ndarray]]:
    """A model that takes one sequence of five at a time, and a number beside it; and samples for it."""
    rng = np.random.default_rng(0)
    held = {
        "w": rng.standard_normal((FEATURES, 16)).astype(np.float32),
        "v": rng.standard_normal((16, 12)).astype(np.float32),
        "b": np.zeros(16, np.float32),
    }
    nodes = [
        node("Mul", ["x", "scale"], ["s"]),
        node("MatMul", ["s", "w"], ["h"]),
        node("Add", ["h", "b"], ["g"]),
        node("Tanh", ["g"], ["t"]),
        node("MatMul", ["t", "v"], ["y"]),
    ]
    inputs = [value("x", [5, FEATURES]), value("scale", [], TensorProto.FLOAT)]
    model = model_of(graph_of(nodes, inputs, [value("y", [5, 12])], held))
    arrays = {
        "x": rng.standard_normal((60, 5, FEATURES)).astype(np.float32),
        "scale": rng.uniform(0.5, 1.5, 60).astype(np.float32),
    }
    return model, arrays


def test_models_that_take_one_whole_sample_at_a_time(tmp_path: Path) -> None:
    bench = Bench.of(tmp_path, *sequences())
    assert not bench.tuning.task.objective.batched
    results = found(bench, tmp_path / "sensitivity")
    assert set(results) == {"w", "v"}
    assert all(result.damage[-1] > 0.1 for result in results.values())
