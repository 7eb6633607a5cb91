"""The queue of trainings, which fine-tuning workers serve."""

from collections.abc import Callable, Iterable

import sqlalchemy as sa

from sparsebook_service.durable import DurableQueue, QueueClient

QUEUE = "finetune"


def _workflow_id(number: int) -> str:
    return f"{QUEUE}-{number}"


class TrainingQueue:
    """For those who ask."""

    def __init__(self, engine: sa.Engine) -> None:
        self._client = QueueClient(engine, QUEUE)

    def submit(self, number: int) -> None:
        """Enqueue a training; a second time changes nothing."""
        self._client.submit(str(number), _workflow_id(number))

    def given_up(self, numbers: Iterable[int]) -> set[int]:
        """Those that no worker will run again."""
        return _numbers(self._client.given_up(map(_workflow_id, numbers)))

    def claimed(self, numbers: Iterable[int]) -> set[int]:
        """Those that a worker has taken and not brought to an end."""
        return _numbers(self._client.claimed(map(_workflow_id, numbers)))

    def resume(self, number: int) -> None:
        """Put a training whose worker is lost back into the queue."""
        self._client.resume(_workflow_id(number))

    def close(self) -> None:
        """Let go."""
        self._client.close()


def serve(
    engine: sa.Engine, executor: str, run: Callable[[int], None], workers: int
) -> DurableQueue:
    """Serve the queue in this process.

    Args:
        engine: the database.
        executor: the name of this worker, the same after every start.
        run: brings one training to its end.
        workers: how many trainings run at once.
    """
    return DurableQueue(engine, QUEUE, executor, lambda number: run(int(number)), workers)


def _numbers(workflow_ids: Iterable[str]) -> set[int]:
    return {int(workflow_id.rsplit("-", 1)[-1]) for workflow_id in workflow_ids}
