"""Inputs made up for a model that came with none: shapes, ranges and token ids as its graph takes them."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from onnx import ModelProto

from sparsebook_compressor.errors import BadData, BadValue
from sparsebook_compressor.feeds import Feed, InputSpec
from sparsebook_compressor.graph.view import GraphView
from sparsebook_compressor.made_up import Lookups, candidates
from sparsebook_compressor.measure import first_line, required_session

# What layers are fitted to; what the search goes by, which adds a standard error to what it sees of a few; what is reported.
PARTS = {"": 80, "eval_": 64, "test_": 32}


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
        BadValue: an input is no tensor of numbers, there is none at all, or ONNX Runtime does not load the model.
    """
    if not specs:
        raise BadValue(
            f"{model.name}: the model has no inputs, so that the preset small has nothing to vary; take 'safe' or 'paper'"
        )
    unfit = next((spec.name for spec in specs if spec.dtype is None), None)
    if unfit is not None:
        raise BadValue(
            f"{model.name}: the input {unfit!r} is no tensor of numbers, so that the preset small cannot run it; take 'safe' or 'paper'"
        )
    running = required_session(model)
    failure = "its inputs are too large to make up"
    lookups = Lookups.of(parsed, view, without=256)
    for feeds in candidates(specs, lookups, seed, sum(PARTS.values())):
        try:
            for feed in feeds[:2]:
                running.run(None, feed)
        except Exception as error:  # the next size may suit; the last reason is reported
            failure = first_line(error)
            continue
        np.savez(to, allow_pickle=False, **_arrays(specs, feeds))
        return to
    raise BadData(
        f"{model.name}: does not run on inputs that were made up ({failure}); give an .npz of real ones (--data F.npz)"
    )


def _arrays(specs: Sequence[InputSpec], feeds: Sequence[Feed]) -> Feed:
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
