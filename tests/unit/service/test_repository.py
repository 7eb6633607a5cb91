import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sparsebook_service.database import open_sqlite
from sparsebook_service.errors import QuotaExceeded
from sparsebook_service.jobs import deadlines
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.table import Usage, usage
from sparsebook_service.settings import Settings

UPLOAD = {"model": {"name": "m", "bytes": 1, "sha256": ""}, "data": [], "external": []}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(open_sqlite(tmp_path / "jobs.sqlite"))


def add(repository: Repository, job_id: str, key: str | None = None) -> Any:
    return repository.add(job_id, config={}, upload=UPLOAD, fingerprint=job_id, idempotency_key=key)


def test_the_life_of_a_job(repository: Repository) -> None:
    row = add(repository, "a")
    assert (row.state, row.progress, row.started, row.final) == ("queued", 0.0, None, False)
    assert not repository.is_running("a")
    assert not repository.advance("a", "prune", "w", 0.5)
    first = repository.begin("a")
    assert first is not None
    assert repository.is_running("a")
    assert repository.advance("a", "prune", "w", 0.5)
    again = repository.begin("a")  # after a crash
    assert again is not None
    assert (again.started, again.progress, again.weight) == (first.started, 0.0, None)
    assert repository.succeed("a", {"x": 1})
    done = repository.get("a")
    assert done is not None
    assert (done.state, done.progress, done.result, done.final) == (
        "succeeded",
        1.0,
        {"x": 1},
        True,
    )
    assert done.finished is not None
    assert done.started is not None
    assert done.created <= done.started <= done.finished


def test_who_comes_second_changes_nothing(repository: Repository) -> None:
    for job_id, end in (("s", "succeeded"), ("f", "failed"), ("c", "cancelled")):
        add(repository, job_id)
        repository.begin(job_id)
        ends = {
            "succeeded": lambda job_id=job_id: repository.succeed(job_id, {}),
            "failed": lambda job_id=job_id: repository.fail(job_id, {"why": "it"}),
            "cancelled": lambda job_id=job_id: repository.cancel(job_id, {"why": "me"}),
        }
        assert ends[end]()
        before = repository.get(job_id)
        assert not any(change() for change in ends.values())
        assert repository.begin(job_id) is None
        assert not repository.advance(job_id, "pack", None, 0.1)
        assert repository.get(job_id) == before


def test_idempotency_keys_are_unique(repository: Repository) -> None:
    assert add(repository, "a", "key").idempotency_key == "key"
    assert add(repository, "b", "key") is None
    assert add(repository, "c") is not None
    assert add(repository, "d") is not None
    found = repository.by_idempotency_key(None, "key")
    assert found is not None
    assert found.id == "a"
    assert repository.delete("a")
    assert not repository.delete("a")
    assert repository.by_idempotency_key(None, "key") is None
    assert add(repository, "b", "key") is not None


def test_a_job_that_is_deleted_at_once_was_accepted(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "jobs.sqlite")
    repository = Repository(engine)

    @sa.event.listens_for(engine, "checkin")
    def delete(_connection: object, _record: object) -> None:
        """By somebody who lists jobs, as soon as the row is there."""
        with sqlite3.connect(tmp_path / "jobs.sqlite") as other:
            other.execute("DELETE FROM jobs")
        other.close()

    row = add(repository, "a", "key")
    assert (row.id, row.number, row.state, row.upload) == ("a", 1, "queued", UPLOAD)
    assert repository.get("a") is None
    engine.dispose()


def test_pages_and_counts(repository: Repository) -> None:
    rows = [add(repository, name) for name in "abcd"]
    repository.begin("b")
    repository.cancel("c", {})
    assert [row.id for row in repository.page(before=None, limit=3, state=None)] == ["d", "c", "b"]
    before = rows[1].number
    assert [row.id for row in repository.page(before=before, limit=3, state=None)] == ["a"]
    assert [row.id for row in repository.page(before=None, limit=9, state="queued")] == ["d", "a"]
    found = {
        text: repository.page(before=None, limit=9, state=None, search=text)
        for text in ("B", "%", "M")
    }
    assert {text: [row.id for row in rows] for text, rows in found.items()} == {
        "B": ["b"],
        "%": [],
        "M": ["d", "c", "b", "a"],
    }
    assert [row.id for row in repository.live()] == ["a", "b", "d"]
    assert repository.count_by_state() == {"queued": 2, "running": 1, "cancelled": 1}
    repository.delete("d")
    assert add(repository, "e").number > rows[3].number  # numbers are never used again


def test_a_table_of_an_older_version_gets_the_columns_that_it_lacks(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "jobs.sqlite")
    add(Repository(engine), "old")
    with engine.begin() as connection:
        for column in ("training", "waiting"):
            connection.exec_driver_sql(f"ALTER TABLE jobs DROP COLUMN {column}")
    repository = Repository(engine)
    old = repository.get("old")
    assert old is not None
    assert (old.training, old.waiting) == (None, None)
    assert repository.begin("old") is not None
    assert repository.wait("old", "for a worker")
    assert repository.advance("old", "retrain", None, 0.5, {"epoch": 1})
    now = repository.get("old")
    assert now is not None
    assert (now.training, now.waiting) == ({"epoch": 1}, "for a worker")


