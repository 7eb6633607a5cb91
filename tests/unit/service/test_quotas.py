"""Quotas where it matters: many uploads of one key at the same moment."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from sparsebook_compressor.errors import StorageFull
from sparsebook_service.access.caller import ANYBODY, Caller, Quota
from sparsebook_service.access.repository import KeyRepository
from sparsebook_service.errors import QuotaExceeded
from sparsebook_service.jobs.quotas import Quotas
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.table import Usage
from sparsebook_service.settings import Settings

UPLOAD = {"model": {"name": "m", "bytes": 10, "sha256": ""}, "data": [], "external": []}


@pytest.mark.parametrize(
    "quota", [Quota(jobs_at_once=3), Quota(jobs_a_day=3), Quota(stored_bytes=35)]
)
def test_no_two_uploads_take_the_last_place(engine: sa.Engine, quota: Quota) -> None:
    repository, keys = Repository(engine), KeyRepository(engine)
    quotas = Quotas(Settings(), repository, keys)
    caller = Caller("k", frozenset({"submit"}), quota)

    def send(number: int) -> bool:
        try:
            add(repository, quotas, caller, str(number))
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(send, range(16)))
    assert accepted.count(True) == 3
    assert repository.usage("k") == Usage(live=3, stored=30)
    assert keys.jobs_today("k") == 3  # what was refused was not sent
    add(repository, quotas, Caller("other", frozenset({"submit"}), quota), "other")
    with pytest.raises(QuotaExceeded):
        quotas.before(caller, None, 10)


def test_all_jobs_together(engine: sa.Engine) -> None:
    repository = Repository(engine)
    quotas = Quotas(Settings(max_stored_bytes=25), repository, KeyRepository(engine))
    for job_id in "ab":
        add(repository, quotas, ANYBODY, job_id)
    assert not quotas.is_full()
    assert Quotas(Settings(max_stored_bytes=20), repository, KeyRepository(engine)).is_full()
    with pytest.raises(StorageFull, match="SPARSEBOOK_MAX_STORED_BYTES"):
        add(repository, quotas, ANYBODY, "c")
    with pytest.raises(StorageFull):
        quotas.before(ANYBODY, None, 6)
    room = quotas.before(ANYBODY, None, 5)
    with pytest.raises(StorageFull):
        room(6)
    repository.delete("a")
    room(6)


def test_a_repetition_is_let_through(engine: sa.Engine) -> None:
    repository = Repository(engine)
    quotas = Quotas(Settings(), repository, KeyRepository(engine))
    caller = Caller("k", frozenset({"submit"}), Quota(1, 10, 1))
    add(repository, quotas, caller, "a", idempotency_key="same")
    quotas.before(caller, "same", 10)(10)
    with pytest.raises(QuotaExceeded):
        quotas.before(caller, "another", 10)
    assert add(repository, quotas, caller, "b", idempotency_key="same") is None
    assert repository.usage("k") == Usage(live=1, stored=10)


def add(
    repository: Repository,
    quotas: Quotas,
    caller: Caller,
    job_id: str,
    idempotency_key: str | None = None,
) -> object:
    return repository.add(
        job_id,
        config={},
        upload=UPLOAD,
        fingerprint="",
        idempotency_key=idempotency_key,
        owner=caller.key_id,
        stored=10,
        accept=lambda connection: quotas.accept(connection, caller),
    )
