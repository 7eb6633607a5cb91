"""A plan carried out without training: every weight pruned, shared and encoded once it is read, a few side by side."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.base import Base
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.coding import Coded, code
from sparsebook_compressor.config import Config
from sparsebook_compressor.cutting import Cuts
from sparsebook_compressor.graph.tensors import check_finite
from sparsebook_compressor.graph.view import GraphView, Kept, Weight
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.plan import Plan, PlanRow
from sparsebook_compressor.replacing import expected_bytes, not_smaller, replace
from sparsebook_compressor.rewrite.surgery import Surgeon
from sparsebook_compressor.summary import Done

F32 = npt.NDArray[np.float32]


# Elements of the weights that are worked on at a time, one weight that is larger apart: 13 bytes each at the most.
_MOST_ELEMENTS = 1 << 26
_MOST_THREADS = 16


def execute(
    surgeon: Surgeon,
    view: GraphView,
    plan: Plan,
    config: Config,
    clock: Clock,
    base: Base | None = None,
) -> Done:
    """Prune, share and encode every weight of a plan, and put what becomes smaller into the model.

    Weights are worked on side by side, one on each core; what they become does not depend on how many that are. Where there is
    a base, a weight keeps its codebook and codes as far as its error allows.
    """
    weights = {weight.name: weight for weight in view.weights}
    kept = list(plan.kept)
    coded: list[Coded] = []
    with clock.stage("prune"):
        cuts = Cuts(plan, lambda name: _values(weights[name]))
    total = sum(row.elements for row in plan.rows)
    finished = 0
    # A cut over all weights hands its ties on from one to the next.
    threads = 1 if plan.scope == "global" else _cores()
    for row, made in _in_order(plan, partial(_code, weights, cuts, plan.seed, base), threads):
        weight = weights[row.name]
        with clock.weight(row.name, finished / total, (finished + row.elements) / total):
            clock.show("prune")
            clock.show("share")
            result, values, payload, own_clock = made()
            clock.show("encode")
            clock.add(own_clock)
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


_Made: TypeAlias = tuple[Coded, CodedWeight, bytes, Clock]


def _code(
    weights: dict[str, Weight], cuts: Cuts, seed: int, base: Base | None, row: PlanRow
) -> _Made:
    weight, clock = weights[row.name], Clock(None)
    with clock.stage("prune"):
        cut = cuts.next(row, _values(weight))
    before = None if base is None else base.find(weight)
    return *code(weight, row, cut, seed, clock, before), clock


def _in_order(
    plan: Plan, work: Callable[[PlanRow], _Made], threads: int
) -> Iterator[tuple[PlanRow, Callable[[], _Made]]]:
    """The rows with what becomes of each: they are worked on ahead, as far as memory and threads go."""
    if threads == 1:
        yield from ((row, partial(work, row)) for row in plan.rows)
        return
    waiting: deque[tuple[PlanRow, Future[_Made]]] = deque()
    ahead = 0
    with ThreadPoolExecutor(threads) as pool:
        try:
            for row in plan.rows:
                while waiting and (
                    len(waiting) >= threads or ahead + row.elements > _MOST_ELEMENTS
                ):
                    first, future = waiting.popleft()
                    yield first, future.result
                    ahead -= first.elements
                waiting.append((row, pool.submit(work, row)))
                ahead += row.elements
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result
        finally:
            pool.shutdown(cancel_futures=True)


def _cores() -> int:
    return min(len(os.sched_getaffinity(0)), _MOST_THREADS)


def _values(weight: Weight) -> F32:
    values = weight.read()
    check_finite(values, weight.name)
    return values
