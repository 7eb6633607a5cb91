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
from sparsebook_compressor.cutting import Cuts
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.plan import Plan, PlanRow
from sparsebook_compressor.protocol import CutRow
from sparsebook_compressor.replacing import expected_bytes
from sparsebook_compressor.stages.prune import Cut, pruned
from sparsebook_compressor.training.orders.finetuning import FineTuning
from sparsebook_compressor.training.orders.settings import density_of_round
from sparsebook_compressor.training.orders.values import Values

F32 = npt.NDArray[np.float32]

# All that is not zero survives: pruning has been done.
_NOTHING = Cut(-math.inf)
# Elements looked at in float64 at a time.
_BLOCK = 1 << 18


def prune_and_retrain(plan: Plan, tuning: FineTuning) -> None:
    """Prune to the plan's densities in rounds, and retrain behind each (arXiv 1510.00149, section 2).

    As long as nothing has been taken from any weight, a copy of the original has nothing to learn from the original.
    """
    epochs = tuning.task.settings.round_epochs
    names = [row.name for row in plan.rows]
    for number, limit in enumerate(epochs, 1):
        with tuning.task.clock.one_of(number - 1, len(epochs), "prune", "retrain"):
            cuts = prune(plan, tuning.values, tuning.task.clock, number, len(epochs))
            tuning.journal.cuts += cuts
            if tuning.task.objective.imitates and _is_whole(cuts, tuning.values):
                continue
            rate = tuning.task.settings.rate if number < len(epochs) else 0.0
            tuning.retrain(names, number, limit, rate)


def prune(
    plan: Plan, values: Values, clock: Clock, number: int = 1, rounds: int = 1
) -> list[CutRow]:
    """Set to zero what a round of pruning takes.

    Args:
        plan: densities or thresholds of all weights.
        values: the weights, changed.
        clock: is told.
        number: of the round, from 1.
        rounds: how many there are; the last one reaches the plan.

    Returns:
        What was done to each weight, for the account.
    """
    rows = []
    with clock.stage("prune"):
        reach = partial(density_of_round, number=number, rounds=rounds)
        cuts = Cuts(plan, values.read, reach)
        for row in plan.rows:
            weight = values.read(row.name)
            cut = cuts.next(row, weight)
            left = pruned(weight, cut)
            values.write(row.name, left)
            rows.append(CutRow(number, row.name, _threshold(cut), int(np.count_nonzero(left))))
    return rows


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
                values.begin_sharing(row.name, shared.coded.codebook)
                values.share(row.name, shared.coded.codes, shared.coded.codebook)


def coded_now(weight: Weight, values: Values) -> CodedWeight:
    """A shared weight as it is now."""
    name = weight.name
    return coded_weight(weight, np.array(values.codes(name)), values.codebooks[name])


def as_coded(weight: Weight, values: Values) -> SharedWeight:
    """A shared weight as it is now, and how far it is from the user's own, block by block."""
    coded = coded_now(weight, values)
    table = np.concatenate([np.zeros(1), coded.codebook.astype(np.float64)])
    original = values.original(weight.name)
    error = norm = 0.0
    for start in range(0, len(original), _BLOCK):
        block = original[start : start + _BLOCK].astype(np.float64)
        norm += float(np.square(block).sum())
        block -= table[coded.codes[start : start + _BLOCK]]
        error += float(np.square(block).sum())
    return SharedWeight(coded, error, norm)


def bytes_now(weight: Weight, row: PlanRow, values: Values, output: Output) -> int:
    """What a weight as it is now takes in an artifact: coded where it is shared, else its floats."""
    if row.name not in values.codebooks:
        return weight.stored_bytes
    result, payload = encode_weight(weight, row, as_coded(weight, values))
    return expected_bytes(result, payload, output)


def _is_whole(cuts: list[CutRow], values: Values) -> bool:
    """Whether every weight is still the user's own, but for zeros that it had."""
    return all(cut.survivors == int(np.count_nonzero(values.original(cut.weight))) for cut in cuts)


def _threshold(cut: Cut) -> float | None:
    """For the account: exact zeros never survive, so that what keeps all else is a threshold of 0."""
    return None if math.isinf(cut.threshold) else max(0.0, cut.threshold)
