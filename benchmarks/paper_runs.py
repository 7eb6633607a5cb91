"""Compressions for the paper's tables: each a job of its own, kept in a folder as soon as it has ended.

A run is known by its settings and the digests of all that goes in: an interrupted benchmark goes on where it was, and a run
that several tables need is made once.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks import mnist
from benchmarks.kept_runs import Hits, Kept, keep
from benchmarks.lenets import INPUT, LENETS, Lenet
from benchmarks.paper_configs import Settings
from benchmarks.results import FOLDER
from benchmarks.sessions import session

RUNS = FOLDER / "paper"
DATA = RUNS / "data"


@dataclass(frozen=True)
class Job:
    """One compression of a baseline."""

    net: str
    settings: Settings

    @property
    def key(self) -> str:
        """The same for the same settings, the same baseline and the same data."""
        lenet = LENETS[self.net]
        parts = [
            json.dumps(self.settings, sort_keys=True).encode(),
            lenet.trained.read_bytes(),
            mnist.MD5.read_bytes(),
        ]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    @property
    def folder(self) -> Path:
        """Where its results are, once it has ended."""
        return RUNS / f"{self.net}-{self.key[:16]}"


@dataclass(frozen=True, eq=False)
class Run(Kept):
    """What became of a job.

    Attributes:
        hits: for every test image whether the artifact is right; bool [10,000].
    """

    job: Job

    @property
    def error(self) -> float:
        """Share of the test images that the artifact gets wrong."""
        return 1 - float(self.hits.mean())

    @property
    def bytes(self) -> int:
        """Of the whole file."""
        return self.report.artifact.bytes

    @property
    def density(self) -> float:
        """Of all weights together."""
        rows = self.report.weights
        return sum(row.density * row.elements for row in rows) / sum(row.elements for row in rows)

    def stage_error(self, stage: str) -> float:
        """Test error after a stage: "pruned", "retrained", "shared" or "tuned"."""
        assert self.report.training is not None
        metrics = {row.stage: row.metric for row in self.report.training.stages}
        found = metrics[stage]
        assert found is not None  # every model here runs between the stages
        return 1 - found


def carry_out(jobs: Iterable[Job], at_once: int) -> dict[str, Run]:
    """Carry out the jobs that are not kept yet, and read them all.

    Args:
        jobs: the same one may be among them several times.
        at_once: how many in parallel, each on about one core.

    Returns:
        The runs by the jobs' keys.
    """
    wanted = {job.key: job for job in jobs}
    missing = [job for job in wanted.values() if not job.folder.is_dir()]
    if missing:
        _write_data({job.net for job in missing})
        with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
            waiting = {pool.submit(run, job): job for job in missing}
            try:
                for number, done in enumerate(as_completed(waiting), 1):
                    done.result()
                    _say(number, len(missing), read(waiting[done]))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    runs = {key: read(job) for key, job in wanted.items()}
    old = sum(run.is_old for run in runs.values())
    if old:
        print(
            f"{old} of {len(runs)} runs were kept from other sources of the product; --again makes them anew"
        )
    return runs


def run(job: Job) -> None:
    """Carry one job out and keep what came of it."""
    lenet = LENETS[job.net]
    keep(
        job.folder,
        lenet.trained,
        job.settings,
        _data(lenet),
        lambda artifact: hits(artifact, lenet, mnist.read().test),
        files=("model.onnx", "report.json"),
    )


def read(job: Job) -> Run:
    """What was kept of a job."""
    return Run.read(job.folder, job=job)


def forget(jobs: Iterable[Job]) -> None:
    """Remove what is kept of jobs, so that they are carried out again."""
    for job in jobs:
        shutil.rmtree(job.folder, ignore_errors=True)


def hits(model: Path, lenet: Lenet, part: mnist.Part) -> Hits:
    """For every image of a part whether a model, compressed or not, is right; bool [n]."""
    return right(model, INPUT, lenet.shape, part)


def right(model: Path, name: str, shape: tuple[int, ...], part: mnist.Part) -> Hits:
    """The same of a model whose input of this name takes images of this shape."""
    running = session(model)
    images = part.shaped(shape)
    blocks = range(0, len(images), 500)
    found = [running.run(None, {name: images[at : at + 500]})[0].argmax(axis=1) for at in blocks]
    hit: Hits = np.concatenate(found) == part.labels
    return hit


def _data(lenet: Lenet) -> Path:
    return DATA / f"{lenet.name}.npz"


def _write_data(nets: Iterable[str]) -> None:
    DATA.mkdir(parents=True, exist_ok=True)
    digits = None
    for net in nets:
        path = _data(LENETS[net])
        if not path.exists():
            digits = digits or mnist.read()
            partial = path.with_suffix(".partial.npz")
            mnist.write_npz(partial, digits, INPUT, LENETS[net].shape)
            partial.replace(path)


def _say(number: int, count: int, run: Run) -> None:
    fault = f"; {run.fault}" if run.fault else ""
    print(
        f"[{number}/{count}] {run.job.net}: {run.bytes:,} bytes, test error {run.error:.2%}, "
        f"{run.seconds:.0f} s{fault}",
        flush=True,
    )
