"""The queue of trainings, which fine-tuning workers serve."""

from collections.abc import Callable, Iterable

import sqlalchemy as sa

from sparsebook_service.durable import DurableQueue, QueueClient
from sparsebook_service.hosts.heartbeats import Room
from sparsebook_service.settings import LOST_SECONDS

QUEUE = "finetune"


def _workflow_id(number: int) -> str:
    return f"{QUEUE}-{number}"


class TrainingQueue:
    """For those who ask."""

    def __init__(self, engine: sa.Engine) -> None:
        self._client = QueueClient(engine, QUEUE)

    def submit(self, number: int, memory: int = 0) -> None:
        """Enqueue a training; a second time changes nothing. It needs so many bytes of memory."""
        self._client.submit(str(number), _workflow_id(number), memory)

    def given_up(self, numbers: Iterable[int]) -> set[int]:
        """Those that no worker will run again."""
        return _numbers(self._client.given_up(map(_workflow_id, numbers)))

    def claimed(self, numbers: Iterable[int]) -> set[int]:
        """Those that a worker has taken and not brought to an end."""
        return _numbers(self._client.claimed(map(_workflow_id, numbers)))

    def resume(self, number: int) -> None:
        """Let another worker take a training whose worker has lost it."""
        self._client.give_back(_workflow_id(number))

    def sweep(self, lost_seconds: float) -> None:
        """Let others take what workers had that are gone."""
        self._client.sweep(lost_seconds)

    def forget_ended(self, live: Callable[[set[int]], set[int]]) -> None:
        """Remove what the queue still knows of trainings that have ended; `live` gives those that have not, by their rows."""
        self._client.forget_ended(
            lambda ended: set(map(_workflow_id, live(_numbers(ended)))),
        )

    def end_stranded(self, live: Callable[[set[int]], set[int]]) -> None:
        """End what nobody has ended of trainings that are over for minutes; `live` as in `forget_ended`."""
        self._client.end_stranded(
            lambda under_way: set(map(_workflow_id, live(_numbers(under_way)))),
        )

    def close(self) -> None:
        """Let go."""
        self._client.close()


def serve(
    engine: sa.Engine,
    executor: str,
    run: Callable[[int], None],
    room: Room,
    lost_seconds: float = LOST_SECONDS,
) -> DurableQueue:
    """Serve the queue in this process.

    Args:
        engine: the database.
        executor: the name of this worker, the same after every start.
        run: brings one training to its end.
        room: what trainings may have under way together here.
        lost_seconds: a worker that is silent for so long is lost.
    """
    return DurableQueue(
        engine, QUEUE, executor, lambda number: run(int(number)), room, lost_seconds
    )


def _numbers(workflow_ids: Iterable[str]) -> set[int]:
    return {int(workflow_id.rsplit("-", 1)[-1]) for workflow_id in workflow_ids}
