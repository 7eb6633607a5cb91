"""The stages that training goes between: prune in rounds with retraining behind each, share, tune the centroids."""

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.clock import Clock
from sparsebook_compressor.coding import (
    SharedWeight,
    coded_weight,
    encode_weight,
    share_weight,
)
from sparsebook_compressor.config import Output
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.plan import Plan, PlanRow
from sparsebook_compressor.replacing import expected_bytes
from sparsebook_compressor.stages.prune import (
    Cut,
    behind,
    cut_by_density,
    cut_by_rank,
    survivors,
    survivors_of,
)
from sparsebook_compressor.training.finetuning import FineTuning
from sparsebook_compressor.training.settings import density_of_round
from sparsebook_compressor.training.values import Values

F32 = npt.NDArray[np.float32]

# All that is not zero survives: pruning has been done.
_NOTHING = Cut(-math.inf)


def prune_and_retrain(plan: Plan, tuning: FineTuning) -> None:
    """Prune to the plan's densities in rounds, and retrain behind each (arXiv 1510.00149, section 2)."""
    epochs = tuning.settings.round_epochs
    names = [row.name for row in plan.rows]
    for number, limit in enumerate(epochs, 1):
        with tuning.clock.one_of(number - 1, len(epochs), "prune", "retrain"):
            prune(plan, tuning.values, tuning.clock, number, len(epochs))
            rate = tuning.settings.rate if number < len(epochs) else 0.0
            tuning.retrain(names, number, limit, rate)


def prune(plan: Plan, values: Values, clock: Clock, number: int = 1, rounds: int = 1) -> None:
    """Set to zero what a round of pruning takes.

    Args:
        plan: densities or thresholds of all weights.
        values: the weights, changed.
        clock: is told.
        number: of the round, from 1.
        rounds: how many there are; the last one reaches the plan.
    """
    with clock.stage("prune"):
        ranked = [row for row in plan.rows if row.threshold is None]
        shared = _global_cut(ranked, values, number, rounds) if plan.scope == "global" else None
        for row in plan.rows:
            weight = values.read(row.name)
            if shared is not None and row.threshold is None:
                cut, shared = shared, behind(shared, weight)
            else:
                cut = _cut(row, weight, number, rounds)
            pruned = np.zeros_like(weight)
            for start, mask in survivors(weight, cut):
                piece = slice(start, start + len(mask))
                pruned[piece] = np.where(mask, weight[piece], np.float32(0))
            values.write(row.name, pruned)


def share(
    plan: Plan, weights: Mapping[str, Weight], values: Values, output: Output, clock: Clock
) -> None:
    """Share the survivors of every planned weight by k-means; one that would not become smaller keeps its floats."""
    with clock.stage("share"):
        for row in plan.rows:
            weight = weights[row.name]
            read = partial(values.read, row.name)
            shared = share_weight(weight, read, row, _NOTHING, plan.seed)
            result, payload = encode_weight(weight, row, shared)
            if expected_bytes(result, payload, output) < weight.stored_bytes:
                values.share(row.name, shared.coded.codes, shared.coded.codebook)


def as_coded(weight: Weight, values: Values) -> SharedWeight:
    """A shared weight as it is now, and how far it is from the user's own."""
    name = weight.name
    coded = coded_weight(weight, np.array(values.codes(name)), values.codebooks[name])
    original = values.original(name).astype(np.float64)
    error = float(np.square(original - coded.values().reshape(-1)).sum())
    return SharedWeight(coded, error, float(np.square(original).sum()))


def _cut(row: PlanRow, weight: F32, number: int, rounds: int) -> Cut:
    if row.threshold is not None:
        # A threshold says nothing of the way to it: all of it is cut at once, and what training moves below it again.
        return Cut(row.threshold)
    density = 1.0 if row.density is None else row.density
    return cut_by_density(weight, density_of_round(density, number, rounds))


def _global_cut(rows: list[PlanRow], values: Values, number: int, rounds: int) -> Cut:
    """One cut for all weights together, at the mean of their densities in this round."""
    keep = sum(
        survivors_of(density_of_round(row.density or 0.0, number, rounds), row.elements)
        for row in rows
    )
    return cut_by_rank(lambda: (values.read(row.name) for row in rows), keep)
