"""Running the model as it is on the workbench to see what feeds its layers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.calibration.shaping import Lens
from sparsebook_compressor.calibration.sites import Site
from sparsebook_compressor.calibration.vectors import vectors
from sparsebook_compressor.calibration.workbench import Workbench
from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.stages.moments import Factor, Moments, shrunk

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Array = npt.NDArray[np.generic]

# Second moments in memory at a time.
MOST_BYTES = 1 << 29
# A row that no input asked for may be asked for yet: none counts less than this share of the median of those that were.
_LEAST_ROW = 1 / 16
_MASK_AXES = 2
# A channel of less than this share of the mean energy counts no more than one of it.
_DEAD = 0.05


@dataclass(eq=False)
class Sight:
    """What was seen at a site: moments by group and block, or how often rows were looked up, on so many samples."""

    site: Site
    samples: int
    moments: list[list[Moments]]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, site: Site, samples: int) -> "Sight":
        """Nothing seen yet."""
        moments: list[list[Moments]] = []
        if site.kind not in ("table", "plain"):
            sizes = [part.stop - part.start for part in site.blocks]
            moments = [[Moments(size) for size in sizes] for _ in range(site.groups)]
        return cls(
            site, samples, moments, np.zeros(site.rows if site.kind == "table" else 0, np.int64)
        )

    def add(self, value: Array, mask: Array | None) -> None:
        """Look at the tap's value on one feed."""
        if self.site.kind == "table":
            indices = value.astype(np.int64).reshape(-1)
            if mask is not None and mask.shape == value.shape and mask.any():
                indices = indices[mask.reshape(-1).astype(bool)]
            indices = np.where(indices < 0, indices + self.site.rows, indices)
            inside = indices[(indices >= 0) & (indices < self.site.rows)]
            self.counts += np.bincount(inside, minlength=self.site.rows)
            return
        found = vectors(self.site, value, mask)
        if found is None:
            return
        for group, blocks in zip(found, self.moments, strict=True):
            for part, moments in zip(self.site.blocks, blocks, strict=True):
                moments.add(group[:, part])

    @property
    def vectors(self) -> int:
        """How many input vectors, or looked-up rows, were seen."""
        if self.site.kind == "table":
            return int(self.counts.sum())
        return self.moments[0][0].vectors if self.moments else 0

    def mean(self) -> F64:
        """Mean input, float64[groups, columns]."""
        return np.stack([np.concatenate([m.mean for m in blocks]) for blocks in self.moments])

    def lens(self, values: F32, *, centred: bool) -> Lens:
        """What errors in the weight cost.

        Args:
            values: float32[elements], of the original.
            centred: whether a bias takes the mean's part of every error.
        """
        site = self.site
        if not self.moments or not self.vectors:
            plain = _as_plain(site)
            energy = np.square(plain.matrices(values)[0], dtype=np.float64).sum(axis=1)
            importance = self._importance(energy)
            return Lens(plain, (), importance, float(importance @ energy))
        norm = 0.0
        factors = []
        for matrix, blocks in zip(site.matrices(values), self.moments, strict=True):
            row = []
            for part, moments in zip(site.blocks, blocks, strict=True):
                seen = moments.matrix(centred=centred)
                second = shrunk(seen, moments.vectors, self.samples)
                row.append(Factor.of(second))
                piece = matrix[:, part].astype(np.float64)
                norm += float(np.einsum("ij,ij->", piece @ second, piece))
            factors.append(tuple(row))
        return Lens(site, tuple(factors), np.ones(site.rows), norm)

    def _importance(self, energy: F64) -> F64:
        """Of every row: how often it will be looked up, by Good and Turing's estimate for rows that were not seen.

        Where nothing was seen, an error counts in proportion to its channel's norm, as for `safe` (docs/presets.md).
        """
        total = int(self.counts.sum())
        if self.site.kind == "table" and not total:
            return np.ones(self.site.rows)
        if not total:
            mean = float(energy.mean()) or 1.0
            return mean / (energy + _DEAD * mean)
        unseen = int((self.counts == 0).sum())
        once = int((self.counts == 1).sum())
        missed = max(once, 1) / total
        rare = missed / unseen if unseen else 0.0
        share = np.where(self.counts > 0, self.counts * (1 - missed) / total, rare)
        usual = float(np.median(share[self.counts > 0]))
        return np.maximum(share / usual, _LEAST_ROW)


def look(
    bench: Workbench,
    sites: Sequence[Site],
    feeds: Iterable[Feed],
    samples: int,
    masks: Sequence[str],
) -> list[Sight]:
    """Run the model as it is and see what feeds some sites; what they need fits into memory (`MOST_BYTES`).

    Args:
        bench: the model.
        sites: to look at.
        feeds: what is run.
        samples: in all feeds together.
        masks: inputs that say what is padding.
    """
    sights = [Sight.of(site, samples) for site in sites]
    taps = list(dict.fromkeys([*(site.tap for site in sites if site.tap), *masks]))
    if not taps:
        return sights
    for found in bench.run(taps, feeds):
        mask = next((found[name] for name in masks if found[name].ndim == _MASK_AXES), None)
        for sight in sights:
            if sight.site.tap:
                sight.add(found[sight.site.tap], mask)
    return sights


def in_blocks(sites: Sequence[Site], most: int) -> list[list[Site]]:
    """Sites in order, in at most about `most` blocks whose second moments fit into memory."""
    total = sum(site.moment_bytes for site in sites)
    limit = min(MOST_BYTES, max(1, total // most))
    blocks: list[list[Site]] = []
    size = 0
    for site in sites:
        # What one value feeds is seen in one run: queries, keys and values.
        together = blocks and blocks[-1][-1].tap == site.tap and site.tap
        if blocks and (size + site.moment_bytes <= limit or together):
            blocks[-1].append(site)
            size += site.moment_bytes
        else:
            blocks.append([site])
            size = site.moment_bytes
    return blocks


def _as_plain(site: Site) -> Site:
    """The site with one group, so that rows are all there is."""
    if site.kind in ("table", "plain"):
        return site
    weight = site.weight
    axis = weight.channel_axis
    axes = (axis, *(a for a in range(len(weight.shape)) if a != axis))
    rows = weight.shape[axis]
    return Site(
        weight,
        "plain",
        site.use,
        "",
        site.position,
        weight.shape,
        axes,
        1,
        rows,
        weight.elements // rows,
    )
