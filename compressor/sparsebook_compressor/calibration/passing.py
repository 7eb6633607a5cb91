"""One pass over a model at one price: layer after layer on the prefix that is compressed already."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.calibration.curves import MOST_BLOCKS, Felt, price_of
from sparsebook_compressor.calibration.sensing import Sight, in_blocks, look
from sparsebook_compressor.calibration.shaping import fit, shape
from sparsebook_compressor.calibration.sites import Site
from sparsebook_compressor.calibration.subject import Subject
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.coding import coded_weight
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.payload import CodedWeight, encode
from sparsebook_compressor.rewrite.halves import ROUNDING, halved
from sparsebook_compressor.training.aim.metrics import finite, tallied
from sparsebook_compressor.training.aim.tallies import RelativeError

F16 = npt.NDArray[np.float16]
F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

# Losses of a layer, squared and relative. Coarser than the curves' points nothing is known; at the finest any weight takes more bits that 255 values
# do not give to a ten-thousandth.
_FINEST, _COARSEST = 4.0**-16, 4.0


@dataclass(frozen=True, slots=True)
class Passed:
    """What came of a pass.

    Attributes:
        price: of a bit, in units of the outputs' squared relative error.
        bytes: of all payloads together, or of the floats where they are smaller.
        coded: weights that are payloads now.
        metric: on the eval part; None where it is no finite number.
        spared: the metric less what the choice of samples may have spared it, where that can be told: a standard error.
        folder: holds codes and codebooks.
        losses: of every layer, squared and relative, by the weights' names.
    """

    price: float
    bytes: int
    coded: int
    metric: float | None
    spared: float | None
    folder: Path
    losses: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Made:
    """What a pass made of one weight, which stays as it is where it is neither codes nor halves.

    Attributes:
        weight: the original.
        coded: its codes and codebook.
        halves: float16[shape].
        bias: of the node behind it, float32[n], where it was corrected.
    """

    weight: Weight
    coded: CodedWeight | None = None
    halves: F16 | None = None
    bias: F32 | None = None

    def values(self) -> F32 | None:
        """What the weight has become, float32[elements]."""
        if self.coded is not None:
            return self.coded.values().reshape(-1)
        return None if self.halves is None else self.halves.reshape(-1).astype(np.float32)


def run(
    subject: Subject,
    felt: list[Felt],
    price: float,
    reference: Path | None,
    clock: Clock,
    number: int,
) -> Passed:
    """Compress every weight at a price and measure what becomes of the model.

    Args:
        subject: whose workbench holds the compressed model afterwards.
        felt: what is known of the weights.
        price: of a bit.
        reference: what the original gives on the eval part.
        clock: is told.
        number: of the pass.
    """
    subject.restore()
    folder = subject.folder / f"pass-{number}"
    folder.mkdir()
    by_name = {each.site.weight.name: each for each in felt}
    losses: dict[str, float] = {}
    size = 0
    total = sum(site.weight.elements for site in subject.sites)
    done = 0
    for block in in_blocks(subject.sites, MOST_BLOCKS):
        with clock.stage("share"):
            sights = look(subject.bench, block, subject.feeds(), subject.used, subject.masks)
        for sight in sights:
            name, elements = sight.site.weight.name, sight.site.weight.elements
            with clock.weight(name, done / total, (done + elements) / total):
                with clock.stage("share"):
                    losses[name] = _compress(subject, sight, by_name[name], price, folder)
                with clock.stage("encode"):
                    size += _bytes(sight.site.weight, folder, index_of(subject, name))
            done += elements
    with clock.stage("share"):
        whole = subject.bench.whole()
        tally = tallied(whole, None, subject.dataset, "eval", subject.objective, reference)
        metric = finite(tally.value())
        spared = finite(tally.spared()) if isinstance(tally, RelativeError) else metric
    coded = sum(_codes(folder, index).exists() for index in range(len(subject.sites)))
    return Passed(price, size, coded, metric, spared, folder, losses)


def index_of(subject: Subject, name: str) -> int:
    """A weight's number, which its files are named by: a name may hold anything."""
    return next(i for i, site in enumerate(subject.sites) if site.weight.name == name)


