"""Tells those who wait for a job that it has reached its end."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Bell:
    """One event for every waiting request; rung from any thread.

    It is only a shortcut: who waits also looks at the table now and then, because a job may end in another process.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.closed = False

    @contextmanager
    def listen(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when the job ends or the service stops. Call it in the loop."""
        heard = asyncio.Event()
        if self.closed:
            heard.set()
        self._waiting[job_id].add(heard)
        try:
            yield heard
        finally:
            self._waiting[job_id].discard(heard)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def ring(self, job_id: str) -> None:
        """Wake those who wait for this job. From any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring, job_id)

    def close(self) -> None:
        """Wake everybody for good: the service is stopping. From any thread, and from a signal handler."""
        self.closed = True
        for job_id in list(self._waiting):
            self.ring(job_id)

    def _ring(self, job_id: str) -> None:
        for heard in self._waiting.get(job_id, ()):
            heard.set()
