"""A client of the service, for Python and for the command line.

In a script:

    with Client("http://127.0.0.1:8080") as client:
        job = client.wait(client.compress(Path("model.onnx")).id)
        client.download(job, Path("model-sparsebook"))
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import httpx
from pydantic import ValidationError

from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue, ExternalDataMissing, SparsebookError
from sparsebook_service.jobs.schemas import Job, ResultFile
from sparsebook_service.names import Tree, fault
from sparsebook_service.schemas import Problem

# A connection must come about soon; an upload or a long poll may take its time between two bytes.
TIMEOUT = httpx.Timeout(90, connect=10)
POLL_SECONDS = 0.3
LONG_POLL_SECONDS = 30
# A larger model goes up in pieces, and goes on where an earlier call was interrupted.
RESUMED_FROM_BYTES = 64 << 20
CHUNK_BYTES = 1 << 20


_NOBODYS_FAULT = {"cancelled", "diverged", "rate-limited", "quota-exceeded"}


class ServiceProblem(SparsebookError):
    """The service answered with a problem, or a job ended with one.

    Attributes:
        found: the problem.
        job: the job that ended with it; it may have a result all the same.
    """

    def __init__(self, found: Problem, job: Job | None = None) -> None:
        super().__init__(found.detail)
        self.found = found
        self.job = job

    @property
    def slug(self) -> str:
        """The last part of the problem's type."""
        return self.found.type.rsplit("/", 1)[-1]

    @property
    def callers_fault(self) -> bool:
        """Whether the caller can mend it."""
        return 400 <= self.found.status < 500 and self.slug not in _NOBODYS_FAULT


class Unreachable(SparsebookError):
    """No answer that makes sense came from the address."""