def test_a_failed_job_may_have_a_result(repository: Repository) -> None:
    add(repository, "a")
    repository.begin("a")
    repository.wait("a", "for a worker")
    assert repository.fail("a", {"why": "it"}, {"best": 1})
    row = repository.get("a")
    assert row is not None
    assert (row.state, row.result, row.error, row.waiting) == (
        "failed",
        {"best": 1},
        {"why": "it"},
        None,
    )


def test_idempotency_keys_are_their_owners(repository: Repository) -> None:
    def add_of(owner: str | None, job_id: str) -> Any:
        return repository.add(
            job_id, config={}, upload=UPLOAD, fingerprint="", idempotency_key="k", owner=owner
        )

    assert [
        add_of(owner, job_id) is None for owner, job_id in ((None, "a"), ("x", "b"), ("x", "c"))
    ] == [False, False, True]
    found = [repository.by_idempotency_key(owner, "k") for owner in (None, "x", "y")]
    assert [row and row.id for row in found] == ["a", "b", None]
    assert repository.by_idempotency_key("x", None) is None


def test_a_job_that_is_not_accepted_is_not_there(repository: Repository) -> None:
    def refuse(connection: sa.Connection) -> None:
        assert usage(connection, "x") == Usage(live=1, stored=5)
        raise QuotaExceeded("too many", retry_after=1)

    with pytest.raises(QuotaExceeded):
        repository.add(
            "a",
            config={},
            upload=UPLOAD,
            fingerprint="",
            idempotency_key="k",
            owner="x",
            stored=5,
            accept=refuse,
        )
    assert repository.get("a") is None
    assert repository.usage("x") == Usage(live=0, stored=0)


def test_usage_is_of_what_is_kept(repository: Repository) -> None:
    for number, job_id in enumerate("abcd"):
        repository.add(
            job_id,
            config={},
            upload=UPLOAD,
            fingerprint="",
            idempotency_key=None,
            owner="x" if number else None,
            stored=10,
        )
    assert repository.usage("x") == Usage(live=3, stored=30)
    assert repository.usage(None) == Usage(live=4, stored=40)
    for job_id in "bc":
        repository.begin(job_id)
    repository.succeed("b", {}, stored=3)
    repository.fail("c", {}, stored=1)
    repository.cancel("d", {})
    assert repository.usage("x") == Usage(live=0, stored=4)
    assert [row.id for row in repository.page(before=None, limit=9, state=None, owner="x")] == [
        "d",
        "c",
        "b",
    ]


def test_a_table_of_an_older_version_gets_columns_and_indexes(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "jobs.sqlite")
    Repository(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_jobs_owner")
        connection.exec_driver_sql("ALTER TABLE jobs DROP COLUMN owner")
    repository = Repository(engine)
    add(repository, "a")
    assert {index["name"] for index in sa.inspect(engine).get_indexes("jobs")} >= {"ix_jobs_owner"}
    assert repository.usage("x") == Usage(live=0, stored=0)
    engine.dispose()


def test_of_equal_jobs_the_latest_that_succeeded_is_found(repository: Repository) -> None:
    """The one whose files are kept longest."""
    for job_id in "abcd":
        repository.add(
            job_id,
            config={},
            upload=UPLOAD,
            fingerprint="",
            idempotency_key=None,
            cache_key="other" if job_id == "d" else "same",
        )
        repository.begin(job_id)
        if job_id != "c":
            assert repository.succeed(job_id, {})
    found = repository.succeeded_as("same")
    assert found is not None
    assert found.id == "b"
    repository.delete("b")
    found = repository.succeeded_as("same")
    assert found is not None
    assert found.id == "a"
    assert repository.succeeded_as("none") is None


def test_a_success_is_that_of_the_run_that_held_the_job(repository: Repository) -> None:
    add(repository, "a")
    repository.begin("a", "one")
    assert not repository.has_succeeded("a", "one")
    repository.begin("a", "other")
    assert not repository.succeed("a", {}, holder="one")
    assert repository.succeed("a", {}, holder="other")
    assert repository.has_succeeded("a", "other")
    assert not repository.has_succeeded("a", "one")


def test_jobs_are_forgotten_a_few_at_a_time_the_oldest_first(repository: Repository) -> None:
    for job_id in "abcd":
        add(repository, job_id)
        if job_id != "b":
            assert repository.cancel(job_id, {})
    ended = repository.ended_before(time.time() + 1, 2)
    assert [row.id for row in ended] == ["a", "c"]
    assert repository.ended_before(time.time() - 3600, 2) == []


@pytest.mark.parametrize(
    ("asked", "own", "seconds"),
    [(None, None, None), (5.0, None, 5.0), (None, 7.0, 7.0), (5.0, 7.0, 5.0), (9.0, 7.0, 7.0)],
)
def test_of_two_deadlines_the_sooner_one_holds(
    asked: float | None, own: float | None, seconds: float | None
) -> None:
    assert deadlines.allowed(Settings(job_deadline_seconds=own), asked) == seconds
