"""A plan carried out without training: weight by weight, pruned, shared and encoded before the next one is read."""

from sparsebook_compressor.clock import Clock
from sparsebook_compressor.coding import Coded, code
from sparsebook_compressor.config import Config
from sparsebook_compressor.graph.tensors import check_finite
from sparsebook_compressor.graph.view import GraphView, Kept, Weight
from sparsebook_compressor.plan import Plan, PlanRow
from sparsebook_compressor.replacing import expected_bytes, not_smaller, replace
from sparsebook_compressor.rewrite.surgery import Surgeon
from sparsebook_compressor.stages.prune import (
    Cut,
    behind,
    cut_by_density,
    cut_by_rank,
    survivors_of,
)
from sparsebook_compressor.summary import Done


def execute(surgeon: Surgeon, view: GraphView, plan: Plan, config: Config, clock: Clock) -> Done:
    """Prune, share and encode every weight of a plan, and put what becomes smaller into the model."""
    weights = {weight.name: weight for weight in view.weights}
    kept = list(plan.kept)
    coded: list[Coded] = []
    shared_cut = _global_cut(plan, weights, clock) if plan.scope == "global" else None
    total = sum(row.elements for row in plan.rows)
    finished = 0
    for row in plan.rows:
        weight = weights[row.name]
        with clock.weight(row.name, finished / total, (finished + row.elements) / total):
            if shared_cut is None or row.threshold is not None:
                cut = _cut(weight, row, clock)
            else:
                cut, shared_cut = shared_cut, behind(shared_cut, weight.read())
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


def _cut(weight: Weight, row: PlanRow, clock: Clock) -> Cut:
    with clock.stage("prune"):
        values = weight.read()
        check_finite(values, weight.name)
        if row.threshold is not None:
            return Cut(row.threshold)
        return cut_by_density(values, 1.0 if row.density is None else row.density)


def _global_cut(plan: Plan, weights: dict[str, Weight], clock: Clock) -> Cut:
    """One cut for all weights together, at the mean of their planned densities."""
    with clock.stage("prune"):
        rows = [row for row in plan.rows if row.threshold is None]
        for row in rows:
            check_finite(weights[row.name].read(), row.name)
        keep = sum(survivors_of(row.density or 0.0, row.elements) for row in rows)
        return cut_by_rank(lambda: (weights[row.name].read() for row in rows), keep)
