"""How long jobs that have ended are remembered."""

import time
from collections.abc import Callable

import structlog

from sparsebook_service.access.repository import DAY_SECONDS
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.pace import paced

# At a time, so that a long list holds nobody up.
BATCH = 100
LOOK_SECONDS = 60.0

log = structlog.get_logger(__name__)


def forgetting(
    days: float | None, repository: Repository, forget: Callable[[str], bool]
) -> Callable[[], None]:
    """A chore that forgets jobs so many days after their end, with all that is stored of them.

    Args:
        days: None is never.
        repository: of the jobs.
        forget: forgets one; it may be gone already.
    """
    if days is None:
        return lambda: None
    keep_seconds = days * DAY_SECONDS

    def look() -> None:
        old = repository.ended_before(time.time() - keep_seconds, BATCH)
        for row in old:
            forget(row.id)
            log.info("job forgotten", job=row.id, state=row.state, owner=row.owner)

    return paced(look, look_seconds(days))


def look_seconds(days: float | None) -> float:
    """How often to look for what is over: a minute more or less does not matter after days; after less than that it may."""
    return LOOK_SECONDS if days is None else min(LOOK_SECONDS, days * DAY_SECONDS / 10)
