"""Pruning in rounds with retraining in between, and sharing: which elements are left, and how many."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsebook_compressor import Config, admit
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.errors import NotFinite
from sparsebook_compressor.graph.view import Weight, survey
from sparsebook_compressor.plan import Plan, make_plan
from sparsebook_compressor.training.course.rounds import as_coded, prune, prune_and_retrain, share
from sparsebook_compressor.training.orders.settings import density_of_round
from sparsebook_compressor.training.orders.values import Values
from tests.unit.compressor.models import free, graph_of, model_of, node, value, values
from tests.unit.compressor.training.bench import Bench, Program, blobs, mlp, save

SHAPES = {"w1": (24, 50), "w2": (50, 30), "w3": (30, 40)}
CLOCK = Clock(None, training=True)


class Held:
    """A chain of weights, their plan, and what they are."""

    def __init__(
        self, folder: Path, arrays: dict[str, np.ndarray] | None = None, **raw: Any
    ) -> None:
        folder.mkdir(exist_ok=True)
        arrays = arrays or {name: values(*shape) for name, shape in SHAPES.items()}
        ends = ["x", *(f"h{name}" for name in list(arrays)[:-1]), "y"]
        nodes = [node("MatMul", [ends[at], name], [ends[at + 1]]) for at, name in enumerate(arrays)]
        graph = graph_of(nodes, [value("x", ["n", 24])], [free("y", 2)], arrays)
        path = save(folder / "model.onnx", model_of(graph))
        view = survey(admit.load(path), path)
        self.weights: dict[str, Weight] = {weight.name: weight for weight in view.weights}
        self.plan: Plan = make_plan(view, Config.parse({"preset": "paper", **raw}))
        self.values = Values(view.weights, folder / "values")
        self.arrays = {name: array.ravel() for name, array in arrays.items()}

    def alive(self) -> dict[str, np.ndarray]:
        return {name: self.values.read(name) != 0 for name in self.arrays}

    def prune(self, number: int = 1, rounds: int = 1) -> None:
        prune(self.plan, self.values, CLOCK, number, rounds)


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_every_round_leaves_exactly_its_density(rounds: int, tmp_path: Path) -> None:
    densities = {"w1": 0.05, "w2": 0.3, "w3": 1.0}
    raw = {name: {"density": density} for name, density in densities.items()}
    held = Held(tmp_path, weights=raw)
    for number in range(1, rounds + 1):
        held.prune(number, rounds)
        for name, density in densities.items():
            array, alive = held.arrays[name], held.values.read(name) != 0
            keep = int(density_of_round(density, number, rounds) * array.size + 0.5)
            assert alive.sum() == keep
            # The largest ones survive, and they are what they were.
            assert np.abs(array[alive]).min() >= np.abs(array[~alive]).max(initial=0)
            np.testing.assert_array_equal(held.values.read(name)[alive], array[alive])
    assert held.values.nonzeros("w1") == 60


def test_nothing_and_everything_can_be_pruned(tmp_path: Path) -> None:
    held = Held(tmp_path, weights={"w1": {"density": 0.0}, "w2": {"density": 1.0}})
    for number in (1, 2, 3):
        held.prune(number, 3)
    assert held.values.nonzeros("w1") == 0
    np.testing.assert_array_equal(held.values.read("w2"), held.arrays["w2"])


def test_a_threshold_is_kept_in_every_round(tmp_path: Path) -> None:
    held = Held(tmp_path, weights={"w1": {"threshold": 0.15}, "w2": {"density": 0.1}})
    for number in (1, 2):
        held.prune(number, 2)
        expected = np.abs(held.arrays["w1"]) > 0.15
        np.testing.assert_array_equal(held.alive()["w1"], expected)
    # What training has moved below it goes; what it has moved up stays.
    moved = held.values.read("w1") * np.where(np.arange(1200) % 2, 0.5, 2).astype(np.float32)
    held.values.write("w1", moved)
    held.prune(2, 2)
    np.testing.assert_array_equal(held.alive()["w1"], np.abs(moved) > 0.15)


def test_a_global_rank_takes_all_weights_together_round_by_round(tmp_path: Path) -> None:
    arrays = {name: values(*shape) for name, shape in SHAPES.items()}
    arrays["w2"] = arrays["w2"] * 3
    raw = {
        name: {"density": density} for name, density in zip(SHAPES, (0.1, 0.2, 0.4), strict=True)
    }
    held = Held(tmp_path, arrays, weights=raw, prune={"scope": "global"})
    whole = np.concatenate(list(held.arrays.values()))
    for number in (1, 2):
        held.prune(number, 2)
        alive = np.concatenate(list(held.alive().values()))
        shares = [density_of_round(density, number, 2) for density in (0.1, 0.2, 0.4)]
        keep = sum(
            int(share * size + 0.5) for share, size in zip(shares, (1200, 1500, 1200), strict=True)
        )
        assert alive.sum() == keep
        assert np.abs(whole[alive]).min() >= np.abs(whole[~alive]).max()
    assert held.alive()["w2"].mean() > held.alive()["w3"].mean()


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
def test_ties_of_a_global_rank_go_to_the_weights_that_come_first(
    density: float, tmp_path: Path
) -> None:
    equal = np.full((24, 24), 0.5, np.float32)
    arrays = {"w1": equal, "w2": -equal, "w3": equal}
    raw = {"*": {"density": density}}
    held = Held(tmp_path, arrays, weights=raw, prune={"scope": "global"})
    held.prune()
    keep = 3 * int(576 * density + 0.5)
    kept = [int(each.sum()) for each in held.alive().values()]
    assert kept == [min(576, keep), min(576, max(0, keep - 576)), max(0, keep - 1152)]


def test_a_threshold_stands_beside_a_global_rank(tmp_path: Path) -> None:
    raw = {"w1": {"threshold": 0.15}, "w2": {"density": 0.2}, "w3": {"density": 0.2}}
    held = Held(tmp_path, weights=raw, prune={"scope": "global"})
    held.prune()
    np.testing.assert_array_equal(held.alive()["w1"], np.abs(held.arrays["w1"]) > 0.15)
    assert held.alive()["w2"].sum() + held.alive()["w3"].sum() == 300 + 240


def test_a_weight_that_the_config_skips_is_not_touched(tmp_path: Path) -> None:
    held = Held(tmp_path, weights={"w1": {"skip": True}})
    held.prune()
    np.testing.assert_array_equal(held.values.read("w1"), held.arrays["w1"])
    share(held.plan, held.weights, held.values, "operator", CLOCK)
    assert set(held.values.codebooks) == {"w2", "w3"}


def test_a_weight_that_is_not_finite_is_named(tmp_path: Path) -> None:
    broken = values(24, 50).copy()
    broken[2, 3] = np.nan
    arrays = {"w1": values(24, 24), "w2": broken}
    with pytest.raises(NotFinite, match="'w2'"):
        Held(tmp_path, arrays, weights={"*": {"density": 0.5, "bits": 4}}).prune()


@settings(max_examples=20)
@given(st.floats(0.02, 1.0), st.integers(1, 6), st.integers(1, 4))
def test_once_pruned_always_pruned(
    tmp_path_factory: pytest.TempPathFactory, density: float, rounds: int, bits: int
) -> None:
    """Whatever training does to the survivors in between, short of making them zero."""
    raw = {"*": {"density": density, "bits": bits}}
    held = Held(tmp_path_factory.mktemp("rounds"), weights=raw)
    rng = np.random.default_rng(rounds)
    before = {name: np.ones(array.size, bool) for name, array in held.arrays.items()}
    for number in range(1, rounds + 1):
        held.prune(number, rounds)
        for name, alive in held.alive().items():
            assert not (alive & ~before[name]).any()
            before[name] = alive
            moved = held.values.read(name) * rng.uniform(0.1, 3, alive.size).astype(np.float32)
            held.values.write(name, moved)
    share(held.plan, held.weights, held.values, "operator", CLOCK)
    for name, array in held.arrays.items():
        found = held.values.read(name)
        assert np.count_nonzero(found) == int(density * array.size + 0.5)
        np.testing.assert_array_equal(held.values.codes(name) != 0, before[name])
        assert len(np.unique(found[found != 0])) <= 2**bits - 1


def test_a_weight_that_would_not_be_smaller_keeps_its_floats(tmp_path: Path) -> None:
    """In the portable output a code is a byte at least, and 130 centroids come beside it."""
    arrays = {"w1": values(24, 6), "w2": values(6, 400)}
    raw = {"*": {"density": 1.0, "bits": 8}}
    held = Held(tmp_path, arrays, weights=raw)
    held.prune()
    share(held.plan, held.weights, held.values, "portable", CLOCK)
    assert set(held.values.codebooks) == {"w2"}
    np.testing.assert_array_equal(held.values.read("w1"), held.arrays["w1"])


def test_errors_are_taken_against_the_users_own_weight(tmp_path: Path) -> None:
    held = Held(tmp_path, weights={"*": {"density": 0.4, "bits": 3}})
    held.prune()
    share(held.plan, held.weights, held.values, "operator", CLOCK)
    held.values.move_centroids("w1", held.values.codebooks["w1"] * 2)
    now = as_coded(held.weights["w1"], held.values)
    whole = held.arrays["w1"].astype(np.float64)
    assert now.squared_error == pytest.approx(np.square(whole - held.values.read("w1")).sum())
    assert now.squared_norm == pytest.approx(np.square(whole).sum())
    np.testing.assert_array_equal(now.coded.values().ravel(), held.values.read("w1"))


def test_errors_are_taken_block_by_block(tmp_path: Path) -> None:
    """What is there at once is less than twice the weight; in float64 at one go it was six times."""
    held = Held(tmp_path, {"w1": values(24, 100_000)}, weights={"*": {"density": 0.1, "bits": 3}})
    held.prune()
    share(held.plan, held.weights, held.values, "operator", CLOCK)
    tracemalloc.start()
    try:
        as_coded(held.weights["w1"], held.values)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The weight as it is read, a byte an element for its codes, and a few blocks of 2 MB.
    assert peak < 2 * 2_400_000 * 4


def test_what_pruning_did_is_told(tmp_path: Path) -> None:
    raw = {"w1": {"density": 0.1}, "w2": {"threshold": 0.15}, "w3": {"density": 0.0}}
    held = Held(tmp_path, weights=raw)
    first, second, third = prune(held.plan, held.values, CLOCK, 2, 2)
    assert (first.number, first.weight, first.survivors) == (2, "w1", 120)
    assert first.threshold is not None
    assert (np.abs(held.arrays["w1"]) > first.threshold).sum() in (119, 120)
    assert (second.threshold, second.survivors) == (0.15, held.values.nonzeros("w2"))
    assert (third.threshold, third.survivors) == (None, 0)
    held = Held(tmp_path / "whole", weights={"*": {"density": 1.0, "bits": 8}})
    assert {row.threshold for row in prune(held.plan, held.values, CLOCK)} == {0.0}


def test_rounds_with_retraining_reach_the_plan_and_move_the_survivors(tmp_path: Path) -> None:
    seen: list[dict[str, np.ndarray]] = []
    raw = {
        "weights": {"fc1": {"density": 0.2, "bits": 4}, "fc2": {"threshold": 0.3, "bits": 4}},
        "train": {"epochs": 4, "learning_rate": 0.01},
        "prune": {"rounds": 2},
    }

    def look(order: Path, dataset: Path) -> None:
        held = bench.tuning.values
        seen.append({name: np.array(held.read(name)) for name in ("fc1", "fc2")})

    bench = Bench.of(tmp_path, mlp(), blobs(), Program(look), **raw)
    prune_and_retrain(bench.plan, bench.tuning)
    first, last = seen[0], seen[-1]
    assert np.count_nonzero(first["fc1"]) == round(640 * 0.2**0.5)
    assert np.count_nonzero(last["fc1"]) == 128
    threshold = np.abs(bench.weights["fc2"].read()) > 0.3
    np.testing.assert_array_equal(first["fc2"] != 0, threshold)
    for name in ("fc1", "fc2"):
        found = bench.tuning.values.read(name)
        alive = last[name] != 0
        assert not ((last[name] != 0) & (first[name] == 0)).any()
        assert (found[~alive] == 0).all()
        assert (found[alive] != last[name][alive]).mean() > 0.9
        assert (last[name][alive] != first[name][alive]).mean() > 0.9
    assert set(bench.tuning.values.vectors) == {"b1", "b2"}
    for name, array in bench.tuning.values.vectors.items():
        original = next(each for each in bench.model.graph.initializer if each.name == name)
        assert (array != np.frombuffer(original.raw_data, np.float32)).mean() > 0.8
    metrics = [phase.epochs[phase.kept_epoch].metric for phase in bench.tuning.journal.phases]
    assert metrics[-1] is not None
    start = bench.tuning.journal.phases[-1].epochs[0].metric
    assert start is not None
    assert metrics[-1] >= start
