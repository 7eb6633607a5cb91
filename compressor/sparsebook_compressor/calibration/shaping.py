"""A weight pruned and shared at a price per bit, where an error costs what its site makes of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.calibration.sites import Site
from sparsebook_compressor.stages.decisions import intervals
from sparsebook_compressor.stages.feedback import Levels, feed_back
from sparsebook_compressor.stages.grids import (
    MOST_LEVELS,
    companded_levels,
    entropy,
    even_levels,
    is_short,
    moved,
    nested_levels,
    step_for,
    steps_for,
)
from sparsebook_compressor.stages.moments import Factor

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

# What levels are fitted on: enough that a bit's share is known to a percent.
_SAMPLE = 1 << 16
_FEWEST_ROWS, _MOST_GROUPS = 8, 8
_ROUNDS = 3
# Steps for the mean curvature, and finer ones: columns and rows that matter more may use them.
_FINER = (4.0, 1.0)


@dataclass(frozen=True, eq=False)
class Lens:
    """What errors in a weight cost.

    Attributes:
        site: of the weight.
        factors: of every group, of every block of columns; empty where there are no second moments.
        importance: float64[rows], of the rows of a table or of plain weights.
        norm: the cost of losing the whole weight: tr(W H W^T).
    """

    site: Site
    factors: tuple[tuple[Factor, ...], ...]
    importance: F64
    norm: float


@dataclass(frozen=True, slots=True)
class Fit:
    """Levels for a price, and what they would give by the sample.

    Attributes:
        levels: to choose from.
        bits: of the whole weight, zero-order entropy.
        cost: of the whole weight.
    """

    levels: Levels
    bits: float
    cost: float


@dataclass(frozen=True, eq=False)
class Shaped:
    """A weight after its pass.

    Attributes:
        codes: uint8[elements], 0 for zero.
        codebook: float32[centroids], ascending, all in use.
        cost: as the lens has it.
        bits: zero-order entropy of all codes together.
    """

    codes: U8
    codebook: F32
    cost: float
    bits: float

    def values(self) -> F32:
        """The weight, float32[elements]."""
        table = np.concatenate([np.zeros(1, np.float32), self.codebook])
        found: F32 = table[self.codes]
        return found


@dataclass(frozen=True, eq=False)
class _Piece:
    """Rows that are decided together, and how many elements each of theirs stands for."""

    group: int
    rows: npt.NDArray[np.intp] | slice
    columns: slice
    values: F32
    factor: Factor | None
    importance: float
    stands_for: float


def fit(lens: Lens, values: F32, price: float, *, rough: bool = False) -> Fit:
    """Find levels for a price on a sample of the rows.

    Args:
        lens: what errors cost.
        values: float32[elements].
        price: of a bit, in units of the lens's cost, above 0.
        rough: whether fewer steps and rounds will do.
    """
    pieces = list(_pieces(lens, lens.site.matrices(values), sampled=True))
    starts = _starts(pieces, values, price, _FINER[rough:])
    tried = [_fit(pieces, price, levels, _ROUNDS - rough) for levels in starts]
    return min(tried, key=lambda each: each.cost + price * each.bits)


def _starts(
    pieces: list[_Piece], values: F32, price: float, finer: tuple[float, ...]
) -> list[Levels]:
    """Levels that are worth a try: even steps, two grids in one where some rows matter far more, and what reaches where those do not."""
    sample = np.concatenate([piece.values.reshape(-1) for piece in pieces]).astype(np.float64)
    usual, most = _curvatures(pieces)
    curvatures = [usual * each for each in finer]
    steps = steps_for(price, list({*curvatures, most}), values)
    starts = [even_levels(values, sample, step) for step in steps]
    if most > usual:
        fine = step_for(price, most)
        nested = (nested_levels(values, sample, step_for(price, each), fine) for each in curvatures)
        starts += [levels for levels in nested if levels is not None]
    if is_short(price, usual, values):
        counted = [np.full(p.values.size, p.importance * p.stands_for) for p in pieces]
        starts.append(companded_levels(values, sample, np.concatenate(counted)))
    return starts


def shape(lens: Lens, values: F32, price: float, levels: Levels) -> Shaped:
    """Choose a level for every element.

    Args:
        lens: what errors cost.
        values: float32[elements].
        price: of a bit.
        levels: from `fit`.
    """
    matrices = lens.site.matrices(values)
    chosen = np.empty(matrices.shape, np.uint8)
    cost = 0.0
    for piece in _pieces(lens, matrices, sampled=False):
        found, _, spent = _decide(piece, levels, price)
        chosen[piece.group, piece.rows, piece.columns] = found
        cost += spent
    flat = lens.site.flat(chosen)
    counts = np.bincount(flat, minlength=len(levels.values))
    used = (counts > 0) & (levels.values != 0)
    codebook = np.unique(levels.values[used].astype(np.float32))
    table = np.searchsorted(codebook, levels.values.astype(np.float32)) + 1
    table[levels.values == 0] = 0
    codes = table.clip(0, MOST_LEVELS).astype(np.uint8)[flat]
    return Shaped(codes, codebook, cost, entropy(counts) * len(flat))


def _fit(pieces: list[_Piece], price: float, levels: Levels, rounds: int) -> Fit:
    bits = cost = 0.0
    for turn in range(rounds):
        taken = np.zeros(len(levels.values))
        weights, sums = np.zeros_like(taken), np.zeros_like(taken)
        cost = 0.0
        for piece in pieces:
            found, targets, spent = _decide(piece, levels, price)
            cost += spent * piece.stands_for
            weight = _weights(piece)
            flat = found.reshape(-1)
            size = len(levels.values)
            taken += np.bincount(flat, minlength=size) * piece.stands_for
            weights += np.bincount(flat, weights=weight, minlength=size)
            sums += np.bincount(flat, weights=weight * targets.reshape(-1), minlength=size)
        bits = entropy(taken) * float(taken.sum())
        if turn + 1 < rounds:
            levels = moved(levels, weights, sums, taken)
    return Fit(levels, bits, cost)


def _decide(piece: _Piece, levels: Levels, price: float) -> tuple[U8, F32, float]:
    """Indices of levels, in the piece's own order of columns; what they stand for; the cost."""
    if piece.factor is not None:
        order = piece.factor.order
        fed = feed_back(piece.values[:, order], piece.factor.upper, levels, price)
        back = np.argsort(order)
        return fed.chosen[:, back], fed.targets[:, back], fed.cost
    thresholds, used = intervals(levels.values, levels.bits * (price / piece.importance / 2))
    places = np.searchsorted(thresholds.astype(np.float32), piece.values, side="left")
    chosen = used.astype(np.uint8)[places]
    errors = piece.values - levels.values.astype(np.float32)[chosen]
    cost = piece.importance * float(np.square(errors, dtype=np.float64).sum())
    return chosen, piece.values, cost


