"""The price that meets what was asked for: so much of the metric at most, or so many times smaller."""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sparsebook_compressor.calibration.allocation import (
    Curve,
    price_for_bits,
    price_for_loss,
)
from sparsebook_compressor.calibration.passing import Passed

GoalKind: TypeAlias = Literal["drop", "ratio"]

MOST_PASSES = 6
# Near enough to what was asked for to stop: of the drop, of the ratio, of the interval of prices.
_ENOUGH_DROP, _ENOUGH_RATIO, _ENOUGH_PRICE = 0.8, 1.02, 1.25
# Squared relative error of the outputs at which the search begins where nothing says what the metric makes of it.
_FIRST_LOSS = 0.05**2
_MOST_FACTOR = 16.0
# Of a share of answers that was subtracted from another: 1 - 0.995 is more than 0.005.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Goal:
    """What a compression is to come to.

    Attributes:
        kind: "drop": the smallest file whose metric drops at most by `limit`; "ratio": the best one that is `limit` times smaller.
        limit: a fraction of the metric, or a ratio.
        asked: whether the caller asked for it; else it is the preset's own.
        before: the original's metric on the eval part.
        squared: whether the metric's drop is the outputs' relative error itself, so that the price is its square.
        original: bytes of the model.
        fixed: bytes of it that are no weights.
    """

    kind: GoalKind
    limit: float
    asked: bool
    before: float
    squared: bool
    original: int
    fixed: int

    def drop(self, passed: Passed) -> float:
        """What the metric lost, an outputs' error with a standard error added; infinity where it is no number any more."""
        left = passed.spared if self.squared else passed.metric
        return math.inf if left is None else self.before - left

    def ratio(self, passed: Passed) -> float:
        """How many times smaller the file is, all but exact."""
        return self.original / (self.fixed + passed.bytes)

    def is_empty(self, passed: Passed) -> bool:
        """Whether a pass codes nothing, or nothing that is smaller: weights stay as they are at a price so low."""
        return not passed.coded or self.ratio(passed) <= 1

    def is_near(self, passed: Passed) -> bool:
        """Whether the metric of a pass drops no more than is allowed."""
        return self.drop(passed) <= self.limit + _ROUNDING

    def is_too_fine(self, passed: Passed) -> bool:
        """Whether a higher price may do as well, or is the only one at which anything is coded."""
        return self.is_near(passed) or self.is_empty(passed)

    def met(self, passed: Passed) -> bool:
        """Whether a pass comes to what is wanted."""
        if self.kind == "ratio":
            return self.ratio(passed) >= self.limit
        return self.is_near(passed) and not self.is_empty(passed)


@dataclass(frozen=True, slots=True)
class Found:
    """All passes in their order, and the one that is kept."""

    passes: tuple[Passed, ...]
    best: Passed


def search(
    goal: Goal,
    curves: list[Curve],
    run: Callable[[float, int], Passed],
    dearest: float = math.inf,
) -> Found:
    """Look for the goal's price.

    Args:
        goal: what is wanted.
        curves: of all weights.
        run: makes a pass at a price; it is given the pass's number too.
        dearest: the price from which on no pass differs from another. Curves of a weight that costs no bits, of equal elements say, know no
            price that is too high.
    """
    passes: list[Passed] = []
    best: Passed | None = None
    # Prices that meet a drop, and that do not; the other way round for a ratio.
    low, high = 0.0, math.inf
    wanted = _wanted_bits(goal)
    price = (
        price_for_bits(curves, wanted).price
        if goal.kind == "ratio"
        else price_for_loss(curves, goal.limit**2 if goal.squared else _FIRST_LOSS).price
    )
    price = min(price, dearest)
    while len(passes) < MOST_PASSES:
        passed = run(price, len(passes))
        passes.append(passed)
        kept = _better(goal, best, passed)
        for other in (best, passed):
            if other is not None and other is not kept:
                shutil.rmtree(other.folder)
        best = kept
        cheap_enough = goal.is_too_fine(passed) if goal.kind == "drop" else not goal.met(passed)
        low, high = (max(low, price), high) if cheap_enough else (low, min(high, price))
        if _is_finest(goal, passes) or _ends(goal, passed, low, high):
            break
        price = _next(goal, passes, low, high, curves, wanted)
    assert best is not None
    return Found(tuple(passes), best)


def _wanted_bits(goal: Goal) -> float:
    return max(1.0, 8 * (goal.original / goal.limit - goal.fixed)) if goal.kind == "ratio" else 0.0


def _better(goal: Goal, best: Passed | None, passed: Passed) -> Passed:
    """The smaller one of what meets a drop, the dearer of what meets a ratio; else what is nearer."""
    if best is None:
        return passed
    if goal.met(best) != goal.met(passed):
        return best if goal.met(best) else passed
    if goal.kind == "ratio":
        return max(best, passed, key=lambda each: each.bytes if goal.met(best) else -each.bytes)
    if goal.met(best):
        return min(best, passed, key=lambda each: each.bytes)
    return min(best, passed, key=lambda each: (goal.is_empty(each), goal.drop(each)))


def _is_finest(goal: Goal, passes: list[Passed]) -> bool:
    """Whether a finer pass than the last came to the same, and does not do: no price makes levels finer than there are."""
    if len(passes) < 2 or goal.kind == "ratio" or goal.met(passes[-1]):
        return False
    before, last = passes[-2:]
    return last.price < before.price and (last.bytes, last.metric) == (before.bytes, before.metric)


def _ends(goal: Goal, passed: Passed, low: float, high: float) -> bool:
    if low > 0 and high / low <= _ENOUGH_PRICE:
        return True
    if not goal.met(passed):
        return False
    if goal.kind == "ratio":
        return goal.ratio(passed) <= goal.limit * _ENOUGH_RATIO
    return goal.drop(passed) >= goal.limit * _ENOUGH_DROP


def _next(
    goal: Goal,
    passes: list[Passed],
    low: float,
    high: float,
    curves: list[Curve],
    wanted: float,
) -> float:
    """By what the last pass came to; half-way between the bounds, by logarithms, where that lies outside."""
    passed = passes[-1]
    price = passed.price
    if goal.kind == "ratio":
        # What the curves take for wanted bits is off by the headers, tables and the prefix: by as much as this pass was.
        predicted = sum(curve.between(price).bits for curve in curves)
        guess = price_for_bits(curves, predicted * wanted / max(1.0, 8.0 * passed.bytes)).price
        if len(passes) > 1 and math.isinf(high):
            # Of small weights most is tables, which the curves know nothing of: a step that they find long enough may do nothing.
            guess = max(guess, price * 2.0 ** (len(passes) - 1))
    else:
        # A drop grows as the outputs' error, the error as the root of the price.
        drop = 0.0 if goal.is_empty(passed) else max(goal.drop(passed), 0.0)
        factor = (goal.limit * 0.9 / drop) ** 2 if drop else _MOST_FACTOR
        guess = price * min(max(factor, 1 / _MOST_FACTOR), _MOST_FACTOR)
    if low < guess < high:
        return guess
    if low > 0 and math.isfinite(high):
        return math.sqrt(low * high)
    return price * 2 if guess >= price else price / 2
