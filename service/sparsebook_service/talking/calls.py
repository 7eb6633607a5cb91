"""The calls of the HTTP contract: what each sends, and how its answer is read."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar
from uuid import uuid4

import httpx
from pydantic import ValidationError

from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import ExternalDataMissing
from sparsebook_service.jobs.schemas import Job
from sparsebook_service.names import Tree
from sparsebook_service.talking.faults import Refused, ServiceProblem, Unreachable

if TYPE_CHECKING:
    from sparsebook_service.resumable.sending import Sent

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Call(Generic[T]):
    """A request that may be sent several times, and the meaning of its answer.

    Attributes:
        method: of HTTP.
        path: below the service's address.
        read: takes the value out of an answer that is no error.
        options: of `httpx.Client.request`.
        served: the problem by which a repetition learns that the service has carried out an earlier sending whose answer was
            lost; the answer is taken for a good one then.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    options: dict[str, Any] = field(default_factory=dict)
    served: str | None = None
    _sent: int = 0

    def request(self) -> dict[str, Any]:
        """What is to be sent, once more."""
        self._sent += 1
        return {"method": self.method, "url": self.path, **self.options}

    def settle(self, answer: httpx.Response) -> T:
        """The value.

        Raises:
            Refused: the answer is an error.
        """
        if answer.is_error:
            refused = Refused(answer)
            if self._sent == 1 or refused.slug is None or refused.slug != self.served:
                raise refused
        return self.read(answer)


def look_up(job_id: str, wait: float) -> Call[Job]:
    """A job, at once or when it has ended, or after `wait` seconds."""
    options = {"params": {"wait": wait}} if wait else {}
    return Call("GET", f"/jobs/{job_id}", read_job, options)


def cancel(job_id: str) -> Call[Job]:
    """Cancels a job. A repetition changes nothing."""
    return Call("POST", f"/jobs/{job_id}/cancel", read_job)


def delete(job_id: str) -> Call[None]:
    """Deletes a job."""
    return Call("DELETE", f"/jobs/{job_id}", lambda _: None, served="unknown-job")


def give_up(upload: "Sent") -> Call[None]:
    """Deletes an upload that a job was made of, which has its own bytes."""
    headers = {"Tus-Resumable": "1.0.0"}
    return Call("DELETE", f"/uploads/{upload.id}", lambda _: None, {"headers": headers})


def report(job_id: str) -> Call[str]:
    """The report of a job."""
    return Call("GET", f"/jobs/{job_id}/report", lambda answer: answer.text)


@contextlib.contextmanager
def submission(
    model: Path,
    external: Sequence[str],
    *,
    upload: "Sent | None",
    config: Config | None,
    data: Sequence[Path],
    loss: Path | None,
    metric: Path | None,
    base: Path | None,
    idempotency_key: str | None,
    deadline: float | None,
    webhook: str | None,
    push: str | None,
) -> Iterator[Call[Job]]:
    """The upload of a model, or of what comes with one that is up there as `upload`; its files are open until the block ends.

    It has an Idempotency-Key, of its own where none is given: however often it must be sent, it makes one job.
    """
    headers = {"Idempotency-Key": idempotency_key or f"client-{uuid4().hex}"}
    text = json.dumps((config or Config()).as_given())
    with contextlib.ExitStack() as stack:
        files: list[tuple[str, tuple[str | None, IO[bytes] | str, str]]] = [
            ("config", (None, text, "application/json")),
        ]

        def attach(part: str, name: str, path: Path) -> None:
            file = stack.enter_context(path.open("rb"))
            files.append((part, (name, file, "application/octet-stream")))

        if upload is None:
            attach("model", model.name, model)
        for path in data:
            attach("data", path.name, path)
        for part, graph in (("loss", loss), ("metric", metric), ("base", base)):
            if graph is not None:
                attach(part, graph.name, graph)
        for name in external:
            attach("external", name, model.parent / name)
        given = {
            "upload": None if upload is None else upload.id,
            "deadline": deadline,
            "webhook": webhook,
            "push": push,
        }
        params = {name: value for name, value in given.items() if value is not None}
        options = {"files": files, "headers": headers, "params": params}
        yield Call("POST", "/compress", read_job, options)


def uploaded(url: str, model: Path, headers: dict[str, str], above: int) -> "Sent | None":
    """Send a model of more than so many bytes piece by piece, from where an earlier call has left off.

    Returns:
        The upload; None for a smaller model.

    Raises:
        ServiceProblem: the service refuses it.
        httpx.TransportError: the service is gone, and stays gone.
    """
    if model.stat().st_size <= above:
        return None
    from sparsebook_service.resumable import sending  # noqa: PLC0415  only few calls need it

    try:
        return sending.send(url, model, headers)
    except sending.Refused as refused:
        raise ServiceProblem(refused.problem) from refused


def external_files(model: Path) -> list[str]:
    """The names of a model's external files, which must lie beside it. It takes a while: the model is parsed.

    Raises:
        InputError: the model is not ONNX, or its external data is not beside it.
    """
    if model.suffix.lower() == ".zip":
        return []
    # NumPy and ONNX, which the service does without.
    from sparsebook_compressor import admit, pack  # noqa: PLC0415

    tree = Tree()
    tree.add(model.name)
    names = pack.external_files(admit.load(model))
    for name in names:
        tree.add(name)
        if not (model.parent / name).is_file():
            raise ExternalDataMissing(
                f"{model.name}: its external data {name!r} is not in {model.parent}"
            )
    return names


def read_job(answer: httpx.Response) -> Job:
    """The job that an answer shows.

    Raises:
        Unreachable: it shows none.
    """
    try:
        return Job.model_validate_json(answer.content)
    except ValidationError as error:
        raise Unreachable(f"{answer.url} is not a Sparsebook service of this version") from error


def ended(job: Job) -> bool:
    """Whether a job has succeeded.

    Raises:
        ServiceProblem: it failed or was cancelled; with its problem and the job.
    """
    if job.error is not None:
        raise ServiceProblem(job.error, job)
    return job.final
