"""Ways of sharing a weight that benchmarks/structured.py puts beside one codebook: scales, groups of rows, vectors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans, MiniBatchKMeans

from sparsebook_compressor.calibration.curves import price_of
from sparsebook_compressor.calibration.shaping import Lens, fit, shape
from sparsebook_compressor.calibration.sites import Site
from sparsebook_compressor.coding import coded_weight
from sparsebook_compressor.payload import CodedWeight, encode
from sparsebook_compressor.payload_header import FLOAT
from sparsebook_compressor.payload_layout import Codec

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

# Squared relative losses of a layer that prices aim at.
AIMS = tuple(4.0**-k for k in (3, 4, 5, 6))
SEED = 0
CODECS: tuple[Codec, ...] = ("huffman", "auto")
SCALE_BYTES = 2
_VECTORS = ((2, 64), (2, 256), (4, 256), (8, 256))
# Sub-vectors that k-means learns from in one go.
_BATCH = 8192
# A channel of less than this share of the largest one's output is dead.
_DEAD = 1e-6


@dataclass(frozen=True, slots=True)
class Point:
    """What a way came to at one price.

    Attributes:
        huffman, auto: bytes of all payloads, scales and codebooks, by codec.
        layer: error of the layer's output, squared and relative, by the second moments of its inputs or the use of its rows.
        channels: the same of each output channel alone, their mean; those of next to no output left out.
        mse: squared relative error of the weight.
    """

    huffman: int
    auto: int
    layer: float
    channels: float
    mse: float


def points(lens: Lens, values: F32, way: str) -> list[Point]:
    """A weight, float32[elements], in one of `WAYS`: one point a price."""
    return list(WAYS[way](lens, values))


def applies(way: str, site: Site) -> bool:
    """Whether a way says anything about such a weight."""
    products = site.kind not in ("table", "plain")
    match way:
        case "inputs" | "inputs, powers of two":
            return products
        case "importance" | "vectors":
            return site.kind == "table"
        case "4 groups":
            return site.groups == 1 or site.rows == 1
    return True


def _one(lens: Lens, values: F32) -> Iterator[Point]:
    ones = np.ones((lens.site.groups, 1))
    yield from _scaled(lens, values, ones, ones, scales=0)


def _outputs(lens: Lens, values: F32) -> Iterator[Point]:
    """Rows of one norm, and a scale for each."""
    norms = np.sqrt(_row_norms(lens.site, values))
    rows = _near_one(np.where(norms > 0, norms, 1.0)) ** -1
    yield from _scaled(lens, values, rows, np.ones((lens.site.groups, 1)), scales=rows.size)


def _importance(lens: Lens, values: F32) -> Iterator[Point]:
    """Rows of a table in finer steps, the more they are looked up."""
    rows = _near_one(np.sqrt(lens.importance))[np.newaxis]
    yield from _scaled(lens, values, rows, np.ones((1, 1)), scales=rows.size)


def _inputs(lens: Lens, values: F32) -> Iterator[Point]:
    columns, count = input_scales(lens)
    ones = np.ones((lens.site.groups, 1))
    yield from _scaled(lens, values, ones, columns, scales=count)


def _inputs_in_powers(lens: Lens, values: F32) -> Iterator[Point]:
    exact, count = input_scales(lens)
    columns: F64 = np.exp2(np.round(np.log2(exact)))
    ones = np.ones((lens.site.groups, 1))
    yield from _scaled(lens, values, ones, columns, scales=count)


def input_scales(lens: Lens) -> tuple[F64, int]:
    """What each column is multiplied with so that an error costs the same in all, float64[groups, columns], and how many differ.

    A convolution's columns are positions of its kernel in a channel, and only channels can be scaled outside of it.
    """
    site = lens.site
    rows = []
    for factors in lens.factors:
        row = []
        for factor in factors:
            part = np.empty(len(factor.order))
            part[factor.order] = np.log(np.diag(factor.upper))
            row.append(part)
        rows.append(-np.concatenate(row))
    logs = np.stack(rows)
    inner = int(np.prod(site.weight.shape[2:])) if site.kind == "conv" else 1
    channels = logs.reshape(site.groups, -1, inner).mean(axis=2)
    whole = _near_one(np.exp(np.repeat(channels, inner, axis=1)))
    return whole, channels.size


def _groups(count: int) -> Callable[[Lens, F32], Iterator[Point]]:
    """A codebook and a payload for each group of rows of about one norm."""

    def way(lens: Lens, values: F32) -> Iterator[Point]:
        site = lens.site
        norms = _row_norms(site, values).reshape(-1)
        logs = np.log(np.maximum(norms, norms.max() * 1e-12))[:, np.newaxis]
        labels = (
            KMeans(min(count, len(np.unique(logs))), n_init=1, random_state=SEED).fit(logs).labels_
        )
        matrices = site.matrices(values)
        flat = matrices.reshape(-1, site.columns)
        for aim in AIMS:
            price = price_of(aim, lens.norm, site.weight.elements)
            result = np.empty_like(flat)
            labelled = -(-len(labels) * 3 // 8)
            sizes: dict[Codec, int] = {"huffman": labelled, "auto": labelled}
            for label in np.unique(labels):
                rows = np.flatnonzero(labels == label)
                # Which group of the convolution a row is of decides its factor.
                part = _of_rows(lens, rows)
                some = np.ascontiguousarray(flat[rows])
                made = shape(
                    part, some.reshape(-1), price, fit(part, some.reshape(-1), price).levels
                )
                result[rows] = made.values().reshape(some.shape)
                coded = CodedWeight(
                    some.shape, FLOAT, _width(made.codebook), made.codebook, made.codes
                )
                for codec in CODECS:
                    sizes[codec] += len(encode(coded, codec)[0])
            errors = _errors(lens, matrices - result.reshape(matrices.shape))
            yield _point(lens, matrices, errors, sizes, result.reshape(matrices.shape))

    return way


def _vectors(lens: Lens, values: F32) -> Iterator[Point]:
    """Product quantisation: one codebook of sub-vectors, whose codes are coded as those of a weight are."""
    matrix = lens.site.matrices(values)[0]
    for length, size in _VECTORS:
        # Fewer vectors than a codebook has places are no case for it.
        if matrix.shape[1] % length or matrix.size // length < 2 * size:
            continue
        parts = matrix.reshape(-1, length)
        means = MiniBatchKMeans(
            size, batch_size=_BATCH, n_init=1, max_iter=20, random_state=SEED
        ).fit(parts, sample_weight=np.repeat(lens.importance, matrix.shape[1] // length))
        codes = means.predict(parts).astype(np.uint8)
        book = means.cluster_centers_.astype(np.float16).astype(np.float32)
        # A payload's codebook has no vectors: it is left empty of meaning, and the vectors' bytes are added.
        shape_ = (len(matrix), matrix.shape[1] // length)
        stand_in = np.arange(1, size, dtype=np.float32)
        coded = CodedWeight(shape_, FLOAT, _width(stand_in), stand_in, codes)
        sizes = {
            codec: len(encode(coded, codec)[0]) - stand_in.nbytes + 2 * book.size
            for codec in CODECS
        }
        found = book[codes].reshape(lens.site.matrices(values).shape)
        matrices = lens.site.matrices(values)
        yield _point(lens, matrices, _errors(lens, matrices - found), sizes, found)


WAYS: dict[str, Callable[[Lens, F32], Iterator[Point]]] = {
    "one": _one,
    "outputs": _outputs,
    "inputs": _inputs,
    "inputs, powers of two": _inputs_in_powers,
    "importance": _importance,
    "4 groups": _groups(4),
    "vectors": _vectors,
}


def _scaled(lens: Lens, values: F32, rows: F64, columns: F64, *, scales: int) -> Iterator[Point]:
    """One codebook for the weight times scales, float64[groups, rows or 1] and [groups, columns or 1]."""
    site = lens.site
    matrices = site.matrices(values)
    scale = (rows[:, :, np.newaxis] * columns[:, np.newaxis, :]).astype(np.float32)
    turned = site.flat(matrices * scale).astype(np.float32)
    seen = scaled_lens(lens, rows, columns)
    for aim in AIMS:
        price = price_of(aim, lens.norm, site.weight.elements)
        made = shape(seen, turned, price, fit(seen, turned, price).levels)
        found = site.matrices(made.values()) / scale
        coded = coded_weight(site.weight, made.codes, made.codebook)
        sizes = {codec: len(encode(coded, codec)[0]) + SCALE_BYTES * scales for codec in CODECS}
        yield _point(lens, matrices, _errors(lens, matrices - found), sizes, found)


def scaled_lens(lens: Lens, rows: F64, columns: F64) -> Lens:
    """What errors cost in the scaled weight: with W' = W C, tr(D H D^T) = tr(D' C^-1 H C^-1 D'^T), so that U' = U C.

    Rows of a table or plain weight cost less by the square of their scale; those of products are taken to cost alike.
    """
    spread = np.broadcast_to(columns, (lens.site.groups, lens.site.columns))
    factors = tuple(
        tuple(
            replace(factor, upper=factor.upper * spread[group, part][factor.order])
            for factor, part in zip(blocks, lens.site.blocks, strict=True)
        )
        for group, blocks in enumerate(lens.factors)
    )
    importance = lens.importance if lens.factors else lens.importance / rows[0] ** 2
    return replace(lens, factors=factors, importance=importance)


def _errors(lens: Lens, gone: F32) -> F64:
    """What errors, float32[groups, rows, columns], cost row by row, float64[groups, rows]: |D U^-1|^2."""
    if not lens.factors:
        squares: F64 = np.square(gone, dtype=np.float64).sum(axis=2)
        return squares * lens.importance
    whole = np.zeros(gone.shape[:2])
    for group, blocks in enumerate(lens.factors):
        for factor, part in zip(blocks, lens.site.blocks, strict=True):
            piece = gone[group][:, part][:, factor.order].astype(np.float64)
            whole[group] += np.square(np.linalg.solve(factor.upper.T, piece.T)).sum(axis=0)
    return whole


def _point(lens: Lens, matrices: F32, errors: F64, sizes: dict[Codec, int], found: F32) -> Point:
    norms = _errors(lens, matrices)
    live = norms > _DEAD * norms.max()
    squares = np.square(matrices, dtype=np.float64).sum()
    wrong = np.square(matrices - found, dtype=np.float64).sum()
    return Point(
        sizes["huffman"],
        sizes["auto"],
        float(errors.sum() / norms.sum()),
        float((errors[live] / norms[live]).mean()),
        float(wrong / squares),
    )


def _of_rows(lens: Lens, rows: I64) -> Lens:
    """The lens of some rows, counted through all groups, where groups are one or have one row each."""
    site = lens.site
    if site.groups == 1:
        part = replace(
            site, kind="plain", rows=len(rows), pre=(len(rows), site.columns), order=(0, 1)
        )
        return replace(
            lens,
            site=part,
            importance=lens.importance[rows] if not lens.factors else lens.importance,
        )
    part = replace(
        site, kind="plain", groups=len(rows), pre=(len(rows), site.columns), order=(0, 1)
    )
    return replace(lens, site=part, factors=tuple(lens.factors[row] for row in rows.tolist()))


def _row_norms(site: Site, values: F32) -> F64:
    """Mean squares of every row, float64[groups, rows]."""
    means: F64 = np.square(site.matrices(values), dtype=np.float64).mean(axis=2)
    return means


def _near_one(scales: F64) -> F64:
    """Scales with a geometric mean of 1: prices and steps then stay what they are without any."""
    mean = float(np.exp(np.log(scales).mean()))
    return scales / mean


def _width(codebook: F32) -> int:
    return max(1, len(codebook).bit_length())
