"""Inputs made up for a model that came with none: shapes, ranges and token ids as its graph takes them."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import SYNTHETIC_SIZES, Feed, InputSpec, check_inputs, synthetic
from sparsebook_compressor.graph.view import GraphView
from sparsebook_compressor.measure import first_line, session

Array = npt.NDArray[np.generic]

# What layers are fitted to; what the search goes by, which adds a standard error to what it sees of a few; what is reported.
PARTS = {"": 80, "eval_": 32, "test_": 24}
# Nodes between an input and the table that it looks up.
_LONGEST = 6
_PASSING = frozenset(
    {"Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Slice", "Transpose"}
)


def table_rows(model: ModelProto, view: GraphView) -> dict[str, int]:
    """Rows of the smallest table that each of the main graph's inputs looks up, where it looks one up."""
    producers = {name: node for node in model.graph.node for name in node.output}
    inputs = {value.name for value in model.graph.input}
    found: dict[str, int] = {}
    tables = [
        (use.node, weight.shape[0])
        for weight in view.weights
        if weight.role == "embedding"
        for use in weight.uses
        if use.node.op_type == "Gather"
    ]
    for node, rows in tables:
        name = _source(node.input[1], producers)
        if name in inputs:
            found[name] = min(rows, found.get(name, rows))
    return found


def _source(name: str, producers: dict[str, NodeProto]) -> str:
    for _ in range(_LONGEST):
        node = producers.get(name)
        if node is None or node.op_type not in _PASSING:
            break
        name = node.input[0]
    return name


def write(
    model: Path,
    parsed: ModelProto,
    view: GraphView,
    specs: tuple[InputSpec, ...],
    seed: int,
    to: Path,
) -> Path:
    """Make samples up on which the model runs, and write them as a data file.

    Raises:
        BadData: it runs on none that were tried.
    """
    check_inputs(specs, model.name)
    rows = table_rows(parsed, view)
    smallest = min((w.shape[0] for w in view.weights if w.role == "embedding"), default=256)
    running = session(model)
    failure = "its inputs are too large to make up"
    for size in SYNTHETIC_SIZES:
        feeds = synthetic(specs, size, smallest, seed, sum(PARTS.values()))
        rng = np.random.default_rng(seed)
        feeds = [{n: _fitted(n, a, rows, rng) for n, a in feed.items()} for feed in feeds]
        try:
            for feed in feeds[:2]:
                running.run(None, feed)
        except Exception as error:  # the next size may suit; the last reason is reported
            failure = first_line(error)
            continue
        if feeds:
            np.savez(to, allow_pickle=False, **_arrays(specs, feeds))
            return to
    raise BadData(
        f"{model.name}: does not run on inputs that were made up ({failure}); give an .npz of real ones (--data F.npz)"
    )


def _fitted(name: str, array: Array, rows: dict[str, int], rng: np.random.Generator) -> Array:
    """Integers over the whole range that they can have: every row of a table, every value of a pixel."""
    if name in rows and "mask" not in name.lower():
        return rng.integers(0, rows[name], array.shape).astype(array.dtype)
    if array.dtype == np.uint8:
        return rng.integers(0, 256, array.shape).astype(np.uint8)
    return array


def _arrays(specs: Sequence[InputSpec], feeds: Sequence[Feed]) -> dict[str, Array]:
    """Samples of each part on the first axis."""
    whole = any(not spec.dims or spec.dims[0] not in (None, 1) for spec in specs)
    join = np.stack if whole else np.concatenate
    remaining = iter(feeds)
    parts = {prefix: list(islice(remaining, count)) for prefix, count in PARTS.items()}
    return {
        prefix + spec.name: join([feed[spec.name] for feed in part])
        for prefix, part in parts.items()
        for spec in specs
    }
