"""Tells any number of listeners what happens to jobs: one look at the table for all of them, and no thread for any."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from sparsebook_service.jobs.bell import Bell
from sparsebook_service.jobs.history import Event
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.table import JobRow

LOOK_SECONDS = 0.25
# The events that listeners who keep up are told without a look at the table of their own.
RECENT_EVENTS = 200

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """What is new of a job: the events since the last news, and how it is now. `row` is None once it is deleted."""

    events: list[Event]
    row: JobRow | None


@dataclass(eq=False)
class _Watched:
    """A job that somebody listens to. `row` and `length` are those of the last look; `changed` is set by the next news."""

    listeners: int = 0
    seen: bool = False
    row: JobRow | None = None
    length: int = 0
    recent: deque[Event] = field(default_factory=lambda: deque(maxlen=RECENT_EVENTS))
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """Looks at the jobs that are listened to, as long as there are any. Everything is called in the loop."""

    def __init__(self, repository: Repository, bell: Bell) -> None:
        """Args: bell: says when the service stops."""
        self._repository = repository
        self._bell = bell
        self._watched: dict[str, _Watched] = {}
        self._joined = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many there are now."""
        return sum(watched.listeners for watched in list(self._watched.values()))

    async def listen(self, job_id: str, after: int, heartbeat: float) -> AsyncIterator[News | None]:
        """What happens to a job after an event, until it has ended, is deleted, or the service stops.

        Args:
            job_id: of the job.
            after: the number of the last event that is known.
            heartbeat: after so many seconds without news there is a None.
        """
        row: JobRow | None = None
        with self._watching(job_id) as watched:
            while not self._bell.closed:
                changed = watched.changed
                length = watched.length
                if watched.seen and (row != watched.row or watched.row is None or after < length):
                    row = watched.row
                    events = await self._events(watched, job_id, after, length)
                    after = length
                    yield News(events, row)
                    if row is None or row.final:
                        return
                    continue  # it may have changed meanwhile
                try:
                    await asyncio.wait_for(changed.wait(), heartbeat)
                except TimeoutError:
                    yield None

    async def _events(self, watched: _Watched, job_id: str, after: int, length: int) -> list[Event]:
        """Those that come after one, up to the number `length`."""
        if after >= length:
            return []
        events: Iterable[Event] = watched.recent
        if not watched.recent or watched.recent[0].number > after + 1:
            events = await asyncio.to_thread(self._repository.events, job_id, after)
        return [event for event in events if after < event.number <= length]

    @contextmanager
    def _watching(self, job_id: str) -> Iterator[_Watched]:
        watched = self._watched.setdefault(job_id, _Watched())
        watched.listeners += 1
        self._joined.set()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_again_and_again())
        try:
            yield watched
        finally:
            watched.listeners -= 1
            if watched.listeners == 0:
                del self._watched[job_id]

    async def _look_again_and_again(self) -> None:
        while self._watched:
            self._joined.clear()
            try:
                await self._look()
            except Exception:  # the table cannot be read just now; who listens hears a heartbeat
                log.exception("a look at the jobs failed; it is tried again")
                await asyncio.sleep(LOOK_SECONDS)
            if self._bell.closed:
                self._wake()
            try:
                await asyncio.wait_for(self._joined.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue
        self._looking = None

    def _wake(self) -> None:
        for watched in self._watched.values():
            watched.changed.set()

    async def _look(self) -> None:
        asked = dict(self._watched)
        rows, lengths = await asyncio.to_thread(self._repository.look, asked)
        for job_id, watched in asked.items():
            row, length = rows.get(job_id), lengths.get(job_id, 0)
            if watched.seen and (row, length) == (watched.row, watched.length):
                continue
            if watched.seen and length > watched.length:
                fresh = await asyncio.to_thread(self._repository.events, job_id, watched.length)
                watched.recent.extend(event for event in fresh if event.number <= length)
            watched.row, watched.length, watched.seen = row, length, True
            heard, watched.changed = watched.changed, asyncio.Event()
            heard.set()
