"""What both models are run on: the caller's samples or synthetic ones, batch by batch."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from pathlib import Path

import numpy as np

from sparsebook_compressor.errors import BadData, BadValue
from sparsebook_compressor.feeds import Feed, InputSpec, shown, synthetic
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.made_up import Lookups, readings, sizes
from sparsebook_compressor.measure import first_line, session
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_service.bench.subject import Subject

SEED = 0


@dataclass(frozen=True)
class Feeds:
    """Inputs by batch, and what is to be said of batches that there are none for."""

    by_batch: dict[int, Feed]
    notes: tuple[str, ...]


def check_same(artifact: tuple[InputSpec, ...], model: tuple[InputSpec, ...]) -> None:
    """Two models can be compared only on the same inputs.

    Raises:
        BadValue: an input of one is not an input of the other, or takes something else there.
    """
    here, there = ({spec.name: spec for spec in specs} for specs in (artifact, model))
    for name in {**there, **here}:
        if name not in here or name not in there:
            has, lacks = ("model", "artifact") if name in there else ("artifact", "model")
            raise BadValue(
                f"the {has} has an input {name!r} that the {lacks} lacks: is it the model that the artifact was made from?"
            )
        ours, theirs = here[name], there[name]
        pairs = zip(ours.dims, theirs.dims, strict=False)
        fits = len(ours.dims) == len(theirs.dims) and all(
            a == b or a is None or b is None for a, b in pairs
        )
        if ours.dtype != theirs.dtype or not fits:
            raise BadValue(
                f"the input {name!r} is {ours.dtype} {shown(ours.dims)} in the artifact and {theirs.dtype} {shown(theirs.dims)} "
                "in the model: is it the model that the artifact was made from?"
            )


def find(
    original: Subject,
    specs: tuple[InputSpec, ...],
    data: Sequence[Path],
    batches: Sequence[int],
) -> Feeds:
    """Feeds that the original runs on.

    Args:
        original: the model that an artifact was made from.
        specs: its inputs.
        data: .npz files, one array an input; none where samples are to be made up.
        batches: wanted; where the batch is fixed there is one feed, of that batch.

    Raises:
        BadData: the samples do not fit the model, or it runs on none that could be made up.
        BadValue: an input is no tensor of numbers.
    """
    unfit = next((spec.name for spec in specs if spec.dtype is None), None)
    if unfit is not None:
        raise BadValue(
            f"the input {unfit!r} is no tensor of numbers, so there is nothing to run on"
        )
    wanted, notes = _possible(specs, batches)
    running = session(original.path)
    reason = ""
    for candidates in _candidates(original, specs, data, wanted):
        found: dict[int, Feed] = {}
        for batch, feed in candidates.items():
            try:
                running.run(None, feed)
            except Exception as error:  # the next size may suit; the last reason is told
                reason = first_line(error)
                continue
            found[batch] = feed
        if wanted[0] in found:
            lost = [batch for batch in wanted if batch not in found]
            notes += [f"batch {batch}: the model does not run on it: {reason}" for batch in lost]
            return Feeds(found, tuple(notes))
    if data:
        raise BadData(f"the model does not run on the data: {reason}")
    raise BadData(
        f"the model does not run on synthetic inputs: {reason or 'they would be too large'}; give samples with --data"
    )


def _possible(
    specs: tuple[InputSpec, ...], batches: Sequence[int]
) -> tuple[tuple[int, ...], list[str]]:
    """The batches that the inputs allow."""
    if any(spec.dims and spec.dims[0] is None for spec in specs):
        return tuple(sorted(set(batches))), []
    fixed = next((spec.dims[0] for spec in specs if spec.dims), None) or 1
    return (fixed,), [f"the model's batch is fixed: it was run as it is, at {fixed}"]


def _candidates(
    original: Subject,
    specs: tuple[InputSpec, ...],
    data: Sequence[Path],
    batches: tuple[int, ...],
) -> Iterator[dict[int, Feed]]:
    if data:
        yield _given(specs, data, batches)
        return
    lookups = Lookups.of(original.parsed, survey(original.parsed, original.path))
    # Where the batch is free, the reading that moves it in all inputs goes first: the other may run at the smallest batch by chance.
    found = readings(specs)
    ordered = found if len(batches) == 1 else tuple(reversed(found))
    for narrowed, read in product(lookups.narrowed(specs), ordered):
        for size in sizes(read):
            feeds = {b: synthetic(at_batch(read, b), size, narrowed.rows, SEED, 1) for b in batches}
            yield {b: narrowed.fitted(made, SEED)[0] for b, made in feeds.items() if made}


def at_batch(specs: tuple[InputSpec, ...], batch: int) -> tuple[InputSpec, ...]:
    """Inputs whose batch is fixed: the first dimension where it is free, and every dimension of the same name."""
    names = {
        spec.symbols[0] for spec in specs if spec.dims and spec.dims[0] is None and spec.symbols[0]
    }
    return tuple(
        replace(
            spec,
            dims=tuple(
                batch if dim is None and (axis == 0 or symbol in names) else dim
                for axis, (dim, symbol) in enumerate(zip(spec.dims, spec.symbols, strict=True))
            ),
        )
        for spec in specs
    )


def _given(
    specs: tuple[InputSpec, ...], data: Sequence[Path], batches: tuple[int, ...]
) -> dict[int, Feed]:
    """The first samples of the caller's, from the start again where there are too few for a batch."""
    names = [spec.name for spec in specs]
    with tempfile.TemporaryDirectory(prefix="sparsebook-") as folder:
        dataset = Dataset.prepare(data, specs, Path(folder), SEED, trains=False)
        most = max(batches) if dataset.batchable else 1
        samples = list(islice(dataset.batches("test", 1, names), most))
    if not dataset.batchable:
        return {batches[0]: samples[0]}
    return {
        batch: {
            name: np.concatenate([samples[i % len(samples)][name] for i in range(batch)])
            for name in names
        }
        for batch in batches
    }
