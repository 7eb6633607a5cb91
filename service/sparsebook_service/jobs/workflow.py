"""The queue of jobs, which the service itself serves."""

from collections.abc import Callable, Iterable

import sqlalchemy as sa

from sparsebook_service.durable import DurableQueue, QueueClient

QUEUE = "compress"
# One process owns a data folder; under the same name it takes its own jobs up again after a crash.
EXECUTOR = "sparsebook-1"


class Queue:
    """The queue of jobs in this process."""

    def __init__(self, engine: sa.Engine, run: Callable[[str], None], workers: int) -> None:
        """Start it; it at once takes up the jobs that a crash has left.

        Args:
            engine: the database of jobs and queue.
            run: brings one job to its end.
            workers: how many jobs run at once.
        """
        self._queue = DurableQueue(engine, QUEUE, EXECUTOR, run, workers)
        self._client = QueueClient(engine, QUEUE)

    def submit(self, job_id: str) -> None:
        """Enqueue a job; a second time changes nothing."""
        self._queue.submit(job_id)

    def given_up(self, job_ids: Iterable[str]) -> set[str]:
        """Those of the jobs that the queue will not run again."""
        return self._client.given_up(job_ids)

    def claimed(self, job_ids: Iterable[str]) -> set[str]:
        """Those that were taken and have not ended; whether they run, the runner knows."""
        return self._client.claimed(job_ids)

    def resume(self, job_id: str) -> None:
        """Put a job that was taken and is not run back into the queue."""
        self._client.resume(job_id)

    def forget(self, job_ids: Iterable[str]) -> None:
        """Remove what the queue still knows of jobs that have ended."""
        self._client.forget(job_ids)

    def close(self) -> None:
        """Stop taking jobs."""
        self._client.close()
        self._queue.close()
