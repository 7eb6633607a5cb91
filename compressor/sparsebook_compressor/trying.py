"""The same inputs through a model and its artifact: how the outputs differ, and how long each takes."""

import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from sparsebook_compressor import admit, feeds, measure
from sparsebook_compressor.artifact import payloads
from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.made_up import Lookups
from sparsebook_compressor.pack import source_facts
from sparsebook_compressor.timing import THOROUGH
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_compressor.trial import Example, Pair, Trial

# Values of an output that are shown side by side.
SHOWN = 8


def try_both(
    model: Path,
    artifact: Path,
    *,
    data: Sequence[Path] = (),
    library: Path | None,
    seed: int = 0,
) -> Trial:
    """Run both on the same inputs, on one thread.

    Args:
        model: the original; its external data lies in the same folder.
        artifact: what became of it.
        data: .npz files with samples (docs/data.md), of which the test part is taken; without any, inputs are made up.
        library: the operator library, which an artifact with operators needs.
        seed: of inputs that are made up, and of the data's split.

    Raises:
        BadData: the data does not fit the model.
        BadValue: the original cannot be run here.
        InternalError: the original runs and the artifact does not.
    """
    parsed = admit.load(model)
    specs = feeds.input_specs(parsed)
    lookups = Lookups.of(parsed, survey(parsed, model))
    output = "operator" if payloads(admit.load(artifact), artifact) else "portable"
    size = source_facts(model, parsed).bytes
    del parsed
    with tempfile.TemporaryDirectory(prefix="sparsebook-") as folder:
        given = None
        if data:
            dataset = Dataset.prepare(data, specs, Path(folder) / "data", seed, trains=False)
            names = [spec.name for spec in specs]
            given = list(islice(dataset.batches("test", 1, names), feeds.MOST_SAMPLES))
        found = measure.compare(
            model,
            artifact,
            specs,
            given,
            lookups=lookups,
            seed=seed,
            output=output,
            library=library,
            size=size,
            effort=THOROUGH,
        )
    if found.fidelity.skipped is not None:
        raise BadValue(f"{model.name}: {found.fidelity.skipped}")
    examples = (
        _example(name, before, after)
        for name, before, after in zip(found.names, found.before, found.after, strict=True)
    )
    return Trial(found.fidelity, tuple(each for each in examples if each.pairs))


def _example(name: str, before: measure.Array | None, after: measure.Array | None) -> Example:
    if (
        before is None
        or after is None
        or before.shape != after.shape
        or before.dtype.kind not in "fiu"
    ):
        return Example(name, ())
    values = np.nan_to_num(before.reshape(-1).astype(np.float64))
    largest = np.argsort(-values, kind="stable")[:SHOWN]
    other = np.nan_to_num(after.reshape(-1).astype(np.float64))
    return Example(
        name,
        tuple(
            Pair(
                tuple(int(part) for part in np.unravel_index(at, before.shape)),
                float(values[at]),
                float(other[at]),
            )
            for at in largest
        ),
    )
