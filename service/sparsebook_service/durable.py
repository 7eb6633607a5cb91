"""Durable queues: DBOS brings whatever was submitted to its end, over any number of crashes.

A queue knows only ids. What an id stands for, and whether it still is to be run, stands in a table of ours; so what is
cancelled needs no word to the queue, and what is run twice by a crash finds the table as it was left.
"""

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, SetWorkflowID, WorkflowStatusString

from sparsebook_compressor.errors import StorageFull

APPLICATION = "sparsebook"
# Pinned, because what an older version has accepted is run by the newer one.
APPLICATION_VERSION = "1"
POLL_SECONDS = 0.1
# What takes the whole process down this often is given up.
MAX_RUNS = 100
# How often a write that found the disk full is tried again.
ROOM_SECONDS = 1.0

T = TypeVar("T")

_DEAD = frozenset(
    {
        WorkflowStatusString.ERROR.value,
        WorkflowStatusString.MAX_RECOVERY_ATTEMPTS_EXCEEDED.value,
        WorkflowStatusString.CANCELLED.value,
    }
)
_CLAIMED = WorkflowStatusString.PENDING.value


class Interrupted(BaseException):
    """The process stops, or the run belongs to another process by now.

    Not an Exception: the queue must not record it as an end, so that the next start takes it up again.
    """


def when_there_is_room(write: Callable[[], T], closing: threading.Event) -> T:
    """Write what must be written as soon as the disk has room for it.

    Raises:
        Interrupted: `closing` is set before there is any.
    """
    while True:
        try:
            return write()
        except StorageFull:
            if closing.wait(ROOM_SECONDS):
                raise Interrupted from None


class DurableQueue:
    """The queue that this process serves. DBOS is a singleton: one served queue a process."""

    def __init__(
        self,
        engine: sa.Engine,
        name: str,
        executor: str,
        run: Callable[[str], None],
        workers: int,
    ) -> None:
        """Start DBOS, which at once takes up what a crash of this executor has left.

        Args:
            engine: the database.
            name: of the queue, and of its one workflow.
            executor: the name of this process, the same after every start; no two processes that run have the same.
            run: brings one id to its end; the durable step.
            workers: how many run at once.
        """
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_engine": engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": executor,
            "log_level": "WARNING",
            "enable_otlp": False,
        }
        DBOS(config=config)

        @DBOS.step(name="run")
        def step(identity: str) -> None:
            run(identity)

        @DBOS.workflow(name=name, max_recovery_attempts=MAX_RUNS)
        def workflow(identity: str) -> None:
            step(identity)

        self._name = name
        self._workflow = workflow
        DBOS.listen_queues([name])
        DBOS.launch()
        DBOS.register_queue(name, worker_concurrency=workers, polling_interval_sec=POLL_SECONDS)

    def submit(self, identity: str) -> None:
        """Enqueue an id; a second time changes nothing."""
        with SetWorkflowID(identity):
            DBOS.enqueue_workflow(self._name, self._workflow, identity)

    def close(self) -> None:
        """Stop taking what is submitted."""
        DBOS.destroy()


class QueueClient:
    """A hand on a queue that another process may serve.

    A DurableQueue must have opened the database before the first call.
    """

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._name = name
        self._client = DBOSClient(
            system_database_engine=engine, application_name=APPLICATION, lazy=True
        )

    def submit(self, identity: str, workflow_id: str) -> None:
        """Enqueue an id under a name of its own; a second time changes nothing."""
        self._client.enqueue(
            {
                "queue_name": self._name,
                "workflow_name": self._name,
                "workflow_id": workflow_id,
                "app_version": APPLICATION_VERSION,
            },
            identity,
        )

    def given_up(self, workflow_ids: Iterable[str]) -> set[str]:
        """Those that the queue will not run again."""
        return self._in_state(workflow_ids, _DEAD)

    def claimed(self, workflow_ids: Iterable[str]) -> set[str]:
        """Those that a process has taken and not brought to an end."""
        return self._in_state(workflow_ids, {_CLAIMED})

    def resume(self, workflow_id: str) -> None:
        """Put what a process has taken back into the queue: the process has lost it."""
        self._client.resume_workflow(workflow_id, queue_name=self._name)

    def forget(self, workflow_ids: Iterable[str]) -> None:
        """Remove what is known of those that have come to an end; others stay."""
        ended = self._in_state(workflow_ids, _DEAD | {WorkflowStatusString.SUCCESS.value})
        if ended:
            self._client.delete_workflows(sorted(ended))

    def close(self) -> None:
        """Let go."""
        self._client.destroy()

    def _in_state(self, workflow_ids: Iterable[str], states: Iterable[str]) -> set[str]:
        ids = list(workflow_ids)
        if not ids:
            return set()
        found = self._client.list_workflows(workflow_ids=ids, status=list(states))
        return {status.workflow_id for status in found}
