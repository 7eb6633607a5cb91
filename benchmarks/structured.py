"""Structured sharing: scales of channels, codebooks for groups, vectors, against one codebook of values, at equal distortion.

    make structured    or    .venv/bin/python -m benchmarks.structured [MODEL …]

Weights of real models are seen as the preset `small` sees them (second moments of a layer's inputs, the use of a table's rows, 64 samples) and
shared at several prices of a bit, with error feedback, in each of these ways:

    one         what is built: one codebook for a weight
    outputs     a scale for each output channel, or row of a table, so that all have one norm
    inputs      a scale for each input channel, so that an error costs alike in all: what reverse water-filling asks for
    inputs, powers of two   the same in powers of two
    importance  a scale for each row of a table, by how often it is looked up
    4 groups    a codebook and a payload for each of four groups of output channels of about one norm
    vectors     product quantisation of a table by MiniBatchKMeans: 2, 4 or 8 values a vector, 64 or 256 vectors

Bytes are whole payloads, with two for each scale and each value of a vectors' codebook. A way's bytes are read off its own points at the
distortion that `one` has, between them as the logarithm of the distortion runs; less than 1 is fewer bytes.

Besides, without samples, the preset `safe`, whose error counts all output channels alike: what it takes for a weight, and what for the same weight
once every output channel has the same norm. What a product with the scales behind each convolution would take of an
artifact's time is measured with scales of 1.
"""

import argparse
import dataclasses
from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.results import show, write
from benchmarks.structured_cost import COSTLY, cost
from benchmarks.structured_runs import SAMPLES, Row, rows
from benchmarks.structured_safe import Safe, safe_rows
from benchmarks.structured_ways import AIMS, CODECS, SEED, WAYS, Point

MODELS = (
    "minilm",
    "gru-encoder",
    "ppocr-cls",
    "silero",
    "benchmarks/baselines/transformer.onnx",
    "benchmarks/baselines/lstm.onnx",
)
_MEASURES = ("layer", "mse")
_SAFE = (
    "weights",
    "spread of norms, octaves",
    "safe, Huffman",
    "error",
    "scaled, Huffman",
    "auto",
    "error",
    "powers of two, Huffman",
    "auto",
    "error",
)
_COST = ("model", "convolutions", "milliseconds", "with Mul")


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "models", nargs="*", default=MODELS, help="of the peers' benchmark, or files"
    )
    models = parser.parse_args().models
    with threadpool_limits(1, user_api="blas"):
        found = [row for model in models for row in rows(model)]
    for measure in _MEASURES:
        for codec in CODECS:
            title = f"Bytes for those of one codebook at equal {measure}, codec {codec}"
            show(title, ("weights", "elements", *list(WAYS)[1:]), _table(found, measure, codec))
    alike = list(safe_rows())
    show(
        "`safe` on weights whose output channels have one norm, for its bytes without",
        _SAFE,
        _of_safe(alike),
    )
    costs = [cost(name) for name in COSTLY]
    show(
        "CPU time with a Mul behind every convolution, for that without",
        _COST,
        [
            (each.model, str(each.convolutions), f"{each.milliseconds:.2f}", f"{each.ratio:.3f}")
            for each in costs
        ],
    )
    whole = set(models) >= set(MODELS)
    facts = {
        "safe": [dataclasses.asdict(row) for row in alike],
        "costs": [dataclasses.asdict(each) for each in costs],
        "seed": SEED,
        "samples": SAMPLES,
        "aims": AIMS,
        "models": list(models),
    }
    print(
        "written:",
        write("structured", [dataclasses.asdict(row) for row in found], whole=whole, **facts),
    )


def _table(found: list[Row], measure: str, codec: str) -> list[Sequence[str]]:
    """Classes, and models within them."""
    keys = sorted({(row.kind, row.model) for row in found})
    cells: list[Sequence[str]] = []
    for kind in dict.fromkeys(key[0] for key in keys):
        for model in [key[1] for key in keys if key[0] == kind]:
            part = [row for row in found if (row.kind, row.model) == (kind, model)]
            cells.append(_cells(f"{kind}, {model}", part, measure, codec))
        whole = [row for row in found if row.kind == kind]
        cells.append(_cells(f"all {kind}", whole, measure, codec))
    return cells


def _of_safe(found: list[Safe]) -> list[Sequence[str]]:
    """Models within classes, and classes whole."""
    keys = sorted({(row.kind, row.model) for row in found})
    groups = [
        (f"{kind}, {model}", [row for row in found if (row.kind, row.model) == (kind, model)])
        for kind, model in keys
    ]
    kinds = dict.fromkeys(kind for kind, _ in keys)
    groups += [(f"all {kind}", [row for row in found if row.kind == kind]) for kind in kinds]
    groups.append(("all", found))
    cells: list[Sequence[str]] = []
    for name, part in groups:
        weights = [row.elements for row in part]
        spread = float(np.average([row.spread for row in part], weights=weights))
        before = {codec: sum(getattr(row.plain, codec) for row in part) for codec in CODECS}
        texts = [f"{spread:.2f}", f"{before['huffman']:,}", f"{_error(part, 'plain'):.2%}"]
        for way in ("scaled", "powers"):
            after = [sum(getattr(getattr(row, way), c) for row in part) for c in CODECS]
            ratios = [size / before[codec] for size, codec in zip(after, CODECS, strict=True)]
            texts += [*(f"{each:.3f}" for each in ratios), f"{_error(part, way):.2%}"]
        cells.append((name, *texts))
    return cells


def _error(part: list[Safe], way: str) -> float:
    """Of the channels, over weights by their elements."""
    squares = [getattr(row, way).error ** 2 for row in part]
    return float(np.sqrt(np.average(squares, weights=[row.elements for row in part])))


def _cells(name: str, part: list[Row], measure: str, codec: str) -> Sequence[str]:
    base = {(row.model, row.weight): row for row in part if row.way == "one"}
    elements = sum(row.elements for row in base.values())
    texts = []
    for way in list(WAYS)[1:]:
        own = {(row.model, row.weight): row for row in part if row.way == way}
        found = ratio([(base[key], row) for key, row in own.items()], measure, codec)
        texts.append("" if found is None else f"{found:.3f}")
    return name, f"{elements:,}", *texts


def ratio(pairs: list[tuple[Row, Row]], measure: str, codec: str) -> float | None:
    """Bytes of a way for those of one codebook, over the prices between the first and the last; None without weights."""
    if not pairs:
        return None
    ours = theirs = 0.0
    for one, other in pairs:
        for point in one.points[1:-1]:
            theirs += getattr(point, codec)
            ours += _bytes_at(other.points, getattr(point, measure), measure, codec)
    return ours / theirs


def _bytes_at(points: Sequence[Point], distortion: float, measure: str, codec: str) -> float:
    """What a way takes at a distortion, between its two points around it, or along the two nearest ones."""
    errors = np.log([max(getattr(point, measure), 1e-30) for point in points])
    sizes = np.array([getattr(point, codec) for point in points], np.float64)
    order = np.argsort(errors)
    errors, sizes = errors[order], sizes[order]
    at = float(np.log(max(distortion, 1e-30)))
    right = int(np.clip(np.searchsorted(errors, at), 1, len(errors) - 1))
    span = errors[right] - errors[right - 1]
    share = 0.0 if span <= 0 else (at - errors[right - 1]) / span
    return float(max(0.0, sizes[right - 1] + share * (sizes[right] - sizes[right - 1])))


if __name__ == "__main__":
    main()
