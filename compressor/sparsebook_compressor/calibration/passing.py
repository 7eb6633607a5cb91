"""One pass over a model at one price: layer after layer on the prefix that is compressed already."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.calibration.curves import MOST_BLOCKS, Felt, price_of
from sparsebook_compressor.calibration.sensing import Sight, in_blocks, look
from sparsebook_compressor.calibration.shaping import fit, shape
from sparsebook_compressor.calibration.subject import Subject
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.coding import coded_weight
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.payload import CodedWeight, encode
from sparsebook_compressor.training.aim.metrics import finite, tallied
from sparsebook_compressor.training.aim.tallies import RelativeError

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

# Losses of a layer, squared and relative. Coarser than the curves' points nothing is known; at the finest any weight stays as it is that 255 values
# do not give to a ten-thousandth.
_FINEST, _COARSEST = 4.0**-16, 4.0


@dataclass(frozen=True, slots=True)
class Passed:
    """What came of a pass.

    Attributes:
        price: of a bit, in units of the outputs' squared relative error.
        bytes: of all payloads together, or of the floats where they are smaller.
        metric: on the eval part; None where it is no finite number.
        spared: the metric less what the choice of samples may have spared it, where that can be told: a standard error.
        folder: holds codes and codebooks.
        losses: of every layer, squared and relative, by the weights' names.
    """

    price: float
    bytes: int
    metric: float | None
    spared: float | None
    folder: Path
    losses: Mapping[str, float]


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
    return Passed(price, size, metric, spared, folder, losses)


def index_of(subject: Subject, name: str) -> int:
    """A weight's number, which its files are named by: a name may hold anything."""
    return next(i for i, site in enumerate(subject.sites) if site.weight.name == name)


def kept(
    subject: Subject, passed: Passed
) -> Iterator[tuple[Weight, CodedWeight | None, F32 | None]]:
    """What a pass made of every weight, None where it stays as it is, and of the bias behind it, one after another."""
    for index, site in enumerate(subject.sites):
        if _is_left(passed.folder, index):
            yield site.weight, None, None
            continue
        codes, codebook, bias = _load(passed.folder, index)
        yield site.weight, coded_weight(site.weight, codes, codebook), bias


def dearest(felt: Sequence[Felt]) -> float:
    """The price from which on every weight is as coarse as a pass makes it."""
    return max(price_of(_COARSEST, each.sensitivity, each.site.weight.elements) for each in felt)


def _compress(subject: Subject, sight: Sight, felt: Felt, price: float, folder: Path) -> float:
    """Compress one weight on the workbench and keep what came of it; the layer's squared relative loss.

    It stays as it is where the best that a codebook gives costs more than all of its bits: 255 values are not fine enough then.
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
    own = price * lens.norm / felt.sensitivity
    limits = (price_of(_FINEST, lens.norm, elements), price_of(_COARSEST, lens.norm, elements))
    own = float(np.clip(own, *limits))
    shaped = shape(lens, values, own, fit(lens, values, own).levels)
    if shaped.cost > own * (8 * site.weight.stored_bytes - shaped.bits):
        _left(folder, index).touch()
        return 0.0
    coded = coded_weight(site.weight, shaped.codes, shaped.codebook)
    changed = coded.values().reshape(-1)
    subject.bench.put(site.weight.name, changed)
    corrected: F32 | None = None
    if bias is not None and felt.mean is not None and sight.vectors:
        corrected = bias.corrected(site, values, changed, felt.mean, sight.mean())
        subject.bench.set_constant(bias.name, corrected)
    _keep(folder, index, shaped.codes, shaped.codebook, corrected)
    return shaped.cost / lens.norm


def _bytes(weight: Weight, folder: Path, index: int) -> int:
    if _is_left(folder, index):
        return weight.stored_bytes
    codes, codebook, _ = _load(folder, index)
    payload, _ = encode(coded_weight(weight, codes, codebook))
    return min(len(payload), weight.stored_bytes)


def _left(folder: Path, index: int) -> Path:
    """The mark of a weight that stays as it is."""
    return folder / f"{index}.left"


def _is_left(folder: Path, index: int) -> bool:
    return _left(folder, index).exists()


def _keep(folder: Path, index: int, codes: U8, codebook: F32, bias: F32 | None) -> None:
    np.save(folder / f"{index}.codes.npy", codes)
    np.save(folder / f"{index}.codebook.npy", codebook)
    if bias is not None:
        np.save(folder / f"{index}.bias.npy", bias)


def _load(folder: Path, index: int) -> tuple[U8, F32, F32 | None]:
    codes: U8 = np.load(folder / f"{index}.codes.npy")
    codebook: F32 = np.load(folder / f"{index}.codebook.npy")
    path = folder / f"{index}.bias.npy"
    return codes, codebook, np.load(path) if path.exists() else None
