"""What compressing a model would give, from a sample of every weight, in seconds; nothing is written."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sparsebook_compressor import admit, pack
from sparsebook_compressor.coding import share_values
from sparsebook_compressor.config import Config, Output
from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.graph.tensors import check_finite
from sparsebook_compressor.graph.view import Weight, survey
from sparsebook_compressor.payload import CodedWeight, encode
from sparsebook_compressor.plan import Plan, PlanRow, make_plan, require_work
from sparsebook_compressor.report import FileFacts, KeptRow
from sparsebook_compressor.rewrite.portable import expected_bytes
from sparsebook_compressor.rewrite.traces import leave_out_traces
from sparsebook_compressor.stages.prune import Cut, cut_by_density, survivors_of

F32 = npt.NDArray[np.float32]
Risk: TypeAlias = Literal["low", "medium", "high"]

_BLOCKS = 16
_BLOCK = 1 << 12
_FEWEST_SLICES = 8
# Relative RMS weight errors: below the first, outputs of the models tried stayed within a few percent; above the second,
# pruning without retraining changed what they say.
_LOW_ERROR, _HIGH_ERROR = 0.03, 0.15


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """What is expected of one weight."""

    name: str
    role: str
    shape: tuple[int, ...]
    elements: int
    density: float
    bits: int
    bytes_before: int
    bytes_expected: int
    relative_error: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is expected of a model; `risk` is to its accuracy without retraining, and `why` says what it rests on."""

    input: FileFacts
    rows: tuple[EstimateRow, ...]
    kept: tuple[KeptRow, ...]
    bytes_before: int
    bytes_expected: int
    ratio: float
    risk: Risk
    why: str


def estimate(model: Path, config: Config | None = None) -> Estimate:
    """Plan a compression and code samples of up to 65,536 elements of every weight.

    Raises:
        InputError: model or config cannot be used; the class says which.
    """
    config = config or Config()
    if config.preset == "small":
        raise BadValue(
            "config preset: what 'small' gives is decided by inputs, which an estimate does not look at; compress, or estimate 'safe', "
            "which 'small' stays below"
        )
    parsed = admit.load(model)
    source = pack.source_facts(model, parsed)
    traces = leave_out_traces(parsed)
    view = survey(parsed, model)
    plan = make_plan(view, config)
    require_work(plan, model.name, parsed)
    weights = {weight.name: weight for weight in view.weights}
    shared_cut = _global_cut(plan, weights) if plan.scope == "global" else None
    rows = tuple(
        _row(weights[row.name], row, shared_cut, plan.seed, config.output) for row in plan.rows
    )
    before = sum(row.bytes_before for row in rows)
    after = sum(min(row.bytes_expected, row.bytes_before) for row in rows)
    total = source.bytes - traces - before + after
    risk, why = _risk(rows)
    kept = tuple(KeptRow(kept.name, kept.shape, kept.bytes, kept.reason) for kept in plan.kept)
    return Estimate(source, rows, kept, source.bytes, total, source.bytes / total, risk, why)


def _sample(weight: Weight) -> F32:
    """Blocks of neighbours, evenly spread: gaps between non-zeros are as in the whole weight."""
    values = weight.read()
    if len(values) <= _BLOCKS * _BLOCK:
        sample = np.array(values)
    else:
        starts = np.linspace(0, len(values) - _BLOCK, _BLOCKS).astype(np.int64)
        sample = np.concatenate([values[start : start + _BLOCK] for start in starts])
    check_finite(sample, weight.name)
    return sample


def _slices(weight: Weight) -> tuple[F32, tuple[int, ...]]:
    """Slices of the first axis, evenly spread, and their shape: contexts of rows, columns and kernels are as in the whole weight.

    A weight whose slices are too large for several to be a sample gives the blocks of `_sample`, which know no rows.
    """
    count = _BLOCKS * _BLOCK * weight.shape[0] // max(1, weight.elements)
    if weight.elements <= _BLOCKS * _BLOCK:
        return _sample(weight), weight.shape
    if count < _FEWEST_SLICES:
        sample = _sample(weight)
        return sample, (len(sample),)
    chosen = np.linspace(0, weight.shape[0] - 1, count).astype(np.int64)
    sample = weight.read().reshape(weight.shape[0], -1)[chosen].reshape(-1)
    check_finite(sample, weight.name)
    return sample, (count, *weight.shape[1:])


def _global_cut(plan: Plan, weights: dict[str, Weight]) -> Cut:
    """As the pipeline's, from samples: each element of one stands for as many of its weight."""
    rows = [row for row in plan.rows if row.threshold is None]
    samples = [np.abs(_sample(weights[row.name])) for row in rows]
    keep = sum(survivors_of(row.density or 0.0, row.elements) for row in rows)
    if not keep:
        return Cut(math.inf)
    stands_for = [row.elements / len(sample) for row, sample in zip(rows, samples, strict=True)]
    magnitudes = np.concatenate(samples)
    order = np.argsort(-magnitudes)
    counts = np.cumsum(np.repeat(stands_for, [len(sample) for sample in samples])[order])
    last = order[min(int(np.searchsorted(counts, keep)), len(order) - 1)]
    # Just below the last one that is kept, so that it survives.
    return Cut(float(np.nextafter(magnitudes[last], np.float32(-1))))


def _row(
    weight: Weight, row: PlanRow, shared_cut: Cut | None, seed: int, output: Output
) -> EstimateRow:
    if row.codec == "huffman":
        sample = _sample(weight)
        shape: tuple[int, ...] = (len(sample),)
    else:
        sample, shape = _slices(weight)
    if row.threshold is not None:
        cut = Cut(row.threshold)
    else:
        cut = shared_cut or cut_by_density(sample, 1.0 if row.density is None else row.density)
    whole = weight.read().reshape(weight.shape)
    shared = share_values(sample, whole, weight.channel_axis, row, cut, seed)
    bits = max(1, len(shared.codebook).bit_length())
    coded = CodedWeight(shape, weight.dtype, bits, shared.codebook, shared.codes)
    _, facts = encode(coded, row.codec)
    scale = row.elements / max(1, len(sample))
    streams = (facts.bytes_codes + facts.bytes_gaps) * scale
    expected = int(streams) + facts.bytes_codebook + facts.bytes_tables
    if output == "dense":
        expected = weight.stored_bytes
    elif output == "portable":
        nonzeros = int(facts.nonzeros * scale)
        expected = expected_bytes(row.elements, nonzeros, len(shared.codebook))
    squared = shared.squared_error / shared.squared_norm if shared.squared_norm else 0.0
    return EstimateRow(
        name=row.name,
        role=row.role,
        shape=row.shape,
        elements=row.elements,
        density=facts.nonzeros / max(1, len(sample)),
        bits=row.bits,
        bytes_before=weight.stored_bytes,
        bytes_expected=expected,
        relative_error=squared**0.5,
    )


def _risk(rows: tuple[EstimateRow, ...]) -> tuple[Risk, str]:
    worst = max(rows, key=lambda row: row.relative_error)
    text = f"the largest relative error of a weight is {worst.relative_error:.1%} ({worst.name})"
    if worst.relative_error <= _LOW_ERROR:
        return "low", text
    if worst.relative_error <= _HIGH_ERROR:
        return "medium", f"{text}; compare outputs on your own data"
    return "high", f"{text}; without retraining accuracy will drop"
