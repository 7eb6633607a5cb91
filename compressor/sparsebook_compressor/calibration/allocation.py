"""Where bits go: one price of a bit for all weights, at which each takes the point of its own curve that is best.

Minimising the sum of losses for a sum of bits is minimising `loss + price x bits` for each weight alone, at one price (Shoham and Gersho,
IEEE Trans. ASSP 36(9), 1988). Only points on the lower convex hull are ever best.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

# The interval of prices is halved so often: 2^-40 of 40 powers of two is no bit any more.
_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Point:
    """What a weight may come to.

    Attributes:
        bits: of all its elements together.
        loss: its part of the outputs' squared relative error.
    """

    bits: float
    loss: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one weight on their lower convex hull, most bits first."""

    points: tuple[Point, ...]

    @classmethod
    def of(cls, points: Sequence[Point]) -> "Curve":
        """The hull of some points, at least one."""
        hull: list[Point] = []
        for point in sorted(points, key=lambda each: (each.bits, each.loss)):
            if hull and point.loss >= hull[-1].loss:
                continue
            while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-2], point):
                hull.pop()
            hull.append(point)
        return cls(tuple(reversed(hull)))

    def best(self, price: float) -> Point:
        """The point of least loss + price x bits; the one of fewer bits where two are alike."""
        return min(self.points, key=lambda each: (each.loss + price * each.bits, each.bits))

    def between(self, price: float) -> Point:
        """As `best`, but between the points: the loss falls as a power of two of the bits from each to the next."""
        points = self.points
        found = points[0]
        for fine, coarse in pairwise(points):
            taken = price > -_slope(coarse, fine)
            if fine.loss <= 0:  # no power of two is 0: the weight as it is, or the next point
                if not taken:
                    break
                found = coarse
                continue
            if not taken and found is not points[0]:
                break
            if coarse.loss <= 0 or fine.bits <= coarse.bits:
                found = coarse if taken else found
                continue
            # loss = fine.loss e^(rate (fine.bits - bits)), whose slope is rate x loss.
            rate = math.log(coarse.loss / fine.loss) / (fine.bits - coarse.bits)
            loss = min(max(price / rate, fine.loss), coarse.loss)
            found = Point(fine.bits - math.log(loss / fine.loss) / rate, loss)
            if loss < coarse.loss:
                break
        return found


def _slope(one: Point, other: Point) -> float:
    return (other.loss - one.loss) / (other.bits - one.bits)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a price comes to over all weights."""

    price: float
    bits: float
    loss: float


def spend(curves: Sequence[Curve], price: float) -> Spent:
    """Bits and losses of all weights at a price."""
    points = [curve.between(price) for curve in curves]
    return Spent(price, sum(point.bits for point in points), sum(point.loss for point in points))


def price_for_bits(curves: Sequence[Curve], bits: float) -> Spent:
    """The lowest price at which all weights take at most so many bits."""
    return _search(curves, lambda spent: spent.bits <= bits, upwards=True)


def price_for_loss(curves: Sequence[Curve], loss: float) -> Spent:
    """The highest price at which all weights lose at most so much."""
    return _search(curves, lambda spent: spent.loss <= loss, upwards=False)


def _search(curves: Sequence[Curve], fits: Callable[[Spent], bool], *, upwards: bool) -> Spent:
    """The price nearest to the other side that fits; the end of the interval where none does."""
    low, high = math.log(1e-30), math.log(1e6)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        fit = fits(spend(curves, math.exp(middle)))
        if fit == upwards:
            high = middle
        else:
            low = middle
    return spend(curves, math.exp(high if upwards else low))
