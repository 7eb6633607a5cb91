"""What many tests of the service's parts stand on: a fresh database, a fresh storage, the nursery of job processes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from sparsebook_service.database import open_sqlite
from sparsebook_service.finetune.queue import TrainingQueue
from sparsebook_service.finetune.repository import TrainingRepository
from sparsebook_service.finetune.service import Trainings
from sparsebook_service.jobs import nursery
from sparsebook_service.storage import Storage

MakeTrainings = Callable[[Storage], Trainings]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_sqlite(tmp_path / "sparsebook.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "files")


@pytest.fixture
def make_trainings(engine: sa.Engine, tmp_path: Path) -> Iterator[MakeTrainings]:
    """Makes the trainings of a storage, for which no worker comes. Their tables are there once a `Queue` was opened."""
    queues: list[TrainingQueue] = []

    def make(storage: Storage) -> Trainings:
        queues.append(TrainingQueue(engine))
        return Trainings(
            storage,
            TrainingRepository(engine),
            queues[-1],
            data_dir=tmp_path,
            worker_comes=lambda: False,
        )

    yield make
    for queue in queues:
        queue.close()


@pytest.fixture(scope="session")
def warm_nursery() -> None:
    """Job processes are forked from one that has imported everything, as the service has it: each would take seconds else."""
    before = os.environ.get("PYTHONSAFEPATH")
    nursery.start()
    if before is None:
        del os.environ["PYTHONSAFEPATH"]
