"""Which contexts suit a weight: two passes, the first of which counts (docs/adr/0023)."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.codecs import classes, odds
from sparsebook_compressor.codecs.context_model import (
    Block,
    ContextModel,
    blocks,
    histories,
)
from sparsebook_compressor.payload_layout import (
    MASK_GROUPS,
    MASK_NONE,
    MASK_PLAIN,
    MASK_RUNS,
    MAX_CODE_CONTEXTS,
)

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

# Segments counted at a time, and how many are looked at to choose between kinds of contexts.
_COUNTED = 16
_SAMPLED = 16
# Above this density a mask costs more in symbols than it saves: zero is a code like the others then.
_DENSE = 0.97
# Kernels are small; a larger group has hardly another past than its neighbours without one.
_LARGEST_GROUP = 128
# A frequency is a byte, as is the place of a cell among the contexts.
_LEVEL_BITS = 8.0


def fit(codes: U8, shape: tuple[int, ...], centroids: int) -> ContextModel:
    """The contexts in which a weight takes least.

    Args:
        codes: uint8[n], n > 0.
        shape: of the weight.
        centroids: values besides zero; codes are at most that.
    """
    zeros = len(codes) - int(np.count_nonzero(codes))
    if centroids > 0 and (1 - _DENSE) * len(codes) < zeros:
        model = _masked(codes, shape)
    else:
        # Without zeros it is the outer codes that tell rows apart: codebooks ascend.
        models = _classified(_outer(codes), shape, MASK_NONE)
        model = max(models, key=lambda each: each[1])[0]
    return _with_codes(model, codes, centroids)


def _classified(
    marked: Bool, shape: tuple[int, ...], mask: int
) -> list[tuple[ContextModel, float, float]]:
    """Models with rows and columns in classes, by every split; the bits that each saves, and those of its classes."""
    plain = ContextModel(
        shape=shape,
        split=0,
        mask=mask,
        group_axis=0,
        row_classes=np.zeros(1, np.uint8),
        column_classes=np.zeros(1, np.uint8),
        rows_by=1,
        columns_by=1,
        mask_levels=np.zeros(0, np.uint8),
        code_contexts=np.zeros(1, np.uint8),
        code_levels=np.zeros((0, 0), np.uint8),
    )
    found = [(plain, 0.0, 0.0)]
    for split in range(1, len(shape)):
        outer, inner = math.prod(shape[:split]), math.prod(shape[split:])
        table = marked.reshape(outer, inner)
        rows = classes.fit(np.count_nonzero(table, axis=1), inner)
        columns = classes.fit(np.count_nonzero(table, axis=0), outer)
        if rows.count * columns.count > 1:
            model = replace(
                plain,
                split=split,
                row_classes=rows.of,
                column_classes=columns.of,
                rows_by=rows.count,
                columns_by=columns.count,
            )
            found.append((model, rows.saved + columns.saved, rows.bits + columns.bits))
    return found


def _outer(codes: U8) -> Bool:
    """Which codes lie in the outer quarters of all that occur."""
    order = np.cumsum(np.bincount(codes, minlength=256)) / len(codes)
    outer: Bool = ((order < 0.25) | (order > 0.75))[codes]
    return outer


def _masked(codes: U8, shape: tuple[int, ...]) -> ContextModel:
    """The split and the history that take least together, with the levels of all their contexts."""
    parts = blocks(len(codes), _COUNTED)
    sample = parts[:: max(1, len(parts) * _COUNTED // _SAMPLED)]
    scale = len(codes) / sum(part.end - part.first for part in sample)
    groups = {math.prod(shape[axis:]): axis for axis in range(len(shape) - 1, 0, -1)}
    kinds = [(MASK_PLAIN, 0), (MASK_RUNS, 0)]
    kinds += [(MASK_GROUPS, axis) for size, axis in groups.items() if 1 < size <= _LARGEST_GROUP]
    tried: list[ContextModel] = []
    sides: list[float] = []
    for model, _, own in _classified(codes != 0, shape, MASK_PLAIN):
        cells = model.rows_by * model.columns_by
        tables = sum(
            (_code_counts(model, codes[part.first : part.end], part.first) for part in sample),
            np.zeros((cells, 256), np.int64),
        )
        # About as many contexts of codes as will be kept.
        symbols = int(np.count_nonzero(tables.any(axis=0)))
        side = own + scale * _entropy(tables) + _LEVEL_BITS * symbols * min(cells - 1, 4)
        for kind, axis in kinds:
            if kind != MASK_GROUPS or axis >= model.split:
                tried.append(replace(model, mask=kind, group_axis=axis))
                sides.append(side)
    costs = [
        side + scale * _entropy(counts) + _LEVEL_BITS * len(counts)
        for side, counts in zip(sides, _counted(tried, codes, sample), strict=True)
    ]
    best = tried[int(np.argmin(costs))]
    (counts,) = _counted([best], codes, parts)
    return replace(best, mask_levels=odds.share_levels(counts[:, 1], counts.sum(axis=1)))


def _counted(models: list[ContextModel], codes: U8, parts: list[Block]) -> list[I64]:
    """Zeros and non-zeros of every context, int64[contexts, 2] for each of several models of one weight."""
    sizes = [2 * model.rows_by * model.columns_by * model.histories for model in models]
    counts = [np.zeros(size, np.int64) for size in sizes]
    for part in parts:
        positions = part.positions()
        within = np.minimum(positions, part.end - 1)
        nonzero = codes[within] != 0
        present = part.present()
        whole = bool(present.all())
        # Models share the cells of a split and the histories of a kind.
        cells: dict[int, npt.NDArray[np.int32]] = {}
        pasts: dict[tuple[int, int], U8] = {}
        for index, model in enumerate(models):
            kind = (model.mask, model.group)
            if model.split not in cells:
                cells[model.split] = model.cells(within).astype(np.int32)
            if kind not in pasts:
                pasts[kind] = histories(*kind, nonzero, positions)
            context = 2 * (cells[model.split] * model.histories + pasts[kind]) + nonzero
            listed = context.reshape(-1) if whole else context[present]
            counts[index] += np.bincount(listed, minlength=sizes[index])
    return [count.reshape(-1, 2) for count in counts]


def _with_codes(model: ContextModel, codes: U8, centroids: int) -> ContextModel:
    """Cells whose codes are alike share a context, as long as another one pays."""
    cells = model.rows_by * model.columns_by
    alphabet = centroids + 1 - model.first_code
    counts = np.zeros((cells, 256), np.int64)
    step = 1 << 22
    for start in range(0, len(codes), step):
        counts += _code_counts(model, codes[start : start + step], start)
    counts = counts[:, :alphabet]
    contexts = _merged(counts)
    joined = np.zeros((int(contexts.max()) + 1, alphabet), np.int64)
    np.add.at(joined, contexts, counts)
    levels = np.stack([odds.frequency_levels(row) for row in joined])
    if not levels.any(axis=1).all():  # no element has a code: any table will do
        levels[~levels.any(axis=1), 0] = 1
    return replace(model, code_contexts=contexts, code_levels=levels)


def _code_counts(model: ContextModel, codes: U8, first: int) -> I64:
    """How often each symbol occurs in each cell, int64[cells, 256], for elements from `first` on."""
    at = np.flatnonzero(codes) if model.first_code else np.arange(len(codes))
    place = model.cells(at + first).astype(np.int64) * 256 + codes[at] - model.first_code
    cells = model.rows_by * model.columns_by
    return np.bincount(place, minlength=256 * cells).reshape(cells, 256)


def _merged(counts: I64) -> U8:
    """The context of every cell: the two whose union costs least more become one, down to what costs least in all."""
    groups = [[cell] for cell in range(len(counts)) if counts[cell].any()]
    tables = [counts[group[0]] for group in groups]
    empty = [cell for cell in range(len(counts)) if not counts[cell].any()]
    best: list[list[int]] = []
    least = math.inf
    while groups:
        if len(groups) <= MAX_CODE_CONTEXTS:
            held = _LEVEL_BITS * counts.shape[1] * len(groups)
            cost = sum(_entropy(table[None]) for table in tables) + held
            cost += _LEVEL_BITS * len(counts) * (len(groups) > 1)
            if cost < least:
                best, least = [list(group) for group in groups], cost
        if len(groups) == 1:
            break
        first, second = _closest(np.stack(tables))
        groups[first] += groups.pop(second)
        tables[first] = tables[first] + tables.pop(second)
    contexts = np.zeros(len(counts), np.uint8)
    for context, group in enumerate(best):
        contexts[group] = context
    contexts[empty] = 0
    return contexts


def _closest(tables: I64) -> tuple[int, int]:
    """The pair of tables that lose least by sharing their frequencies."""
    own = _bits_of(tables)
    extra = np.full((len(tables), len(tables)), np.inf)
    for index in range(len(tables) - 1):
        joined = _bits_of(tables[index + 1 :] + tables[index])
        extra[index, index + 1 :] = joined - own[index + 1 :] - own[index]
    first, second = np.unravel_index(np.argmin(extra), extra.shape)
    return int(first), int(second)


def _entropy(counts: I64) -> float:
    return float(_bits_of(counts).sum())


def _bits_of(counts: I64) -> F64:
    """Bits of the symbols counted in each row at the row's own frequencies, float64[rows]."""
    total = counts.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where(counts > 0, counts * np.log2(total / counts), 0.0)
    return np.asarray(bits.sum(axis=1), np.float64)
