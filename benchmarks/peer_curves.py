"""Bytes at the same fidelity: our curve, read at the error of each peer."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from benchmarks.kernel_bars import geometric_mean

# Inside: between two of our artifacts. Bound: the peer strays further than any artifact of ours, so that the smallest of ours, which is
# closer, bounds what one as far off would take. Outside: it is closer than any of ours.
Where: TypeAlias = Literal["inside", "bound", "outside"]


@dataclass(frozen=True, slots=True)
class Point:
    """A compressed model: bytes of all its files, and the relative RMS error of its outputs on held-out inputs."""

    bytes: int
    error: float


@dataclass(frozen=True, slots=True)
class Against:
    """Our bytes over a peer's at the peer's error; None where we have nothing as close."""

    where: Where
    ratio: float | None


def front(points: Iterable[Point]) -> list[Point]:
    """The points that no other one beats in both, by growing error and shrinking bytes; those without error are left out."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.error, point.bytes)):
        if point.error > 0 and (not kept or point.bytes < kept[-1].bytes):
            kept.append(point)
    return kept


def against(ours: Iterable[Point], peer: Point) -> Against:
    """Compare at the peer's error, on straight lines between our points in log bytes over log error.

    Args:
        ours: at least one point.
        peer: what is compared with.
    """
    curve = front(ours)
    if not curve or peer.error < curve[0].error:
        return Against("outside", None)
    if peer.error > curve[-1].error:
        return Against("bound", curve[-1].bytes / peer.bytes)
    return Against("inside", _bytes_at(curve, peer.error) / peer.bytes)


def delta_rate(ours: Iterable[Point], theirs: Iterable[Point]) -> float | None:
    """Our bytes over theirs at the same error, the geometric mean over all errors that both reach: Bjontegaard's delta rate (VCEG-M33, 2001).

    Both are joined by straight lines in log bytes over log error, where Bjontegaard fits cubics; what is between two of the
    corners of either is a straight line too, so that the mean is exact.

    Returns:
        None where the curves have no stretch of errors in common.
    """
    mine, other = front(ours), front(theirs)
    if not mine or not other:
        return None
    low = max(mine[0].error, other[0].error)
    high = min(mine[-1].error, other[-1].error)
    if low >= high:
        return None
    corners = sorted({low, high, *(p.error for p in (*mine, *other) if low < p.error < high)})
    found = [math.log(_bytes_at(mine, error) / _bytes_at(other, error)) for error in corners]
    area = sum(
        (left + right) / 2 * math.log(corners[i + 1] / corners[i])
        for i, (left, right) in enumerate(pairwise(found))
    )
    return math.exp(area / math.log(high / low))


def _bytes_at(curve: Sequence[Point], error: float) -> float:
    """On straight lines between points in log bytes over log error; the error is one of the curve's."""
    for left, right in pairwise(curve):
        if left.error <= error <= right.error:
            span = math.log(right.error / left.error)
            share = math.log(error / left.error) / span if span else 0.0
            return float(left.bytes * (right.bytes / left.bytes) ** share)
    return float(curve[-1].bytes)


def worst(found: Iterable[Against]) -> Against:
    """Against the best of several peers: where most of its bytes are needed. Outside only where all are."""
    able = [each for each in found if each.ratio is not None]
    return max(able, key=lambda each: each.ratio or 0.0) if able else Against("outside", None)


def overall(families: Mapping[str, Sequence[Against]]) -> tuple[float | None, int]:
    """The geometric mean over families of models, each counting once however many files it has; and how many of them it is over."""
    means = []
    for members in families.values():
        ratios = [each.ratio for each in members if each.ratio is not None]
        if ratios:
            means.append(geometric_mean(ratios))
    return (geometric_mean(means) if means else None), len(means)
