"""Files of jobs that others than their runs have failed: they go when there is time, the rows do not wait for that."""

from collections import deque

from sparsebook_service.finetune.service import Trainings
from sparsebook_service.jobs.keeping import keep_after_failure
from sparsebook_service.jobs.table import JobRow
from sparsebook_service.storage import Storage


class Leftovers:
    """What one process has still to remove; after a crash the next start finds it (`recovery.tidy`)."""

    def __init__(self, storage: Storage, trainings: Trainings) -> None:
        self._storage = storage
        self._trainings = trainings
        self._rows: deque[JobRow] = deque()

    def note(self, row: JobRow) -> None:
        """A job has failed, without anything to show."""
        self._rows.append(row)

    def clear(self) -> None:
        """Remove what was noted. Call it now and then; what raises is tried again, after the others."""
        for _ in range(len(self._rows)):
            row = self._rows.popleft()
            try:
                keep_after_failure(self._storage, row, output=False)
                self._trainings.release(row.id)
            except BaseException:
                self._rows.append(row)
                raise
