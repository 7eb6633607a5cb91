"""Compressions of one model on ImageNet, each kept in a folder as soon as it has ended, as those of MNIST are."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.imagenet_data import Shards
from benchmarks.imagenet_nets import Input
from benchmarks.kept_runs import Hits, Kept, keep
from benchmarks.paper_configs import Settings
from benchmarks.sessions import session

TOP = 5
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and its data.

    Attributes:
        digest: of the model's file and its external data.
    """

    model: Path
    digest: str
    takes: Input
    shards: Shards

    @property
    def key(self) -> str:
        """The same for the same model and the same data."""
        return hashlib.sha256(f"{self.digest} {self.shards.key}".encode()).hexdigest()[:16]

    def original(self, kept: Path) -> Hits:
        """As `hits` of the model itself, measured once."""
        path = kept / f"original-{self.key}.npy"
        if not path.exists():
            partial = path.with_suffix(".partial.npy")
            np.save(partial, hits(self.model, self.takes, self.shards))
            partial.replace(path)
        found: Hits = np.load(path, allow_pickle=False)
        return found


@dataclass(frozen=True, eq=False)
class Run(Kept):
    """What became of a compression.

    Attributes:
        original, hits: for every test image whether model and artifact are right at top-1 and at top-5; bool [n, 2].
    """

    seed: int
    original: Hits


def carry_out(
    subject: Subject, configs: Sequence[Settings], kept: Path, *, again: bool = False
) -> list[Run]:
    """Compress with every config, one after the other, and read what is kept of them.

    Args:
        subject: the model and its data.
        configs: with their seeds.
        kept: the folder of what is kept.
        again: whether to forget what is there.
    """
    found = []
    for number, settings in enumerate(configs, 1):
        text = json.dumps(settings, sort_keys=True)
        key = hashlib.sha256(f"{subject.key} {text}".encode()).hexdigest()[:16]
        folder = kept / f"{subject.model.stem}-{key}"
        if again:
            shutil.rmtree(folder, ignore_errors=True)
        if not folder.is_dir():
            keep(
                folder,
                subject.model,
                settings,
                subject.shards.files,
                lambda artifact: hits(artifact, subject.takes, subject.shards),
            )
        run = Run.read(folder, seed=settings["seed"], original=subject.original(kept))
        found.append(run)
        print(f"[{number}/{len(configs)}] {_said(run)}", flush=True)
    return found


def hits(model: Path, takes: Input, shards: Shards) -> Hits:
    """For every image of the test part whether a model, compressed or not, is right at top-1 and at top-5; bool [n, 2]."""
    running = session(model)
    size = _BATCH if takes.free else 1
    found = []
    for images, labels in shards.test(takes.name):
        for first in range(0, len(labels), size):
            [scores, *_] = running.run(None, {takes.name: images[first : first + size]})
            # Stable: of equal scores the first one is the answer, as for ArgMax.
            best = np.argsort(-scores.reshape(len(scores), -1), axis=1, kind="stable")[:, :TOP]
            right = best == labels[first : first + size, np.newaxis]
            found.append(np.stack([right[:, 0], right.any(axis=1)], axis=1))
    return np.concatenate(found)


def _said(run: Run) -> str:
    top1, top5 = 1 - run.hits.mean(axis=0)
    fault = f"; {run.fault}" if run.fault else ""
    old = "; kept from other sources of the product" if run.is_old else ""
    return (
        f"seed {run.seed}: {run.report.artifact.bytes:,} bytes, top-1 error {top1:.2%}, "
        f"top-5 error {top5:.2%}, {run.seconds:.0f} s{fault}{old}"
    )