class Client:
    """A connection to a service. Every method raises ServiceProblem where the service refuses, Unreachable where it is gone."""

    def __init__(self, url: str, *, api_key: str | None = None) -> None:
        """Connect when there is something to ask.

        Args:
            url: of the service, such as http://127.0.0.1:8080.
            api_key: where the service asks for one.

        Raises:
            BadValue: what is no URL, or cannot be a key.
        """
        self._url = url.rstrip("/")
        try:
            self._http = httpx.Client(
                base_url=self._url, timeout=TIMEOUT, headers=_authorization(api_key)
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise BadValue(f"the server's address {url!r} is not a URL: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def compress(
        self,
        model: Path,
        *,
        config: Config | None = None,
        data: Sequence[Path] = (),
        loss: Path | None = None,
        metric: Path | None = None,
        idempotency_key: str | None = None,
        deadline: float | None = None,
    ) -> Job:
        """Upload a model, with its external data, and queue its compression.

        Args:
            model: an .onnx file with its external data in the same folder, or a .zip of them.
            config: the preset `safe` by default.
            data: .npz files with samples, which continue each other.
            loss: a small .onnx graph to train for.
            metric: likewise, to measure by.
            idempotency_key: makes a repetition give the same job.
            deadline: seconds within which the job must have ended; it fails otherwise.

        Raises:
            InputError: the model is not ONNX, or its external data is not beside it.
        """
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        text = json.dumps((config or Config()).as_given())
        with contextlib.ExitStack() as stack:
            files: list[tuple[str, tuple[str | None, IO[bytes] | str, str]]] = [
                ("config", (None, text, "application/json")),
            ]

            def attach(part: str, name: str, path: Path) -> None:
                file = stack.enter_context(path.open("rb"))
                files.append((part, (name, file, "application/octet-stream")))

            params: dict[str, str | float] = {} if deadline is None else {"deadline": deadline}
            if model.stat().st_size > RESUMED_FROM_BYTES:
                params["upload"] = self._upload(model)
            else:
                attach("model", model.name, model)
            for path in data:
                attach("data", path.name, path)
            for part, graph in (("loss", loss), ("metric", metric)):
                if graph is not None:
                    attach(part, graph.name, graph)
            for name in _external_files(model):
                attach("external", name, model.parent / name)
            answer = self._send("POST", "/compress", files=files, headers=headers, params=params)
        return _job(answer)

    def _upload(self, model: Path) -> str:
        """Send a large file piece by piece; the id of the upload."""
        from sparsebook_service.resumable import sending  # noqa: PLC0415  only few calls need it

        try:
            with self._talking():
                return sending.send(self._url, model, dict(self._http.headers))
        except sending.Refused as refused:
            raise ServiceProblem(refused.problem) from refused

    def job(self, job_id: str, *, wait: float = 0) -> Job:
        """Look a job up, at once or when it has ended, or after `wait` seconds (at most 60)."""
        return _job(self._send("GET", f"/jobs/{job_id}", params={"wait": wait} if wait else None))

    def wait(self, job_id: str, on_change: Callable[[Job], None] | None = None) -> Job:
        """Wait for a job's end.

        Args:
            job_id: of the job.
            on_change: is given the job several times a second; without it the service is asked twice a minute.

        Returns:
            The job, which has succeeded.

        Raises:
            ServiceProblem: it failed or was cancelled; with its problem and the job.
        """
        while True:
            job = self.job(job_id, wait=0 if on_change else LONG_POLL_SECONDS)
            if on_change is not None:
                on_change(job)
            if job.error is not None:
                raise ServiceProblem(job.error, job)
            if job.final:
                return job
            if on_change is not None:
                time.sleep(POLL_SECONDS)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; one that has ended stays as it is."""
        return _job(self._send("POST", f"/jobs/{job_id}/cancel"))

    def delete(self, job_id: str) -> None:
        """Forget a job and free its storage."""
        self._send("DELETE", f"/jobs/{job_id}")

    def report(self, job_id: str) -> str:
        """The report of a job, JSON."""
        return self._send("GET", f"/jobs/{job_id}/report").text

    def download(self, job: Job, out: Path) -> None:
        """Download the bundle of a job into a folder, which appears whole or not at all.

        Raises:
            BadValue: `out` exists and is not an empty folder.
            StorageFull: no room left on the disk.
            Unreachable: what arrived is not what the job says.
        """
        from sparsebook_compressor import pack  # noqa: PLC0415  NumPy and ONNX, which the service does without

        assert job.result is not None
        with pack.fresh_folder(out) as folder:
            for file in job.result.files:
                self._fetch(file, folder)

    def _fetch(self, file: ResultFile, folder: Path) -> None:
        if fault(file.name) is not None:
            raise Unreachable(f"{self._url} offers a file under the bad name {file.name!r}")
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with (
            self._talking(),
            self._http.stream("GET", file.href) as answer,
            target.open("wb") as local,
        ):
            if answer.is_error:
                answer.read()
                raise _refusal(answer)
            for chunk in answer.iter_bytes(CHUNK_BYTES):
                digest.update(chunk)
                local.write(chunk)
        if digest.hexdigest() != file.sha256:
            raise Unreachable(f"{file.name} arrived damaged from {self._url}; try again")

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._talking():
            answer = self._http.request(method, path, **options)
        if answer.is_error:
            raise _refusal(answer)
        return answer

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except httpx.UnsupportedProtocol as error:
            raise BadValue(
                f"the server's address {self._url!r} must start with http:// or https://"
            ) from error
        except httpx.TransportError as error:
            raise Unreachable(
                f"no connection to {self._url}: {error}; is `sparsebook serve` running there?"
            ) from error


def _authorization(api_key: str | None) -> dict[str, str]:
    key = (api_key or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadValue("the API key has characters that no key has: copy it again, as it was shown")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _external_files(model: Path) -> list[str]:
    """The names of a model's external files, which must lie beside it."""
    if model.suffix.lower() == ".zip":
        return []
    from sparsebook_compressor import admit, pack  # noqa: PLC0415  likewise

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


def _job(answer: httpx.Response) -> Job:
    try:
        return Job.model_validate_json(answer.content)
    except ValidationError as error:
        raise Unreachable(f"{answer.url} is not a Sparsebook service of this version") from error


def _refusal(answer: httpx.Response) -> SparsebookError:
    try:
        return ServiceProblem(Problem.model_validate_json(answer.content))
    except ValidationError:
        return Unreachable(f"{answer.url} answered with status {answer.status_code}")
