"""What bits buy in each weight: its error at several prices, times what an error there does to the outputs' scores."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.calibration.allocation import Curve, Point
from sparsebook_compressor.calibration.response import Response
from sparsebook_compressor.calibration.scores import Scores
from sparsebook_compressor.calibration.sensing import in_blocks, look
from sparsebook_compressor.calibration.shaping import Lens, fit, shape
from sparsebook_compressor.calibration.sites import Site
from sparsebook_compressor.calibration.subject import Subject
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.rewrite.halves import ROUNDING

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# Losses of a layer, squared and relative, that the curve's points aim at: from half of its output to 0.3% of it.
_AIMS = tuple(8.0**-k / 4 for k in range(6))
# Those at which the outputs are looked at: small enough to be linear, large enough to stand out of rounding; and two that are coarse. Besides,
# they are looked at without the weight.
_PROBED = (_AIMS[3], _AIMS[1], _AIMS[0])
# What moves no output at all could be left out; that much nobody believes a few samples.
_LEAST_SENSITIVITY = 1e-3
MOST_BLOCKS = 8


@dataclass(frozen=True, eq=False)
class Felt:
    """A weight before anything is decided.

    Attributes:
        site: of the weight.
        norm: what losing it costs, in its lens.
        response: of the outputs' error to the layer's.
        curve: bits against the outputs' error.
        vectors: how many input vectors or rows were seen.
        mean: of its inputs, where a bias is corrected.
    """

    site: Site
    norm: float
    response: Response
    curve: Curve
    vectors: int
    mean: F64 | None


@dataclass(frozen=True, slots=True)
class _Rough:
    site: Site
    norm: float
    points: tuple[Point, ...]
    seen: tuple[tuple[float, float], ...]
    vectors: int
    mean: F64 | None


def feel(subject: Subject, clock: Clock) -> list[Felt]:
    """Look at every weight once, on the original."""
    scores = Scores.of(subject)
    rough: list[_Rough] = []
    blocks = in_blocks(subject.sites, MOST_BLOCKS)
    total = sum(site.weight.elements for site in subject.sites)
    done = 0
    for block in blocks:
        with clock.stage("plan"):
            sights = look(subject.bench, block, subject.feeds(), subject.used, subject.masks)
        for sight in sights:
            site = sight.site
            share = site.weight.elements
            with (
                clock.weight(site.weight.name, done / total, (done + share) / total),
                clock.stage("plan"),
            ):
                bias = site.weight.name in subject.biases
                lens = sight.lens(subject.values(site), centred=bias)
                mean = sight.mean() if bias and sight.moments else None
                rough.append(_felt(subject, lens, scores, sight.vectors, mean))
            done += share
    known = [first for each in rough if (first := min(each.seen)[1]) > 0]
    floor = _LEAST_SENSITIVITY * float(np.median(known)) if known else 1.0
    return [_whole(each, floor) for each in rough]


def _felt(subject: Subject, lens: Lens, scores: Scores, vectors: int, mean: F64 | None) -> _Rough:
    site = lens.site
    values = subject.values(site)
    if lens.norm <= 0:
        return _Rough(site, 0.0, (Point(0.0, 0.0),), ((1.0, 0.0),), vectors, mean)
    points = []
    seen = [(1.0, _error(subject, site, np.zeros_like(values), scores, mean))]
    for aim in _AIMS:
        price = price_of(aim, lens.norm, site.weight.elements)
        found = fit(lens, values, price, rough=True)
        points.append(Point(found.bits, found.cost / lens.norm))
        if aim in _PROBED:
            shaped = shape(lens, values, price, found.levels)
            loss = shaped.cost / lens.norm
            if 0 < loss < 1:
                seen.append((loss, _error(subject, site, shaped.values(), scores, mean) / loss))
    return _Rough(site, lens.norm, tuple(points), tuple(seen), vectors, mean)


def _error(subject: Subject, site: Site, changed: F32, scores: Scores, mean: F64 | None) -> float:
    """The outputs' squared relative error with one weight changed, float32[elements]; the workbench is as before then."""
    name, values = site.weight.name, subject.values(site)
    subject.bench.put(name, changed)
    bias = subject.biases.get(name)
    if bias is not None and mean is not None:
        corrected = bias.corrected(site, values, changed, mean, mean)
        subject.bench.set_constant(bias.name, corrected)
    error = scores.error(subject)
    subject.bench.put(name, values)
    if bias is not None:
        subject.bench.set_constant(bias.name, bias.values)
    return error


def _whole(rough: _Rough, floor: float) -> Felt:
    response = Response.of(rough.seen, floor)
    points = [Point(point.bits, response.error(point.loss)) for point in rough.points]
    lost = Point(0.0, response.error(1.0) if rough.norm > 0 else 0.0)
    weight = rough.site.weight
    as_it_is = Point(8.0 * weight.stored_bytes, 0.0)
    # Where the values fit into halves: seen when the weight's turn comes, as it all but always does.
    halves = Point(16.0 * weight.elements, response.error(ROUNDING))
    curve = Curve.of([*points, lost, halves, as_it_is])
    return Felt(rough.site, rough.norm, response, curve, rough.vectors, rough.mean)


def price_of(loss: float, norm: float, elements: int) -> float:
    """The price of a bit, in units of a lens's cost, at which a layer loses about this share of its output's square.

    At high resolution an element's cost is price / (2 ln 2) at the best (stages/grids.py).
    """
    return 2 * math.log(2) * loss * norm / elements
