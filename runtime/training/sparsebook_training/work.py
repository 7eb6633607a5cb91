"""The work folder: checkpoints, kept states, the result (docs/training.md, section 5).

    WORK/order.sha256          of the order and the dataset that the rest belongs to
    WORK/graph/                what ONNX Runtime trains with; made anew at every start
    WORK/kept-<epoch>/         00000.npy, ...: the parameters of the best epoch so far
    WORK/checkpoint-<epoch>/   state: ONNX Runtime's checkpoint with the optimizer's state; training.json: the rest
    WORK/result/               at last

A kept state is there before the checkpoint whose history names it, and goes when a later checkpoint names another.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparsebook_training import durable, fields
from sparsebook_training.errors import Failed
from sparsebook_training.npy import Array
from sparsebook_training.selection import Epoch
from sparsebook_training.session import Session

_LOCK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Training:
    """What a checkpoint holds beside ONNX Runtime's state. No random state: the order of samples follows from seed and epoch.

    Attributes:
        history: epochs so far, from 0 on.
        steps: of the optimizer.
        samples: trained.
        training_seconds: spent on them.
        seconds: spent in all.
    """

    history: tuple[Epoch, ...]
    steps: int
    samples: int
    training_seconds: float
    seconds: float


class Work:
    """A work folder, swept of what died before.

    Args:
        root: made where it is missing.
        fingerprint: of the order; what belongs to another one is removed.
    """

    def __init__(self, root: Path, fingerprint: str) -> None:
        self._root = root
        self._graph = root / "graph"
        self.result = root / "result"
        durable.sweep(root)
        note = root / "order.sha256"
        if not note.exists() or note.read_text("ascii") != fingerprint:
            for path in self._folders("result", "checkpoint-*", "kept-*"):
                durable.remove(path)
            durable.write(note, fingerprint)

    @contextmanager
    def graph(self) -> Iterator[Path]:
        """An empty folder for the artifacts, for as long as they are used."""
        self._remove_graph()
        self._graph.mkdir()
        try:
            yield self._graph
        finally:
            self._remove_graph()

    def latest(self) -> tuple[Path, Training] | None:
        """The last checkpoint: ONNX Runtime's file, and the rest."""
        found = self._folders("checkpoint-*")
        if not found:
            return None
        last = max(found, key=_number)
        values = json.loads((last / "training.json").read_text("utf-8"))
        history = tuple(Epoch(**record) for record in values.pop("history"))
        return last / "state", Training(history=history, **values)

    def keep(self, epoch: int, parameters: Iterable[Array]) -> None:
        """Write the state of an epoch, in place of one that no checkpoint knows."""
        target = self._kept(epoch)
        if target.exists():
            durable.remove(target)
        with durable.folder(target) as folder:
            _write_parameters(folder, parameters)

    def checkpoint(self, session: Session, training: Training, kept: int) -> None:
        """Write a checkpoint; earlier ones and the states that it does not keep go."""
        epoch = training.history[-1].epoch
        target = self._root / f"checkpoint-{epoch}"
        with durable.folder(target) as folder:
            session.save(folder / "state")
            values = {
                "history": [epoch.record() for epoch in training.history],
                "steps": training.steps,
                "samples": training.samples,
                "training_seconds": training.training_seconds,
                "seconds": training.seconds,
            }
            (folder / "training.json").write_text(fields.dump(values), "utf-8")
        for path in self._folders("checkpoint-*", "kept-*"):
            if path not in (target, self._kept(kept)):
                durable.remove(path)

    def finish(self, kept: int, values: Mapping[str, object]) -> None:
        """Put the result in place; nothing else stays."""
        with durable.folder(self.result) as folder:
            shutil.copytree(self._kept(kept), folder / "parameters")
            (folder / "result.json").write_text(fields.dump(values), "utf-8")
        self.clear()

    def clear(self) -> None:
        """Remove everything but the result."""
        self._remove_graph()
        for path in self._folders("checkpoint-*", "kept-*"):
            durable.remove(path)

    def _remove_graph(self) -> None:
        if self._graph.exists():
            shutil.rmtree(self._graph)

    def _kept(self, epoch: int) -> Path:
        return self._root / f"kept-{epoch}"

    def _folders(self, *patterns: str) -> list[Path]:
        return [path for pattern in patterns for path in self._root.glob(pattern)]


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the work folder, so that two workers never write into one.

    Raises:
        Failed: another one still holds it after some seconds.
    """
    root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _lock(descriptor):
            if time.monotonic() > deadline:
                raise Failed("internal", f"another worker holds {root}; stop it before")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def fingerprint(order: Path, dataset: Path, constants: Iterable[Path]) -> str:
    """SHA-256 over order.json, model.onnx, dataset.json and constants: what tells one training from another."""
    digest = hashlib.sha256()
    described = (order / "order.json", order / "model.onnx", dataset / "dataset.json")
    for path in (*described, *constants):
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _number(path: Path) -> int:
    return int(path.name.partition("-")[2])


def _write_parameters(folder: Path, parameters: Iterable[Array]) -> None:
    for index, values in enumerate(parameters):
        with (folder / f"{index:05}.npy").open("wb") as stream:
            # numpy.save writes arrays past Python's file objects, and its OSError then lacks the errno of a full disk.
            header = np.lib.format.header_data_from_array_1_0(values)
            np.lib.format.write_array_header_1_0(stream, header)
            stream.write(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
