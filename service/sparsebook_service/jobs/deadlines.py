"""When a job must have ended, and what becomes of it when it has not."""

import time

import structlog

from sparsebook_service import problems
from sparsebook_service.jobs import keys
from sparsebook_service.jobs.bell import Bell
from sparsebook_service.jobs.keeping import bytes_after_failure
from sparsebook_service.jobs.leftovers import Leftovers
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.table import JobRow
from sparsebook_service.settings import Settings

log = structlog.get_logger(__name__)


def allowed(settings: Settings, asked: float | None) -> float | None:
    """The seconds from its acceptance within which a job must have ended; None where it may take its time.

    `asked` are those that its sender gives it; the service's own deadline holds all the same.
    """
    given = [seconds for seconds in (asked, settings.job_deadline_seconds) if seconds is not None]
    return min(given, default=None)


class Deadlines:
    """Ends jobs that are overdue, whether they run or wait."""

    def __init__(self, repository: Repository, leftovers: Leftovers, bell: Bell) -> None:
        self._repository = repository
        self._leftovers = leftovers
        self._bell = bell

    def enforce(self) -> None:
        """End them. Call it now and then.

        The row decides: whoever runs the job looks at it and stops, as for a cancel.
        """
        for row in self._repository.overdue(time.time()):
            problem = problems.describe("deadline", _detail(row), keys.address(row.id))
            stored = bytes_after_failure(row, None)
            if self._repository.fail(row.id, problem.model_dump(), stored=stored):
                self._leftovers.note(row)
                self._bell.ring(row.id)
                log.warning("job overdue", job=row.id, detail=problem.detail)


def _detail(row: JobRow) -> str:
    assert row.deadline is not None
    doing = (
        "was waiting for its turn" if row.state == "queued" else f"was in {row.stage or 'admit'}"
    )
    return f"the job had {row.deadline - row.created:.0f} seconds to end, and {doing} when they were over"
