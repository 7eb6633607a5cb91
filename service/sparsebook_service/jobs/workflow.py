"""The durable queue: DBOS brings every accepted job to its end, over any number of crashes.

The queue knows only ids. What a job is, and whether it still is to be run, stands in the jobs' table; so a cancelled
job needs no word to the queue, and a job that is run twice by a crash finds the table as it was left.
"""

from collections.abc import Callable, Iterable

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, SetWorkflowID, WorkflowStatusString

APPLICATION = "sparsebook"
QUEUE = "compress"
# Pinned, because a job that an older version has accepted is run by the newer one.
APPLICATION_VERSION = "1"
# One process owns a data folder; under the same name it takes its own jobs up again after a crash.
EXECUTOR = "sparsebook-1"
POLL_SECONDS = 0.1
# A job that takes the whole service down this often is given up.
MAX_RUNS = 100


class Queue:
    """The queue of this process. DBOS is a singleton: one queue a process."""

    def __init__(self, engine: sa.Engine, run: Callable[[str], None], workers: int) -> None:
        """Start DBOS, which at once takes up the jobs that a crash has left.

        Args:
            engine: the database of jobs and queue.
            run: brings one job to its end; the durable step.
            workers: how many jobs run at once.
        """
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_engine": engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": EXECUTOR,
            "log_level": "WARNING",
            "enable_otlp": False,
        }
        DBOS(config=config)

        @DBOS.step(name="run")
        def step(job_id: str) -> None:
            run(job_id)

        @DBOS.workflow(name="compress", max_recovery_attempts=MAX_RUNS)
        def workflow(job_id: str) -> None:
            step(job_id)

        self._workflow = workflow
        DBOS.listen_queues([QUEUE])
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=workers, polling_interval_sec=POLL_SECONDS)

    def submit(self, job_id: str) -> None:
        """Enqueue a job; a second time changes nothing."""
        with SetWorkflowID(job_id):
            DBOS.enqueue_workflow(QUEUE, self._workflow, job_id)

    def given_up(self, job_ids: Iterable[str]) -> set[str]:
        """Those of the jobs that the queue will not run again."""
        dead = [
            WorkflowStatusString.ERROR.value,
            WorkflowStatusString.MAX_RECOVERY_ATTEMPTS_EXCEEDED.value,
        ]
        ids = list(job_ids)
        return {status.workflow_id for status in DBOS.list_workflows(workflow_ids=ids, status=dead)}

    def close(self) -> None:
        """Stop taking jobs."""
        DBOS.destroy()
