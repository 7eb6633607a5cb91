"""Weights of recurrent layers that the graph puts in order: put in order once, and only where nobody sees the difference."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from sparsebook_compressor import Config, admit, compress
from sparsebook_compressor.graph.scopes import scopes
from sparsebook_compressor.rewrite.folding import fold
from tests.unit.compressor.models import graph_of, model_of, node, value
from tests.unit.compressor.rewrite.test_outputs import check_close, check_sound, kernels, run

H, K = 12, 8
RNG = np.random.default_rng(3)
WEIGHTS = {
    "w_ih": RNG.standard_normal((4 * H, K)).astype(np.float32),
    "w_hh": RNG.standard_normal((4 * H, H)).astype(np.float32),
    "b_ih": RNG.standard_normal(4 * H).astype(np.float32),
    "b_hh": RNG.standard_normal(4 * H).astype(np.float32),
}
# PyTorch has the gates i, f, g, o; ONNX wants i, o, f, c.
GATES = ((0, 1), (3, 4), (1, 3))


def integers(name: str, *items: int) -> NodeProto:
    return node("Constant", [], [name], value=numpy_helper.from_array(np.array(items, np.int64)))


def in_order(
    weight: str, prefix: str, parts: tuple[tuple[int, int], ...] = GATES
) -> list[NodeProto]:
    """The nodes that an exporter leaves to the graph; the last one gives `prefix`."""
    nodes = []
    for number, (first, last) in enumerate(parts):
        at = f"{prefix}{number}"
        nodes += [
            integers(f"{at}first", first * H),
            integers(f"{at}last", last * H),
            integers(f"{at}axis", 0),
            node("Slice", [weight, f"{at}first", f"{at}last", f"{at}axis"], [at]),
        ]
    cut = [f"{prefix}{number}" for number in range(len(parts))]
    return [*nodes, node("Concat", cut, [prefix], axis=0)]


def layer(prefix: str, out: str, parts: tuple[tuple[int, int], ...] = GATES) -> list[NodeProto]:
    """An LSTM with what comes before it."""
    p = prefix
    return [
        *in_order("w_ih", f"{p}w", parts),
        *in_order("w_hh", f"{p}r", parts),
        *in_order("b_ih", f"{p}bi", parts),
        *in_order("b_hh", f"{p}bh", parts),
        node("Concat", [f"{p}bi", f"{p}bh"], [f"{p}b"], axis=0),
        integers(f"{p}front", 0),
        *(node("Unsqueeze", [f"{p}{n}", f"{p}front"], [f"{p}{n}_all"]) for n in ("w", "r", "b")),
        node("LSTM", ["x", f"{p}w_all", f"{p}r_all", f"{p}b_all"], ["", out], hidden_size=H),
    ]


def branch(name: str, nodes: list[NodeProto], out: str) -> GraphProto:
    return helper.make_graph(nodes, name, [], [value(out, [1, None, H])])


def plain(nodes: list[NodeProto], outputs: dict[str, list[Any]], opset: int = 17) -> ModelProto:
    declared = [value(name, shape) for name, shape in outputs.items()]
    return model_of(graph_of(nodes, [value("x", ["t", "n", K])], declared, WEIGHTS), opset=opset)


def straight() -> ModelProto:
    return plain(layer("a", "y"), {"y": [1, None, H]})


def branched(other: tuple[tuple[int, int], ...] = GATES) -> ModelProto:
    """As silero-vad is: either branch has an LSTM of its own, of the same weights."""
    nodes = [
        node("Shape", ["x"], ["shape"]),
        integers("zero", 0),
        node("Gather", ["shape", "zero"], ["length"], axis=0),
        integers("three", 3),
        node("Greater", ["length", "three"], ["long1"]),
        node("Squeeze", ["long1"], ["long"]),
        node(
            "If",
            ["long"],
            ["y"],
            then_branch=branch("then", layer("a", "y_a"), "y_a"),
            else_branch=branch("else", layer("b", "y_b", other), "y_b"),
        ),
    ]
    return plain(nodes, {"y": [1, None, H]})


def opset_9() -> ModelProto:
    """Slices and Unsqueeze say where by attributes."""
    nodes = []
    for weight, prefix in (("w_ih", "w"), ("w_hh", "r")):
        cut = [f"{prefix}{number}" for number in range(len(GATES))]
        nodes += [
            node("Slice", [weight], [name], axes=[0], starts=[first * H], ends=[last * H])
            for name, (first, last) in zip(cut, GATES, strict=True)
        ]
        nodes += [
            node("Concat", cut, [prefix], axis=0),
            node("Unsqueeze", [prefix], [f"{prefix}_all"], axes=[0]),
        ]
    nodes.append(node("LSTM", ["x", "w_all", "r_all"], ["", "y"], hidden_size=H))
    return plain(nodes, {"y": [1, None, H]}, opset=9)


def constants() -> ModelProto:
    """Weights in Constant nodes."""
    model = straight()
    held = [node("Constant", [], [tensor.name], value=tensor) for tensor in model.graph.initializer]
    nodes = [*held, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def twice_the_same_part() -> ModelProto:
    return plain(layer("a", "y", ((0, 1), (0, 1), (1, 3))), {"y": [1, None, H]})


FOLDED: dict[str, Callable[[], ModelProto]] = {
    "straight": straight,
    "branched": branched,
    "opset 9": opset_9,
    "constants": constants,
    "a part twice": twice_the_same_part,
}


def written(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def feeds(length: int) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal((length, 2, K)).astype(np.float32)}


@pytest.mark.parametrize("name", FOLDED)
def test_what_is_put_in_order_computes_the_same(name: str, tmp_path: Path) -> None:
    path = written(FOLDED[name](), tmp_path / "model.onnx")
    model = admit.load(path)
    found = fold(model, path)
    assert set(found) == ({"w_ih", "w_hh"} if name == "opset 9" else {"w_ih", "w_hh", "b_ih"})
    every = [each for scope in scopes(model) for each in scope.body.node]
    assert not [each.op_type for each in every if each.op_type in ("Slice", "Concat", "Unsqueeze")]
    if name != "opset 9":
        check_sound(model)
    made = written(model, tmp_path / "folded.onnx")
    for length in (2, 5):
        check_close(run(made, feeds(length)), run(path, feeds(length)), 1e-7)


@pytest.mark.parametrize("name", FOLDED)
def test_then_the_operator_computes_it(name: str, tmp_path: Path) -> None:
    path = written(FOLDED[name](), tmp_path / "model.onnx")
    config = Config.parse({"preset": "paper", "weights": {"*": {"density": 1.0, "bits": 8}}})
    compress(path, tmp_path / "out", config, verify=False)
    made = tmp_path / "out" / "model.onnx"
    assert kernels(onnx.load(made)) == (("LSTM",) * (2 if name == "branched" else 1))
    for length in (2, 5):
        check_close(run(made, feeds(length)), run(path, feeds(length)), 0.05)


def test_external_data_is_read_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(straight(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    model = admit.load(path)
    assert fold(model, path)
    made = written(model, tmp_path / "folded.onnx")
    check_close(run(made, feeds(3)), run(path, feeds(3)), 1e-7)


def used_elsewhere() -> ModelProto:
    used = node("ReduceMean", ["w_ih"], ["mean"], keepdims=0)
    return plain([*layer("a", "y"), used], {"y": [1, None, H], "mean": []})


def looked_at_on_the_way() -> ModelProto:
    shown = [node("Identity", [f"a{n}"], [n]) for n in ("w", "r")]
    outputs = {"y": [1, None, H], "w": [4 * H, K], "r": [4 * H, H]}
    return plain([*layer("a", "y"), *shown], outputs)


def in_two_orders() -> ModelProto:
    return branched(((0, 1), (1, 2), (2, 4)))


def overridable() -> ModelProto:
    """Initializers that are inputs, which a caller may replace."""
    model = straight()
    inputs = [value(name, list(array.shape)) for name, array in WEIGHTS.items()]
    model.graph.input.extend(inputs)
    return model


@pytest.mark.parametrize(
    ("build", "folded"),
    [
        (used_elsewhere, {"w_hh", "b_ih"}),
        (looked_at_on_the_way, {"b_ih"}),
        (in_two_orders, set()),
        (overridable, set()),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_what_anybody_else_sees_is_left(
    build: Callable[[], ModelProto], folded: set[str], tmp_path: Path
) -> None:
    path = written(build(), tmp_path / "model.onnx")
    model = admit.load(path)
    assert set(fold(model, path)) == folded
    made = written(model, tmp_path / "folded.onnx")
    for length in (2, 5):
        check_close(run(made, feeds(length)), run(path, feeds(length)), 1e-7)


def test_what_would_be_larger_is_left(tmp_path: Path) -> None:
    """Both directions share one weight, which would be stored twice."""
    nodes = [
        *(node("Concat", [w, w], [f"{w}_both"], axis=0) for w in ("w_ih", "w_hh")),
        integers("sizes_w", 2, 4 * H, K),
        integers("sizes_r", 2, 4 * H, H),
        node("Reshape", ["w_ih_both", "sizes_w"], ["w"]),
        node("Reshape", ["w_hh_both", "sizes_r"], ["r"]),
        node("LSTM", ["x", "w", "r"], ["", "y"], hidden_size=H, direction="bidirectional"),
    ]
    path = written(plain(nodes, {"y": [2, None, H]}), tmp_path / "model.onnx")
    model = admit.load(path)
    before = model.SerializeToString()
    assert fold(model, path) == ()
    assert model.SerializeToString() == before


def doubled() -> list[NodeProto]:
    """Joined with itself until nobody could hold it."""
    names = ["w_ih", *(f"d{number}" for number in range(60))]
    return [node("Concat", [a, a], [b], axis=0) for a, b in pairwise(names)]


def turned() -> list[NodeProto]:
    """A chain of a hundred thousand."""
    names = ["w_ih", *(f"d{number}" for number in range(100_000))]
    return [node("Transpose", [a], [b]) for a, b in pairwise(names)]


def misfit() -> list[NodeProto]:
    return [node("Concat", ["w_ih", "b_ih"], ["d59"], axis=0)]


@pytest.mark.parametrize("build", [doubled, turned, misfit])
def test_what_no_exporter_writes_is_left_at_once(
    build: Callable[[], list[NodeProto]], tmp_path: Path
) -> None:
    nodes = build()
    nodes.append(node("LSTM", ["x", nodes[-1].output[0], "w_hh"], ["", "y"], hidden_size=H))
    model = plain(nodes, {"y": [1, None, H]})
    assert fold(model, tmp_path / "model.onnx") == ()


def test_a_model_without_recurrent_layers_is_as_it_was(tmp_path: Path) -> None:
    nodes = [*in_order("w_ih", "w"), node("MatMul", ["x", "turned"], ["y"])]
    nodes.insert(-1, node("Transpose", ["w"], ["turned"]))
    model = plain(nodes, {"y": ["t", "n", 4 * H]})
    before = model.SerializeToString()
    assert fold(model, tmp_path / "model.onnx") == ()
    assert model.SerializeToString() == before