def made(subject: Subject, passed: Passed) -> Iterator[Made]:
    """What a pass made of every weight, one after another."""
    for index, site in enumerate(subject.sites):
        folder, weight = passed.folder, site.weight
        if _codes(folder, index).exists():
            codes, codebook, bias = _load(folder, index)
            yield Made(weight, coded_weight(weight, codes, codebook), None, bias)
        elif _halves(folder, index).exists():
            yield Made(weight, None, np.load(_halves(folder, index)))
        else:
            yield Made(weight)


def dearest(felt: Sequence[Felt]) -> float:
    """The price from which on every weight is as coarse as a pass makes it."""
    return max(
        price_of(_COARSEST, each.response.slope(1.0), each.site.weight.elements) for each in felt
    )


def _compress(subject: Subject, sight: Sight, felt: Felt, price: float, folder: Path) -> float:
    """Compress one weight on the workbench and keep what came of it; the layer's squared relative loss.

    It becomes halves, or stays as it is, where the best that a codebook gives costs more than their bits: 255 values are not fine enough then.
    """
    site = sight.site
    values = subject.values(site)
    bias = subject.biases.get(site.weight.name)
    lens = sight.lens(values, centred=bias is not None)
    index = index_of(subject, site.weight.name)
    if lens.norm <= 0:
        _keep(
            folder, index, np.zeros(site.weight.elements, np.uint8), np.zeros(0, np.float32), None
        )
        subject.bench.put(site.weight.name, np.zeros(site.weight.elements, np.float32))
        return 0.0
    elements = site.weight.elements
    own = lens.norm * felt.response.price(price, 1 / price_of(1.0, 1.0, elements))
    limits = (price_of(_FINEST, lens.norm, elements), price_of(_COARSEST, lens.norm, elements))
    own = float(np.clip(own, *limits))
    shaped = shape(lens, values, own, fit(lens, values, own).levels)
    wide = _wide(site, values, own, lens.norm, shaped.cost + own * shaped.bits)
    if wide is not None:
        halves, loss = wide
        if halves is not None:
            subject.bench.put(site.weight.name, halves.reshape(-1).astype(np.float32))
            np.save(_halves(folder, index), halves)
        return loss
    coded = coded_weight(site.weight, shaped.codes, shaped.codebook)
    changed = coded.values().reshape(-1)
    subject.bench.put(site.weight.name, changed)
    corrected: F32 | None = None
    if bias is not None and felt.mean is not None and sight.vectors:
        corrected = bias.corrected(site, values, changed, felt.mean, sight.mean())
        subject.bench.set_constant(bias.name, corrected)
    _keep(folder, index, shaped.codes, shaped.codebook, corrected)
    return shaped.cost / lens.norm


def _wide(
    site: Site, values: F32, price: float, norm: float, coded: float
) -> tuple[F16 | None, float] | None:
    """A weight's halves, or None for it as it is, with the loss; None where neither is better than what codes cost."""
    elements = site.weight.elements
    as_it_is = price * 8 * site.weight.stored_bytes
    as_halves = ROUNDING * norm + price * 16 * elements
    if min(as_it_is, as_halves) >= coded:
        return None
    halves = halved(site.weight, values) if as_halves < as_it_is else None
    if halves is not None:
        return halves, ROUNDING
    return (None, 0.0) if as_it_is < coded else None


def _bytes(weight: Weight, folder: Path, index: int) -> int:
    if _halves(folder, index).exists():
        return weight.stored_bytes // 2
    if not _codes(folder, index).exists():
        return weight.stored_bytes
    codes, codebook, _ = _load(folder, index)
    payload, _ = encode(coded_weight(weight, codes, codebook))
    return min(len(payload), weight.stored_bytes)


def _codes(folder: Path, index: int) -> Path:
    return folder / f"{index}.codes.npy"


def _halves(folder: Path, index: int) -> Path:
    return folder / f"{index}.halves.npy"


def _keep(folder: Path, index: int, codes: U8, codebook: F32, bias: F32 | None) -> None:
    np.save(_codes(folder, index), codes)
    np.save(folder / f"{index}.codebook.npy", codebook)
    if bias is not None:
        np.save(folder / f"{index}.bias.npy", bias)


def _load(folder: Path, index: int) -> tuple[U8, F32, F32 | None]:
    codes: U8 = np.load(_codes(folder, index))
    codebook: F32 = np.load(folder / f"{index}.codebook.npy")
    path = folder / f"{index}.bias.npy"
    return codes, codebook, np.load(path) if path.exists() else None
