"""The process of one job, forked by the `nursery`.

It carries an `Order` out and reports on standard output (see `protocol`). It is where untrusted files are parsed, so it stands in a
`sandbox`, and can be killed without harm to the service.
"""

import errno
import hashlib
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from sparsebook_compressor import compress, try_both
from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue, SparsebookError
from sparsebook_compressor.progress import Progress, TrainingProgress
from sparsebook_service.finetune import problems
from sparsebook_service.jobs import archive
from sparsebook_service.jobs.protocol import (
    ANSWER,
    Advanced,
    Answer,
    Compared,
    Done,
    Made,
    MadeFile,
    Message,
    Order,
    Stopped,
    Train,
    Trained,
    TrainingAdvanced,
)
from sparsebook_service.jobs.sandbox import View, enclose
from sparsebook_service.libraries import Libraries

STDIN = 0

Report: TypeAlias = Callable[[Message], None]


def main(order: Order) -> None:
    """Carry out an order. Standard input closes when the service is gone."""
    report = _reporting_on_stdout()
    enclose(order.limits, View.of_order(order))
    trainer = QueuedTrainer(report)
    threading.Thread(target=_listen, args=(_lines(), trainer), daemon=True).start()
    report(_carry_out(order, report, trainer))


def _reporting_on_stdout() -> Report:
    # Whatever else prints, in Python or in C, goes to standard error: the reports stay a clean stream of lines.
    reports = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def report(message: Message) -> None:
        reports.write(message.model_dump_json().encode() + b"\n")
        reports.flush()

    return report


def _lines() -> Iterator[bytes]:
    """The lines of standard input, as they come."""
    # os.read, because a buffered reader would hold its lock while the interpreter shuts down.
    pending = b""
    while chunk := os.read(STDIN, 1 << 16):
        *lines, pending = (pending + chunk).split(b"\n")
        yield from lines


def _listen(heard: Iterator[bytes], trainer: "QueuedTrainer") -> None:
    """Hand answers over; end with the service."""
    for line in heard:
        trainer.hear(ANSWER.validate_json(line))
    os.killpg(os.getpgrp(), signal.SIGKILL)


class QueuedTrainer:
    """A `Trainer` that asks the service, which hands the order to a fine-tuning worker."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def hear(self, answer: Answer) -> None:
        """Take an answer of the service. From any thread."""
        self._answers.put(answer)

    def __call__(
        self,
        order: Path,
        dataset: Path,
        work: Path,
        listener: Callable[[TrainingProgress], None],
    ) -> Path:
        """As `Trainer` says; waits as long as it takes. The worker has a folder of its own."""
        self._report(Train(order=order, dataset=dataset))
        while isinstance(answer := self._answers.get(), TrainingAdvanced):
            listener(answer.progress)
        if isinstance(answer, Trained):
            return answer.result
        raise problems.to_error(answer.problem, answer.detail)


def _carry_out(order: Order, report: Report, trainer: QueuedTrainer) -> Done | Stopped | Compared:
    try:
        if order.artifact is not None:
            return _compare(order, order.artifact)
        _compress(order, report, trainer)
        made = _pack(order)
    except SparsebookError as error:
        # Some stop where there is something to show: their bundle is there, whole.
        reached = _pack(order) if _bundle(order).exists() else None
        return Stopped(problem=error.problem, detail=str(error), made=reached)
    except MemoryError:
        limit = order.limits.address_space_bytes
        return Stopped(
            problem="limit-exceeded",
            detail=f"{order.model.name}: needs more than {limit} bytes of memory",
        )
    except OSError as error:
        # The same three that the storage takes for a full disk.
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            return Stopped(
                problem="storage-full", detail="no room left on the disk for the job's files"
            )
        raise
    return Done(made=made)


def _compress(order: Order, report: Report, trainer: QueuedTrainer) -> None:
    report(Advanced(stage="admit", weight=None, fraction=0.0))
    libraries = Libraries.find(order.runtimes)
    compress(
        _unpacked(order),
        _bundle(order),
        Config.parse(order.config),
        data=order.data,
        loss=order.loss,
        metric=order.metric,
        base=order.base,
        trainer=trainer,
        operator_library=libraries.own,
        platform=libraries.platform,
        other_libraries=libraries.others,
        progress=lambda step: report(_advanced(step)),
    )


def _compare(order: Order, artifact: Path) -> Compared:
    library = Libraries.find(order.runtimes).own
    trial = try_both(_unpacked(order), artifact, data=order.data, library=library)
    return Compared(trial=trial)


def _unpacked(order: Order) -> Path:
    if not archive.looks_like_zip(order.model):
        return order.model
    if order.external:
        raise BadValue(f"{order.model.name}: send external data inside the .zip, not beside it")
    return archive.unpack_model(
        order.model,
        order.out / "model",
        max_bytes=order.limits.unpacked_bytes,
        max_ratio=order.limits.zip_ratio,
    )


def _advanced(step: Progress) -> Advanced:
    return Advanced(
        stage=step.stage, weight=step.weight, fraction=step.fraction, training=step.training
    )


def _bundle(order: Order) -> Path:
    return order.out / "bundle"


def _pack(order: Order) -> Made:
    bundle = _bundle(order)
    names = sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file())
    packed = order.out / "bundle.zip"
    archive.pack(bundle, names, packed)
    return Made(
        files=tuple(_made(name, bundle / name) for name in names), bundle=_made(packed.name, packed)
    )


def _made(name: str, path: Path) -> MadeFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return MadeFile(name=name, bytes=path.stat().st_size, sha256=digest)
