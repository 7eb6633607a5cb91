"""A plan carried out without training: weight by weight, pruned, shared and encoded before the next one is read."""

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.clock import Clock
from sparsebook_compressor.coding import Coded, code
from sparsebook_compressor.config import Config
from sparsebook_compressor.cutting import Cuts
from sparsebook_compressor.graph.tensors import check_finite
from sparsebook_compressor.graph.view import GraphView, Kept, Weight
from sparsebook_compressor.plan import Plan, PlanRow
from sparsebook_compressor.replacing import expected_bytes, not_smaller, replace
from sparsebook_compressor.rewrite.surgery import Surgeon
from sparsebook_compressor.stages.prune import Cut
from sparsebook_compressor.summary import Done

F32 = npt.NDArray[np.float32]


def execute(surgeon: Surgeon, view: GraphView, plan: Plan, config: Config, clock: Clock) -> Done:
    """Prune, share and encode every weight of a plan, and put what becomes smaller into the model."""
    weights = {weight.name: weight for weight in view.weights}
    kept = list(plan.kept)
    coded: list[Coded] = []
    with clock.stage("prune"):
        cuts = Cuts(plan, lambda name: _values(weights[name]))
    total = sum(row.elements for row in plan.rows)
    finished = 0
    for row in plan.rows:
        weight = weights[row.name]
        with clock.weight(row.name, finished / total, (finished + row.elements) / total):
            cut = _cut(cuts, weight, row, clock)
            result, values, payload = code(weight, row, cut, plan.seed, clock)
            expected = expected_bytes(result, payload, config.output)
            if expected < weight.stored_bytes:
                with clock.stage("pack"):
                    size = replace(surgeon, weight, result, values, payload, config.output)
                coded.append(result.stored_as(size))
            else:
                reason = not_smaller(expected)
                kept.append(Kept(weight.name, weight.shape, weight.stored_bytes, reason))
        finished += row.elements
    return Done(tuple(coded), tuple(kept))


def _cut(cuts: Cuts, weight: Weight, row: PlanRow, clock: Clock) -> Cut:
    with clock.stage("prune"):
        return cuts.next(row, _values(weight))


def _values(weight: Weight) -> F32:
    values = weight.read()
    check_finite(values, weight.name)
    return values
