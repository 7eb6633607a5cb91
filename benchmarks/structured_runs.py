"""What benchmarks/structured.py measures: the weights of real models, seen as `small` sees them, in every way."""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.peer_models import Arrays, feeds, subject
from benchmarks.sessions import session
from benchmarks.structured_ways import WAYS, Point, applies, points
from sparsebook_compressor import admit
from sparsebook_compressor.calibration.sensing import Sight, in_blocks, look
from sparsebook_compressor.calibration.shaping import Lens
from sparsebook_compressor.calibration.sites import Site, sites
from sparsebook_compressor.calibration.workbench import Workbench
from sparsebook_compressor.graph.view import Weight, survey

F32 = npt.NDArray[np.float32]

SAMPLES = 64
# Tables of more elements are measured on rows evenly spread over them.
_MOST = 1 << 20
_BLOCKS = 8
_MASK = "attention_mask"


@dataclass(frozen=True, slots=True)
class Row:
    """A weight in one way: a point for each price.

    Attributes:
        kind: the class that it counts in.
    """

    model: str
    weight: str
    kind: str
    elements: int
    way: str
    points: tuple[Point, ...]


@dataclass(frozen=True, eq=False)
class Seen:
    """A weight, and what errors in it cost."""

    model: str
    weight: Weight
    lens: Lens
    values: F32


def rows(model: str) -> Iterator[Row]:
    """Every weight of a model in every way that says something about it."""
    for each in seen(model):
        for way in WAYS:
            if applies(way, each.lens.site):
                found = tuple(points(each.lens, each.values, way))
                if len(found) < 2:
                    continue
                print(model, each.weight.name, way, found[len(found) // 2], file=sys.stderr)
                yield Row(model, each.weight.name, kind(each.weight), each.values.size, way, found)


def seen(model: str) -> Iterator[Seen]:
    """The weights of the main graph of a subject of the peers' benchmark, or of a file with made inputs."""
    one = subject(model, (SAMPLES, 1, 1))
    parsed = admit.load(one.model)
    view = survey(parsed, one.model)
    with tempfile.TemporaryDirectory() as folder:
        bench = Workbench(
            one.model, parsed, [each.name for each in view.weights], Path(folder) / "bench"
        )
        every = sites([each for each in view.weights if each.name in bench.names])
        given = _batched(one.model, one.calibration)
        masks = [_MASK] if _MASK in one.calibration else []
        for block in in_blocks(every, _BLOCKS):
            for sight in look(bench, block, given, SAMPLES, masks):
                found = _cut(sight)
                if found is not None:
                    yield Seen(Path(model).stem, sight.site.weight, *found)


def kind(weight: Weight) -> str:
    """The class that a weight counts in: its role, and convolutions by whether their kernels have an extent."""
    if weight.role == "conv":
        return "conv 1x1" if all(size == 1 for size in weight.shape[2:]) else "conv"
    return weight.role


def _batched(model: Path, arrays: Arrays) -> list[Arrays]:
    return feeds(session(model), arrays)


def _cut(sight: Sight) -> tuple[Lens, F32] | None:
    """What errors cost, and the weight; of a large table some rows."""
    site, values = sight.site, sight.site.weight.read()
    if site.kind == "table" and site.weight.elements > _MOST:
        step = -(-site.weight.elements // _MOST)
        kept = np.arange(0, site.rows, step)
        values = np.ascontiguousarray(values.reshape(site.rows, -1)[kept]).reshape(-1)
        sight = Sight(_with_rows(site, len(kept)), sight.samples, [], sight.counts[kept])
    lens = sight.lens(values, centred=False)
    return (lens, values) if lens.norm > 0 else None


def _with_rows(site: Site, count: int) -> Site:
    """The same table with fewer rows."""
    shape = (count, *site.weight.shape[1:])
    return replace(site, weight=replace(site.weight, shape=shape), rows=count, pre=shape)
