"""Inputs made up for a model that came with none: what its free dimensions may mean, and what it looks up in tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from onnx import ModelProto, NodeProto

from sparsebook_compressor.feeds import SYNTHETIC_SIZES, Array, Feed, InputSpec, synthetic
from sparsebook_compressor.graph.view import GraphView

# Nodes between an input and the table that it looks up.
_LONGEST = 6
_PASSING = frozenset(
    {"Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Slice", "Transpose"}
)
_FEWER = (16, 2)
# A name for the batch where no input has one; no exporter writes it.
_BATCH = "\0batch"


@dataclass(frozen=True, slots=True)
class Lookups:
    """What integers a graph takes.

    Attributes:
        rows: exclusive bound of integers of which nothing else is known: the rows of the smallest table.
        tables: rows of the smallest table that an input looks up, by the input's name. Such an input may be of floats that the graph casts.
    """

    rows: int
    tables: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, model: ModelProto, view: GraphView, without: int = 2) -> "Lookups":
        """Those of a model; `without` is the bound where it has no table."""
        smallest = min((w.shape[0] for w in view.weights if w.role == "embedding"), default=without)
        return cls(smallest, table_rows(model, view))

    def fitted(self, feeds: list[Feed], seed: int) -> list[Feed]:
        """The feeds, integers drawn over the whole range that they can have: every row of a table, every value of a pixel."""
        rng = np.random.default_rng(seed)
        return [{n: self._drawn(n, a, rng) for n, a in feed.items()} for feed in feeds]

    def narrowed(self, specs: tuple[InputSpec, ...]) -> "Iterator[Lookups]":
        """These, and with fewer rows for integers of which nothing is known: what they choose among may be smaller than any table."""
        yield self
        if any(spec.dtype is not None and spec.dtype.kind in "iu" for spec in specs):
            yield from (replace(self, rows=rows) for rows in _FEWER if rows < self.rows)

    def _drawn(self, name: str, array: Array, rng: np.random.Generator) -> Array:
        if name in self.tables and "mask" not in name.lower():
            return rng.integers(0, self.tables[name], array.shape).astype(array.dtype)
        if array.dtype == np.uint8:
            return rng.integers(0, 256, array.shape).astype(np.uint8)
        return array


def candidates(
    specs: tuple[InputSpec, ...], lookups: Lookups, seed: int, samples: int
) -> Iterator[list[Feed]]:
    """Samples of every reading of the inputs at every size, the likeliest first; none of those that would be too large."""
    for narrowed in lookups.narrowed(specs):
        for read in readings(specs):
            for size in sizes(read):
                feeds = synthetic(read, size, narrowed.rows, seed, samples)
                if feeds:
                    yield narrowed.fitted(feeds, seed)


def sizes(specs: tuple[InputSpec, ...]) -> tuple[int, ...]:
    """Sizes to try for free dimensions: one will do where there are none besides the batch."""
    return SYNTHETIC_SIZES if any(dim is None for spec in specs for dim in spec.dims[1:]) else (1,)


def readings(specs: tuple[InputSpec, ...]) -> tuple[tuple[InputSpec, ...], ...]:
    """What free dimensions without a name may mean, the likeliest first.

    Each is a length of its own; or the only one of an input whose first dimension is fixed is the batch, as of a recurrent network's
    state, [2, ?, 128].
    """
    named = (spec.symbols[0] for spec in specs if spec.dims and spec.dims[0] is None)
    batch = next((name for name in named if name), _BATCH)
    turned = tuple(_turned(spec, batch) for spec in specs)
    if turned == specs:
        return (specs,)
    return specs, tuple(_begun(spec, batch) for spec in turned)


def _turned(spec: InputSpec, batch: str) -> InputSpec:
    free = [axis for axis, dim in enumerate(spec.dims) if dim is None]
    if len(free) != 1 or free[0] == 0 or spec.symbols[free[0]]:
        return spec
    symbols = tuple(batch if axis in free else name for axis, name in enumerate(spec.symbols))
    return replace(spec, symbols=symbols)


def _begun(spec: InputSpec, batch: str) -> InputSpec:
    if not spec.dims or spec.dims[0] is not None or spec.symbols[0]:
        return spec
    return replace(spec, symbols=(batch, *spec.symbols[1:]))


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
