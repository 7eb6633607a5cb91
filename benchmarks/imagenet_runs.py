"""Compressions of one model on ImageNet, each kept in a folder as soon as it has ended, as those of MNIST are."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.imagenet_data import Shards
from benchmarks.imagenet_nets import Input
from benchmarks.paper_configs import Settings
from benchmarks.paper_runs import sources
from benchmarks.sessions import session
from benchmarks.worker import worker
from sparsebook_compressor import Config, Report, compress
from sparsebook_compressor.errors import BudgetNotMet, Diverged
from sparsebook_runtime import library_path, platform_tag

Hits = npt.NDArray[np.bool_]

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
class Run:
    """What became of a compression.

    Attributes:
        original, hits: for every test image whether model and artifact are right at top-1 and at top-5; bool [n, 2].
        seconds: from `compress` to the bundle.
        sources: digest of the product that made it.
        fault: what was said of the bundle all the same, such as that the loss diverged.
    """

    seed: int
    report: Report
    original: Hits
    hits: Hits
    seconds: float
    sources: str
    fault: str | None


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
            _compress(subject, settings, folder)
        run = _read(folder, subject.original(kept))
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


def _compress(subject: Subject, settings: Settings, folder: Path) -> None:
    fault = None
    with tempfile.TemporaryDirectory(prefix=".run-", dir=folder.parent) as name:
        scratch = Path(name)
        began = time.perf_counter()
        try:
            compress(
                subject.model,
                scratch / "bundle",
                Config.parse(settings),
                data=subject.shards.files,
                trainer=worker(),
                operator_library=library_path(),
                platform=platform_tag(),
            )
        except (BudgetNotMet, Diverged) as said:
            fault = str(said)
        seconds = time.perf_counter() - began
        made = scratch / "bundle"
        np.save(made / "hits.npy", hits(made / "model.onnx", subject.takes, subject.shards))
        facts = {"settings": settings, "seconds": seconds, "sources": sources(), "fault": fault}
        (made / "run.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
        made.rename(folder)


def _read(folder: Path, original: Hits) -> Run:
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return Run(
        facts["settings"]["seed"],
        Report.from_json((folder / "report.json").read_text()),
        original,
        np.load(folder / "hits.npy", allow_pickle=False),
        facts["seconds"],
        facts["sources"],
        facts["fault"],
    )


def _said(run: Run) -> str:
    top1, top5 = 1 - run.hits.mean(axis=0)
    fault = f"; {run.fault}" if run.fault else ""
    old = "" if run.sources == sources() else "; kept from other sources of the product"
    return (
        f"seed {run.seed}: {run.report.artifact.bytes:,} bytes, top-1 error {top1:.2%}, "
        f"top-5 error {top5:.2%}, {run.seconds:.0f} s{fault}{old}"
    )
