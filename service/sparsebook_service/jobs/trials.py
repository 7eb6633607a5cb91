"""Runs an original and its artifact side by side, for a person who wants to see it: behind the same walls as a job."""

import os
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from sparsebook_compressor.bundle import DATA_NAME, MODEL_NAME, sha256
from sparsebook_compressor.errors import (
    BadData,
    BadValue,
    ExternalDataMissing,
    ExternalDataOutside,
    InternalError,
    InvalidGraph,
    NotOnnx,
    SparsebookError,
    StorageFull,
    TooLarge,
)
from sparsebook_compressor.trial import Trial
from sparsebook_service.errors import NotReady
from sparsebook_service.finetune.problems import LimitExceeded
from sparsebook_service.jobs import keys
from sparsebook_service.jobs.process import JobProcess
from sparsebook_service.jobs.protocol import Compared, Limits, MadeFile, Order, Stopped
from sparsebook_service.names import model_name, plain_name
from sparsebook_service.resumable.store import Finished
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage

TICK_SECONDS = 0.25
MOST_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be run.

    Attributes:
        job_id: whose artifact.
        files: of its bundle, by name.
        input_sha256: of the model that the job was given.
        model: the original, uploaded again.
        data: samples, or None for inputs that are made up.
    """

    job_id: str
    files: dict[str, MadeFile]
    input_sha256: str
    model: Finished
    data: Finished | None


# What its process may say it stopped at. It has parsed files of strangers: what else it names is a fault of ours.
_ERRORS: dict[str, type[SparsebookError]] = {
    kind.problem: kind
    for kind in (
        BadData,
        BadValue,
        ExternalDataMissing,
        ExternalDataOutside,
        InvalidGraph,
        LimitExceeded,
        NotOnnx,
        StorageFull,
        TooLarge,
    )
}


class Trials:
    """One at a time: they are for people who wait, beside jobs that have the machine by rights."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._settings = settings
        self._storage = storage
        self._one = threading.Lock()
        self._closing = threading.Event()

    def close(self) -> None:
        """Stop what runs."""
        self._closing.set()

    def run(self, wanted: Wanted) -> Trial:
        """Run both. Blocks.

        Raises:
            BadValue: the original is not the model of the job, or cannot be run.
            NotReady: another trial runs, it took too long, or the service stops.
            SparsebookError: whatever the files are to blame for.
        """
        if not self._one.acquire(blocking=False):
            raise NotReady("another comparison runs on this server: try again in a moment")
        work = Path(tempfile.mkdtemp(prefix="trial.", dir=self._settings.work_dir))
        try:
            return self._watch(self._order(wanted, work))
        finally:
            shutil.rmtree(work, ignore_errors=True)
            self._one.release()

    def _order(self, wanted: Wanted, work: Path) -> Order:
        # Copies of the uploads' own names: a process sees the folder of what it reads, and others' uploads lie beside these.
        model = _taken(wanted.model, work / "model" / model_name(wanted.model.name or "model.onnx"))
        if sha256(model) != wanted.input_sha256:
            raise BadValue(
                f"{model.name} is not the model of this job: its sha-256 is another; choose the very file that was sent"
            )
        data = None
        if wanted.data is not None:
            data = _taken(wanted.data, work / "data" / plain_name(wanted.data.name, "data.npz"))
        for name in (MODEL_NAME, DATA_NAME):
            if name in wanted.files:
                key = keys.artifact(wanted.job_id, wanted.files[name])
                self._storage.get(key, work / "artifact" / name)
        settings = self._settings
        return Order(
            model=model,
            external=0,
            data=() if data is None else (data,),
            loss=None,
            metric=None,
            config={},
            runtimes=settings.runtimes,
            out=work,
            artifact=work / "artifact" / MODEL_NAME,
            limits=Limits(
                address_space_bytes=settings.job_address_space_bytes,
                cpu_seconds=round(MOST_SECONDS),
                file_bytes=settings.job_file_bytes,
                unpacked_bytes=settings.max_upload_bytes,
                zip_ratio=settings.zip_max_ratio,
            ),
        )

    def _watch(self, order: Order) -> Trial:
        end = time.monotonic() + MOST_SECONDS
        with JobProcess(order) as process:
            for message in process.messages(TICK_SECONDS):
                match message:
                    case Compared(trial=trial):
                        return trial
                    case Stopped(problem=slug, detail=detail):
                        raise _ERRORS.get(slug, InternalError)(detail)
                if self._closing.is_set():
                    raise NotReady("the service is stopping")
                if time.monotonic() > end:
                    raise NotReady(
                        f"the comparison took more than {MOST_SECONDS:.0f} seconds and was ended; `sparsebook bench` has no such limit"
                    )
            status = process.exit_status()
        raise NotReady(f"the comparison's process ended with status {status}; try again")


def _taken(upload: Finished, path: Path) -> Path:
    path.parent.mkdir(parents=True)
    try:
        os.link(upload.path, path)
    except OSError:  # another disk
        shutil.copyfile(upload.path, path)
    return path
