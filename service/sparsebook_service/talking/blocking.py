"""The client whose methods return when the service has answered."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx
from httpx_sse import EventSource

from sparsebook_compressor.config import Config
from sparsebook_service.jobs.schemas import Job, ResultFile
from sparsebook_service.talking import calls
from sparsebook_service.talking.calls import Call
from sparsebook_service.talking.download import Download, place
from sparsebook_service.talking.faults import translated
from sparsebook_service.talking.following import Event, Following
from sparsebook_service.talking.opening import (
    LONG_POLL_SECONDS,
    PATIENCE_SECONDS,
    TIMEOUT,
    authorization,
    checked,
    uploaded,
)
from sparsebook_service.talking.patience import Notice, Patience

T = TypeVar("T")


class Client:
    """A connection to a service. Every method raises ServiceProblem where the service refuses, Unreachable where it is gone."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        patience: float = PATIENCE_SECONDS,
        notice: Notice | None = None,
    ) -> None:
        """Open it; nothing is sent yet.

        Args:
            url: of the service, such as http://127.0.0.1:8080.
            api_key: where the service asks for one.
            patience: seconds to spend on pauses before a request that cannot be answered now is given up; 0 tries once.
            notice: is told why a request failed and in how many seconds it is sent again.

        Raises:
            BadValue: `url` is none, or `api_key` cannot be one.
        """
        self._url = url.rstrip("/")
        self._patience = Patience(patience, notice)
        with checked(url):
            self._http = httpx.Client(
                base_url=self._url, timeout=TIMEOUT, headers=authorization(api_key)
            )

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
        base: Path | None = None,
        idempotency_key: str | None = None,
        deadline: float | None = None,
        webhook: str | None = None,
        push: str | None = None,
    ) -> Job:
        """Upload a model, with its external data, and queue its compression.

        Args:
            model: an .onnx file with its external data in the same folder, or a .zip of them.
            config: the preset `safe` by default.
            data: .npz files with samples, which continue each other.
            loss: a small .onnx graph to train for.
            metric: likewise, to measure by.
            base: the last release's artifact: the bundle has an update from it besides (docs/updates.md).
            idempotency_key: makes a repetition, of another process too, give the same job; by default one of this call's own.
            deadline: seconds within which the job must have ended; it fails otherwise.
            webhook: a URL to which the service posts the job's end.
            push: a place in a bucket, s3://…, to which the service copies the bundle's files.

        Raises:
            InputError: the model is not ONNX, or its external data is not beside it.
        """
        names = calls.external_files(model)
        upload = uploaded(self._url, self._http.headers, model)
        with calls.submission(
            model,
            names,
            upload=upload,
            config=config,
            data=data,
            loss=loss,
            metric=metric,
            base=base,
            idempotency_key=idempotency_key,
            deadline=deadline,
            webhook=webhook,
            push=push,
        ) as call:
            job = self._do(call)
        if upload is not None:
            upload.forget()
            # It expires by itself as well.
            with contextlib.suppress(httpx.HTTPError):
                self._http.request(**calls.give_up(upload).request())
        return job

    def job(self, job_id: str, *, wait: float = 0) -> Job:
        """Look a job up, at once or when it has ended, or after `wait` seconds (at most 60)."""
        return self._do(calls.look_up(job_id, wait))

    def events(self, job_id: str) -> Iterator[Event]:
        """What happens to a job, from its beginning to its end; the last event is `end`, of a job that failed too.

        Raises:
            ServiceProblem: there is no such job, or it is deleted meanwhile.
        """
        following = Following(job_id)
        while not following.ended:
            with translated(self._url):
                answer = self._patience.retrying()(self._listen, following)
            with contextlib.closing(answer), contextlib.suppress(httpx.TransportError):
                for heard in EventSource(answer).iter_sse():
                    event = following.take(heard)
                    if event is not None:
                        yield event
            if not following.ended:
                time.sleep(following.pause)

    def wait(self, job_id: str, on_change: Callable[[Job], None] | None = None) -> Job:
        """Wait for a job's end.

        Args:
            job_id: of the job.
            on_change: is given the job whenever something has happened to it; without it the service is asked twice a minute.

        Returns:
            The job, which has succeeded.

        Raises:
            ServiceProblem: it failed or was cancelled; with its problem and the job.
        """
        job = self.job(job_id, wait=0 if on_change else LONG_POLL_SECONDS)
        if on_change is not None:
            on_change(job)
            for event in () if job.final else self.events(job_id):
                job = event.applied_to(job)
                on_change(job)
        while not calls.ended(job):
            job = self.job(job_id, wait=LONG_POLL_SECONDS)
        return job

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; one that has ended stays as it is."""
        return self._do(calls.cancel(job_id))

    def delete(self, job_id: str) -> None:
        """Forget a job and free its storage."""
        self._do(calls.delete(job_id))

    def report(self, job_id: str) -> str:
        """The report of a job, JSON."""
        return self._do(calls.report(job_id))

    def download(self, job: Job, out: Path) -> None:
        """Download the bundle of a job into a folder, which appears whole or not at all.

        Raises:
            BadValue: `out` exists and is not an empty folder.
            StorageFull: no room left on the disk.
            Unreachable: what arrived is not what the job says.
        """
        from sparsebook_compressor import pack  # noqa: PLC0415  NumPy and ONNX, which the service does without

        assert job.result is not None
        with translated(self._url), pack.fresh_folder(out) as folder:
            for file in job.result.files:
                self._fetch(file, folder)

    def _fetch(self, file: ResultFile, folder: Path) -> None:
        with place(self._url, file, folder).open("wb") as local:
            download = Download(self._url, file, local)
            while True:
                self._patience.retrying()(self._fetch_some, download)
                if download.whole():
                    return

    def _fetch_some(self, download: Download) -> None:
        with self._http.stream(**download.request()) as answer:
            if answer.is_error:
                answer.read()
            download.begin(answer)
            with download.stretch():
                for chunk in answer.iter_raw():
                    download.take(chunk)

    def _listen(self, following: Following) -> httpx.Response:
        request = self._http.build_request(**following.request())
        with contextlib.ExitStack() as stack:
            answer = stack.enter_context(contextlib.closing(self._http.send(request, stream=True)))
            if answer.is_error:
                answer.read()
            following.begin(answer)
            stack.pop_all()
        return answer

    def _do(self, call: Call[T]) -> T:
        with translated(self._url):
            return self._patience.retrying()(
                lambda: call.settle(self._http.request(**call.request()))
            )
