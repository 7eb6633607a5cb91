"""How weights are trained: what stays zero, what moves, and by which gradient."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor.training.orders.parameters import Fill, Parameter, prune, restore, share
from tests.unit.compressor.models import graph_of, model_of, node, value, values
from tests.unit.compressor.training.one_step import one_step, outputs

IN, MIDDLE, OUT, SAMPLES = 12, 20, 10, 16
RNG = np.random.default_rng(2)
ARRAYS = {
    "x": RNG.standard_normal((SAMPLES, IN)).astype(np.float32),
    "t": RNG.standard_normal((SAMPLES, OUT)).astype(np.float32),
}
SHAPES = {"w1": (IN, MIDDLE), "w2": (MIDDLE, OUT)}
OUTPUTS = ("loss", "metric_sum", "metric_weight")
RATE = 0.5
# Just above and below the density from which on the survivors alone are the parameter.
DENSITIES = (0.9, 0.2)


def training_graph(*before_loss: onnx.NodeProto, **more: np.ndarray) -> ModelProto:
    """Mean squared error of (relu(x w1) w2) against t; the weights are hollow."""
    nodes = [
        node("MatMul", ["x", "w1"], ["h"], name="first"),
        node("Relu", ["h"], ["r"], name="relu"),
        *(before_loss or [node("MatMul", ["r", "w2"], ["y"], name="second")]),
        node("Sub", ["y", "t"], ["e"], name="e"),
        node("Mul", ["e", "e"], ["s"], name="s"),
        node("ReduceMean", ["s"], ["loss"], name="loss", keepdims=0),
        node("ReduceSum", ["s"], ["metric_sum"], name="sum", keepdims=0),
        node("Size", ["t"], ["n"], name="n"),
        node("Cast", ["n"], ["metric_weight"], name="weight", to=TensorProto.FLOAT),
    ]
    inputs = [value("x", ["n", IN]), value("t", ["n", OUT])]
    model = model_of(graph_of(nodes, inputs, [value(name, []) for name in OUTPUTS], more))
    for name, shape in SHAPES.items():
        model.graph.initializer.append(
            TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        )
    return model


def pruned(name: str, density: float) -> np.ndarray:
    """A weight, float32[elements], of which exactly that share is not zero."""
    array = values(*SHAPES[name]).ravel().copy()
    order = np.argsort(np.abs(array))
    array[order[: round((1 - density) * array.size)]] = 0
    return array


def coded(name: str, density: float, centroids: int) -> tuple[np.ndarray, np.ndarray]:
    """A codebook and codes of which that share is not zero."""
    rng = np.random.default_rng(centroids)
    codes = np.zeros(np.prod(SHAPES[name]), np.uint8)
    alive = rng.permutation(codes.size)[: round(density * codes.size)]
    codes[alive] = rng.integers(1, centroids + 1, alive.size)
    return rng.standard_normal(centroids).astype(np.float32), codes


def step(
    folder: Path, model: ModelProto, fill: Fill, parameters: list[str]
) -> dict[str, np.ndarray]:
    """What the trainer program makes of the parameters in one step of SGD on all samples."""
    return one_step(folder, model, fill, parameters, ARRAYS, RATE)


def dense_gradients(folder: Path, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """dL/dW of plain weights, float32[elements], by the trainer program."""
    folder.mkdir()
    fill: Fill = {name: (lambda array=array: array) for name, array in weights.items()}
    after = step(folder, training_graph(), fill, list(weights))
    return {name: (array - after[name].ravel()) / RATE for name, array in weights.items()}


def run(model: ModelProto, fill: Fill, folder: Path, **arrays: np.ndarray) -> list[np.ndarray]:
    """The graph with its values, in ONNX Runtime for inference."""
    return outputs(folder, model, fill, ARRAYS | arrays)


def by_hand(w1: np.ndarray, w2: np.ndarray) -> float:
    y = np.maximum(ARRAYS["x"] @ w1.reshape(IN, MIDDLE), 0) @ w2.reshape(MIDDLE, OUT)
    return float(np.square(y - ARRAYS["t"]).mean())


def enter(how: str, density: float) -> Callable[[ModelProto, str], tuple[Parameter, np.ndarray]]:
    """Puts a weight into a graph, pruned or shared, and gives its elements."""

    def entered(model: ModelProto, name: str) -> tuple[Parameter, np.ndarray]:
        if how == "prune":
            array = pruned(name, density)
            return prune(model, name, lambda: array), array
        codebook, codes = coded(name, density, 7)
        whole = np.concatenate([np.zeros(1, np.float32), codebook])[codes]
        return share(model, name, codebook, lambda: codes), whole

    return entered


@pytest.mark.parametrize("density", [*DENSITIES, 0.5, 0.51, 1.0, 1 / 240])
@pytest.mark.parametrize("how", ["prune", "share"])
def test_a_graph_with_parameters_is_the_same_function(
    how: str, density: float, tmp_path: Path
) -> None:
    model = training_graph()
    first, w1 = enter(how, density)(model, "w1")
    second, w2 = enter(how, density)(model, "w2")
    assert first.name != second.name
    loss, total, weight = run(model, {**first.fill, **second.fill}, tmp_path / "order")
    assert loss == pytest.approx(by_hand(w1, w2), rel=1e-5)
    assert total / weight == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("density", DENSITIES)
def test_pruned_elements_stay_exactly_zero_and_survivors_follow_their_gradient(
    density: float, tmp_path: Path
) -> None:
    """Both weights at once, so that masks and positions of two weights are in one graph."""
    before = {name: pruned(name, density) for name in SHAPES}
    model = training_graph()
    entered = {
        name: prune(model, name, lambda array=array: array) for name, array in before.items()
    }
    fill: Fill = {}
    for parameter in entered.values():
        fill.update(parameter.fill)
    after = step(tmp_path, model, fill, [parameter.name for parameter in entered.values()])
    gradients = dense_gradients(tmp_path / "dense", before)
    for name, array in before.items():
        found = restore(array, after[entered[name].name])
        assert found.shape == array.shape
        assert found.dtype == np.float32
        alive = array != 0
        assert (found[~alive] == 0).all()
        moved = (array - found) / RATE
        np.testing.assert_allclose(moved[alive], gradients[name][alive], atol=2e-6)
        assert (moved[alive] != 0).mean() > 0.5
        # The pruned ones would have moved, had they been let.
        assert np.abs(gradients[name][~alive]).max() > 1e-4


@pytest.mark.parametrize("density", DENSITIES)
def test_a_centroid_gets_the_sum_over_its_members(density: float, tmp_path: Path) -> None:
    """Equation 3 of arXiv 1510.00149: dL/dC_k is the sum of dL/dW over the elements with code k."""
    codebooks = {name: coded(name, density, 7) for name in SHAPES}
    model = training_graph()
    fill: Fill = {}
    entered = {}
    for name, (codebook, codes) in codebooks.items():
        entered[name] = share(model, name, codebook, lambda codes=codes: codes)
        fill.update(entered[name].fill)
    after = step(tmp_path, model, fill, [parameter.name for parameter in entered.values()])
    whole = {
        name: np.concatenate([np.zeros(1, np.float32), codebook])[codes]
        for name, (codebook, codes) in codebooks.items()
    }
    gradients = dense_gradients(tmp_path / "dense", whole)
    for name, (codebook, codes) in codebooks.items():
        sums = np.bincount(codes, weights=gradients[name], minlength=8)[1:]
        assert np.abs(sums).max() > 1e-3
        moved = (codebook - after[entered[name].name]) / RATE
        np.testing.assert_allclose(moved, sums, rtol=1e-5, atol=5e-6)


def test_255_centroids_and_one_of_each_can_be_trained(tmp_path: Path) -> None:
    codes = np.zeros(IN * MIDDLE, np.uint8)
    codes[:239] = np.arange(17, 256)
    codebook = np.linspace(-1, 1, 255, dtype=np.float32)
    model = training_graph()
    parameter = share(model, "w1", codebook, lambda: codes)
    one = share(model, "w2", codebook[:1], lambda: np.ones(MIDDLE * OUT, np.uint8))
    after = step(tmp_path, model, {**parameter.fill, **one.fill}, [parameter.name, one.name])
    moved = after[parameter.name] != codebook
    assert not moved[:16].any()  # no element has such a code
    assert moved[16:].mean() > 0.9
    assert after[one.name].shape == (1,)
    assert after[one.name] != codebook[0]


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("how", ["prune", "share"])
def test_consumers_in_nested_graphs_are_told(how: str, density: float, tmp_path: Path) -> None:
    """w2 is consumed in one branch, in a branch of the other branch, and outside."""
    inner = [
        helper.make_graph(
            [node("MatMul", ["r", "w2"], [f"{name}.y"]), node("Mul", [f"{name}.y", two], [name])],
            name,
            [],
            [value(name, None)],
            [helper.make_tensor(two, TensorProto.FLOAT, [], [factor])],
        )
        for name, two, factor in (("a", "one", 1.0), ("b", "two", 2.0), ("c", "three", 3.0))
    ]
    nested = helper.make_graph(
        [node("If", ["second"], ["d"], then_branch=inner[1], else_branch=inner[2])],
        "nested",
        [],
        [value("d", None)],
    )
    nodes = [
        node("If", ["first"], ["chosen"], then_branch=inner[0], else_branch=nested),
        node("MatMul", ["r", "w2"], ["outside"]),
        node("Sub", ["chosen", "outside"], ["y"]),
    ]
    model = training_graph(*nodes)
    for name in ("first", "second"):
        model.graph.input.append(value(name, [], TensorProto.BOOL))
    (first, w1), (second, w2) = enter(how, density)(model, "w1"), enter(how, density)(model, "w2")
    fill = {**first.fill, **second.fill}
    for number, (flags, factor) in enumerate(
        {(True, True): 0, (False, True): 1, (False, False): 2}.items()
    ):
        copy = ModelProto()
        copy.CopyFrom(model)
        given = dict(zip(("first", "second"), map(np.array, flags), strict=True))
        loss = run(copy, fill, tmp_path / str(number), **given)[0]
        assert loss == pytest.approx(by_hand(w1, w2 * factor), rel=1e-5)


@pytest.mark.parametrize("taken", ["w1.mask", "w1.masked", "w1.survivors", "w1.whole"])
def test_names_that_the_model_has_itself_are_left_alone(taken: str, tmp_path: Path) -> None:
    more = [node("MatMul", ["r", "w2"], ["z"]), node("Add", ["z", taken], ["y"])]
    for density in DENSITIES:
        model = training_graph(*more, **{taken: np.full(OUT, 3, np.float32)})
        (first, w1), (second, w2) = (enter("prune", density)(model, name) for name in SHAPES)
        loss = run(model, {**first.fill, **second.fill}, tmp_path / str(density))[0]
        y = np.maximum(ARRAYS["x"] @ w1.reshape(IN, MIDDLE), 0) @ w2.reshape(MIDDLE, OUT) + 3
        assert loss == pytest.approx(float(np.square(y - ARRAYS["t"]).mean()), rel=1e-5)


@settings(max_examples=60)
@given(st.lists(st.sampled_from([0.0, -0.0, 1.0, -2.5, 1e-30]), min_size=1, max_size=40))
def test_what_comes_back_stands_where_it_stood(elements: list[float]) -> None:
    """Whatever is zero stays so, in both forms."""
    before = np.array(elements, np.float32)
    alive = before != 0
    trained = np.arange(1, 1 + before.size, dtype=np.float32)
    expected = np.where(alive, trained, 0)
    np.testing.assert_array_equal(restore(before, trained), expected)
    if not alive.all():
        np.testing.assert_array_equal(restore(before, trained[alive]), expected)
