"""Models whose weights no product takes: those of an LSTM, from step to step, and an embedding's, looked up row by row."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from benchmarks.contest import Entry, contest
from benchmarks.kernel_artifacts import artifact, plain
from benchmarks.kernel_runs import SEED, Bound, Conditions, Feed, difference, session, summarised

STEPS, INTO, HIDDEN = 32, 256, 512
ROWS, WIDTH, TOKENS = 30522, 384, 64


def decode_rows(conditions: Conditions) -> Iterator[dict[str, Any]]:
    """Each model against the same one with plain floats, one sample at a time."""
    rng = np.random.default_rng(SEED)
    steps = rng.standard_normal((STEPS, 1, INTO)).astype(np.float32)
    tokens = rng.integers(0, ROWS, (1, TOKENS))
    yield _row("LSTM", lstm, {"*": {"density": 0.09, "bits": 5}}, {"x": steps}, conditions)
    table = {"table": {"density": 0.35, "bits": 5}, "projection": {"skip": True}}
    yield _row("embedding", embedding, table, {"tokens": tokens}, conditions)


def lstm(steps: int = STEPS, into: int = INTO, hidden: int = HIDDEN) -> ModelProto:
    """One layer, one direction, from zero states."""
    rng = np.random.default_rng(SEED)
    w = rng.standard_t(4.0, (1, 4 * hidden, into)) / (2 * into) ** 0.5
    r = rng.standard_t(4.0, (1, 4 * hidden, hidden)) / (2 * hidden) ** 0.5
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=hidden)
    return _model([node], {"w": w, "r": r}, ("x", TensorProto.FLOAT, [steps, 1, into]))


def embedding(rows: int = ROWS, width: int = WIDTH) -> ModelProto:
    """A table of rows, and a dense layer of plain floats that the rows go through."""
    rng = np.random.default_rng(SEED)
    tensors = {
        "table": rng.standard_t(4.0, (rows, width)),
        "projection": rng.standard_t(4.0, (width, width)) / (2 * width) ** 0.5,
    }
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["found"]),
        helper.make_node("MatMul", ["found", "projection"], ["y"]),
    ]
    return _model(nodes, tensors, ("tokens", TensorProto.INT64, ["n", "tokens"]))


def _row(
    name: str,
    build: Callable[[], ModelProto],
    weights: dict[str, Any],
    feed: Feed,
    conditions: Conditions,
) -> dict[str, Any]:
    settings = {"preset": "paper", "weights": weights, "share": {"iterations": 30}}
    path = artifact(name, build, settings)
    bound = {
        "dense": Bound.of(session(plain(path), conditions.threads), feed),
        "sparse": Bound.of(session(path.read_bytes(), conditions.threads), feed),
    }
    entries = {key: Entry(call.run) for key, call in bound.items()}
    found = contest(entries, conditions.seconds, clock=conditions.clock, most=2000)
    return {
        "section": "decode",
        "layer": name,
        "batch": 1,
        "threads": conditions.threads,
        "warm": summarised(found),
        "relative_error": difference(bound["sparse"].y, bound["dense"].y),
    }


def _model(
    nodes: list[Any], tensors: dict[str, Any], given: tuple[str, int, list[Any]]
) -> ModelProto:
    initializers = [
        numpy_helper.from_array(values.astype(np.float32), name) for name, values in tensors.items()
    ]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        nodes, "decode", [helper.make_tensor_value_info(*given)], [y], initializers
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
