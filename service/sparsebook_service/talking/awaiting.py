"""The client whose methods are coroutines; beside `blocking`, line for line."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio
import httpx
from anyio import to_thread
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


class AsyncClient:
    """A connection to a service, for asyncio and trio. The methods do what those of `Client` do, and raise the same.

    Files on this machine are read and written between two steps of the event loop; models are parsed in a thread.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        patience: float = PATIENCE_SECONDS,
        notice: Notice | None = None,
    ) -> None:
        """As `Client`."""
        self._url = url.rstrip("/")
        self._patience = Patience(patience, notice)
        with checked(url):
            self._http = httpx.AsyncClient(
                base_url=self._url, timeout=TIMEOUT, headers=authorization(api_key)
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def compress(
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
        """As `Client.compress`."""
        names = await to_thread.run_sync(calls.external_files, model)
        upload = await to_thread.run_sync(uploaded, self._url, self._http.headers, model)
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
            job = await self._do(call)
        if upload is not None:
            upload.forget()
            with contextlib.suppress(httpx.HTTPError):
                await self._http.request(**calls.give_up(upload).request())
        return job

    async def job(self, job_id: str, *, wait: float = 0) -> Job:
        """As `Client.job`."""
        return await self._do(calls.look_up(job_id, wait))

    async def events(self, job_id: str) -> AsyncIterator[Event]:
        """As `Client.events`."""
        following = Following(job_id)
        while not following.ended:
            with translated(self._url):
                answer: httpx.Response = await self._patience.async_retrying()(
                    self._listen, following
                )
            async with contextlib.aclosing(answer):
                with contextlib.suppress(httpx.TransportError):
                    async for heard in EventSource(answer).aiter_sse():
                        event = following.take(heard)
                        if event is not None:
                            yield event
            if not following.ended:
                await anyio.sleep(following.pause)

    async def wait(self, job_id: str, on_change: Callable[[Job], None] | None = None) -> Job:
        """As `Client.wait`."""
        job = await self.job(job_id, wait=0 if on_change else LONG_POLL_SECONDS)
        if on_change is not None:
            on_change(job)
            if not job.final:
                async for event in self.events(job_id):
                    job = event.applied_to(job)
                    on_change(job)
        while not calls.ended(job):
            job = await self.job(job_id, wait=LONG_POLL_SECONDS)
        return job

    async def cancel(self, job_id: str) -> Job:
        """As `Client.cancel`."""
        return await self._do(calls.cancel(job_id))

    async def delete(self, job_id: str) -> None:
        """As `Client.delete`."""
        await self._do(calls.delete(job_id))

    async def report(self, job_id: str) -> str:
        """As `Client.report`."""
        return await self._do(calls.report(job_id))

    async def download(self, job: Job, out: Path) -> None:
        """As `Client.download`."""
        from sparsebook_compressor import pack  # noqa: PLC0415  as there

        assert job.result is not None
        with translated(self._url), pack.fresh_folder(out) as folder:
            for file in job.result.files:
                await self._fetch(file, folder)

    async def _fetch(self, file: ResultFile, folder: Path) -> None:
        with place(self._url, file, folder).open("wb") as local:
            download = Download(self._url, file, local)
            while True:
                await self._patience.async_retrying()(self._fetch_some, download)
                if download.whole():
                    return

    async def _fetch_some(self, download: Download) -> None:
        async with self._http.stream(**download.request()) as answer:
            if answer.is_error:
                await answer.aread()
            download.begin(answer)
            with download.stretch():
                async for chunk in answer.aiter_raw():
                    download.take(chunk)

    async def _listen(self, following: Following) -> httpx.Response:
        request = self._http.build_request(**following.request())
        async with contextlib.AsyncExitStack() as stack:
            answer = await self._http.send(request, stream=True)
            stack.push_async_callback(answer.aclose)
            if answer.is_error:
                await answer.aread()
            following.begin(answer)
            stack.pop_all()
        return answer

    async def _do(self, call: Call[T]) -> T:
        async def once() -> T:
            return call.settle(await self._http.request(**call.request()))

        with translated(self._url):
            return await self._patience.async_retrying()(once)
