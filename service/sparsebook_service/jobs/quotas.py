"""What may still be accepted: within a key's quota, and within what all jobs together may keep.

It is looked at three times: before an upload, so that it need not be sent in vain; while it comes; and in the
transaction that accepts it, which alone decides.
"""

import time
from collections.abc import Callable
from functools import partial

import sqlalchemy as sa

from sparsebook_compressor.errors import StorageFull
from sparsebook_service.access.caller import Caller, Quota
from sparsebook_service.access.repository import DAY_SECONDS, KeyRepository, count_job
from sparsebook_service.errors import QuotaExceeded
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.table import Usage, usage
from sparsebook_service.settings import Settings

# How long a job may take to end, nobody knows; whoever waits asks again after so many seconds.
RETRY_SECONDS = 10


class Quotas:
    """Refuses what would be too much. Methods block, and raise QuotaExceeded or StorageFull."""

    def __init__(self, settings: Settings, repository: Repository, keys: KeyRepository) -> None:
        self._most = settings.max_stored_bytes
        self._repository = repository
        self._keys = keys

    def before(
        self, caller: Caller, idempotency_key: str | None, announced: int
    ) -> Callable[[int], None]:
        """Refuse one more job of so many bytes before it is uploaded; what repeats one that was accepted is let through.

        Returns:
            What refuses so many bytes while they come.
        """
        if self._repository.by_idempotency_key(caller.key_id, idempotency_key) is not None:
            return lambda _coming: None
        quota = caller.quota
        if caller.key_id is not None and quota.jobs_at_once is not None:
            _check_live(quota.jobs_at_once, self._repository.usage(caller.key_id).live + 1)
        if caller.key_id is not None and quota.jobs_a_day is not None:
            _check_day(quota.jobs_a_day, self._keys.jobs_today(caller.key_id) + 1)
        self.check_bytes(caller, announced)
        return partial(self.check_bytes, caller)

    def check_bytes(self, caller: Caller, coming: int) -> None:
        """Refuse so many bytes on top of those that are kept."""
        most = caller.quota.stored_bytes
        if caller.key_id is not None and most is not None:
            _check_bytes(most, self._repository.usage(caller.key_id).stored + coming)
        if self._most is not None:
            self._check_all(self._repository.usage(None).stored + coming)

    def is_full(self) -> bool:
        """Whether all jobs together keep as much as they may."""
        return self._most is not None and self._repository.usage(None).stored >= self._most

    def accept(self, connection: sa.Connection, caller: Caller) -> None:
        """Count a job that was just inserted, within its transaction."""
        if caller.key_id is not None:
            # Counted for every key, because a row that was written is the lock on which its uploads queue up.
            today = count_job(connection, caller.key_id)
            if caller.quota != Quota():
                _check_quota(caller.quota, usage(connection, caller.key_id), today)
        if self._most is not None:
            self._check_all(usage(connection, None).stored)

    def _check_all(self, wanted: int) -> None:
        if self._most is not None and wanted > self._most:
            raise StorageFull(
                f"all jobs together may keep {self._most} bytes (SPARSEBOOK_MAX_STORED_BYTES), and with this one they "
                f"would keep {wanted}; nothing of it was kept"
            )


def _check_quota(quota: Quota, used: Usage, today: int) -> None:
    if quota.jobs_a_day is not None:
        _check_day(quota.jobs_a_day, today)
    if quota.jobs_at_once is not None:
        _check_live(quota.jobs_at_once, used.live)
    if quota.stored_bytes is not None:
        _check_bytes(quota.stored_bytes, used.stored)


def _check_live(most: int, wanted: int) -> None:
    if wanted > most:
        raise QuotaExceeded(
            f"the key may have {most} jobs queued or running at once, and has them",
            retry_after=RETRY_SECONDS,
        )


def _check_day(most: int, wanted: int) -> None:
    if wanted > most:
        raise QuotaExceeded(
            f"the key may send {most} jobs a day, and has sent them; the next day begins at midnight UTC",
            retry_after=int(DAY_SECONDS - time.time() % DAY_SECONDS) + 1,
        )


def _check_bytes(most: int, wanted: int) -> None:
    if wanted > most:
        raise QuotaExceeded(
            f"the key may have {most} bytes stored, and with this job it would have {wanted}: delete jobs",
            retry_after=None,
        )
