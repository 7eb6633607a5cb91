"""The queue of jobs, which the service itself serves, and any number of `sparsebook worker --queue compress`."""

from collections.abc import Callable, Iterable

import sqlalchemy as sa

from sparsebook_service.durable import DurableQueue, QueueClient
from sparsebook_service.hosts.heartbeats import Room
from sparsebook_service.settings import LOST_SECONDS

QUEUE = "compress"
# The server of a data folder; under the same name it takes its own jobs up again after a crash.
EXECUTOR = "sparsebook-1"


class Queue:
    """The queue of jobs, in a process that runs them; one without room takes none, and only asks."""

    def __init__(
        self,
        engine: sa.Engine,
        run: Callable[[str], None],
        room: Room,
        executor: str = EXECUTOR,
        lost_seconds: float = LOST_SECONDS,
    ) -> None:
        """Start it; it at once takes up the jobs that a crash has left.

        Args:
            engine: the database of jobs and queue.
            run: brings one job to its end.
            room: what jobs may have under way together here.
            executor: the name of this process.
            lost_seconds: a process that is silent for so long is lost.
        """
        self._executor = executor
        self._lost_seconds = lost_seconds
        self._queue = DurableQueue(engine, QUEUE, executor, run, room, lost_seconds)
        self._client = QueueClient(engine, QUEUE)

    def submit(self, job_id: str, memory: int = 0) -> None:
        """Enqueue a job; a second time changes nothing. It needs so many bytes of memory."""
        self._queue.submit(job_id, memory)

    def given_up(self, job_ids: Iterable[str]) -> set[str]:
        """Those of the jobs that the queue will not run again."""
        return self._client.given_up(job_ids)

    def claimed(self, job_ids: Iterable[str]) -> set[str]:
        """Those that this process has taken and not ended; whether they run, the runner knows."""
        return self._client.claimed(job_ids, self._executor)

    def unticketed(self, job_ids: Iterable[str]) -> set[str]:
        """Those that were not submitted to the end."""
        return self._client.unticketed(job_ids)

    def resume(self, job_id: str) -> None:
        """Run a job that was taken by this process and is not run."""
        self._queue.resume(job_id)

    def sweep(self) -> None:
        """Let others take what processes had that are gone. Call it now and then."""
        self._client.sweep(self._lost_seconds)

    def forget_ended(self, live: Callable[[set[str]], set[str]]) -> None:
        """Remove what the queue still knows of jobs that have ended or are deleted; `live` gives those that have not."""
        self._client.forget_ended(live)

    def end_stranded(self, live: Callable[[set[str]], set[str]]) -> None:
        """End what nobody has ended of jobs that are over for minutes; `live` as in `forget_ended`."""
        self._client.end_stranded(live)

    def close(self) -> None:
        """Stop taking jobs."""
        self._client.close()
        self._queue.close()