def _weights(piece: _Piece) -> F64:
    """What an error in each element costs, float64[rows x columns]."""
    shape = piece.values.shape
    if piece.factor is None:
        return np.full(piece.values.size, piece.importance * piece.stands_for)
    column = np.empty(shape[1])
    column[piece.factor.order] = np.diag(piece.factor.upper) ** -2
    return np.broadcast_to(column * piece.stands_for, shape).reshape(-1)


def _curvatures(pieces: list[_Piece]) -> tuple[float, float]:
    """What a squared error costs, usually and at most: the geometric mean over columns; of tables the median over elements, and the highest."""
    if pieces[0].factor is None:
        ascending = sorted(pieces, key=lambda piece: piece.importance)
        held = np.cumsum([piece.values.size * piece.stands_for for piece in ascending])
        middle = int(np.searchsorted(held, held[-1] / 2))
        return ascending[middle].importance, ascending[-1].importance
    sizes = np.array([piece.values.size for piece in pieces], np.float64)
    logs = [np.log(piece.factor.curvature) for piece in pieces if piece.factor is not None]
    mean = float(np.exp((sizes * logs).sum() / sizes.sum()))
    return mean, mean


def _pieces(lens: Lens, matrices: F32, *, sampled: bool) -> Iterator[_Piece]:
    if not lens.factors:
        yield from _classes(lens, matrices, sampled=sampled)
        return
    groups, rows, columns = matrices.shape
    some = _spread(groups, _MOST_GROUPS if sampled else groups)
    most = max(_FEWEST_ROWS, _SAMPLE // max(1, columns * len(some)))
    kept = _spread(rows, most if sampled else rows)
    stands_for = groups * rows / (len(some) * len(kept))
    for group in some.tolist():
        for part, factor in zip(lens.site.blocks, lens.factors[group], strict=True):
            values = np.ascontiguousarray(matrices[group][kept][:, part])
            yield _Piece(group, kept, part, values, factor, 1.0, stands_for)


def _classes(lens: Lens, matrices: F32, *, sampled: bool) -> Iterator[_Piece]:
    """Rows of about the same importance, to half a power of two."""
    columns = matrices.shape[2]
    steps = np.round(np.log2(lens.importance) * 2)
    classes = np.unique(steps)
    most = max(_FEWEST_ROWS, _SAMPLE // (columns * len(classes)))
    for step in classes.tolist():
        every = np.flatnonzero(steps == step)
        kept = every[_spread(len(every), most if sampled else len(every))]
        values = matrices[0][kept]
        stands_for = len(every) / len(kept)
        yield _Piece(0, kept, slice(0, columns), values, None, 2.0 ** (step / 2), stands_for)


def _spread(count: int, most: int) -> npt.NDArray[np.intp]:
    """At most so many of `count` numbers, evenly spread."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).astype(np.intp))
