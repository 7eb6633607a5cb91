"""The queue under faults of its database: none of them takes room for ever, and none makes a living process lost."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from benchmarks.postgres import Postgres, postgres
from sparsebook_service import durable
from sparsebook_service.database import open_postgres
from sparsebook_service.durable import Interrupted, QueueClient
from sparsebook_service.hosts import admission
from sparsebook_service.hosts.heartbeats import BEATS, EXECUTORS, Heartbeats, Room
from sparsebook_service.hosts.tickets import Tickets
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.workflow import EXECUTOR, QUEUE, Queue


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("engine")
        return
    engine = open_postgres(request.getfixturevalue("server").database())
    yield engine
    # DBOS does not wait for its threads: a connection that one gives back later would be nobody's, and never closed.
    until(lambda: engine.pool.checkedout() == 0)
    engine.dispose()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Faults:
    """Statements that begin so fail, so many times, in the database itself."""

    def __init__(self, engine: sa.Engine, begin: str, times: int, error: Exception) -> None:
        self.left = times
        self._begin = begin
        self._error = error
        sa.event.listen(engine, "before_cursor_execute", self._fail)

    def _fail(self, _connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if self.left and statement.startswith(self._begin):
            self.left -= 1
            raise self._error


LOCKED = OperationalError("", {}, sqlite3.OperationalError("database is locked"))


@pytest.fixture
def ran() -> list[str]:
    return []


@pytest.fixture
def queue(engine: sa.Engine, ran: list[str]) -> Iterator[Queue]:
    """With room for one."""
    queue = Queue(engine, ran.append, Room(1, 1 << 40))
    yield queue
    queue.close()


def test_a_locked_database_leaves_no_ticket(
    engine: sa.Engine, queue: Queue, ran: list[str]
) -> None:
    faults = Faults(engine, "DELETE FROM tickets", 1, LOCKED)
    for job_id in "ab":
        queue.submit(job_id)
    until(lambda: ran == ["a", "b"])
    assert not faults.left
    until(lambda: Tickets(engine, QUEUE).all_held() == [])
    assert queue.given_up("ab") == set()


def test_a_ticket_of_work_that_has_ended_is_swept(
    engine: sa.Engine, queue: Queue, ran: list[str]
) -> None:
    Faults(engine, "DELETE FROM tickets", 1, ValueError("nothing that passes"))
    for job_id in "ab":
        queue.submit(job_id)
    until(lambda: queue.given_up("a") == {"a"})
    assert Tickets(engine, QUEUE).held(EXECUTOR) == ["a"]  # nobody else could free it
    queue.sweep()
    until(lambda: ran == ["a", "b"])
    until(lambda: Tickets(engine, QUEUE).all_held() == [])


def test_what_is_under_way_keeps_its_ticket(engine: sa.Engine) -> None:
    began, go_on = threading.Event(), threading.Event()

    def run(_job_id: str) -> None:
        began.set()
        assert go_on.wait(20)

    queue = Queue(engine, run, Room(1, 1 << 40))
    try:
        queue.submit("a")
        assert began.wait(20)
        queue.sweep()
        assert Tickets(engine, QUEUE).held(EXECUTOR) == ["a"]
    finally:
        go_on.set()
        queue.close()


def test_work_that_cannot_be_begun_holds_up_no_other(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "PAUSE_SECONDS", 0.1)
    ran: list[str] = []
    queue = Queue(engine, ran.append, Room(2, 1 << 40))
    try:
        Tickets(engine, QUEUE).issue("unknown", 0)  # DBOS has never heard of it
        queue.submit("a")
        until(lambda: ran == ["a"])
        until(lambda: Tickets(engine, QUEUE).all_held() == ["unknown"])
        queue.sweep()
        assert Tickets(engine, QUEUE).all_held() == []
        for job_id in "bc":
            queue.submit(job_id)
        until(lambda: sorted(ran) == ["a", "b", "c"])
    finally:
        queue.close()


def test_what_has_ended_is_forgotten_and_nothing_else(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "FORGOTTEN_AT_ONCE", 2)
    go_on = threading.Event()

    def run(job_id: str) -> None:
        if job_id == "failed":
            raise ValueError(job_id)
        if job_id == "running":
            assert go_on.wait(20)

    def known() -> set[str]:
        query = "SELECT workflow_uuid FROM workflow_status"
        with engine.connect() as connection:
            return set(connection.exec_driver_sql(query).scalars())

    queue = Queue(engine, run, Room(1, 1 << 40))
    try:
        for job_id in ("a", "b", "c", "failed", "running"):
            queue.submit(job_id)
        until(lambda: Tickets(engine, QUEUE).held(EXECUTOR) == ["running"])
        until(lambda: queue.given_up(["failed"]) == {"failed"})
        # The row of a job whose run has failed is still to be brought to its end, by what the queue says.
        queue.forget_ended(lambda ended: ended & {"failed", "running"})
        assert known() == {"failed", "running"}
        queue.forget_ended(lambda _ended: set())
        assert known() == {"running"}
        go_on.set()
        until(lambda: Tickets(engine, QUEUE).all_held() == [])
        until(lambda: queue.claimed(["running"]) == set())
        queue.forget_ended(lambda _ended: set())
        assert known() == set()
    finally:
        go_on.set()
        queue.close()


def workflows(engine: sa.Engine) -> dict[str, str]:
    """What DBOS has, by id, with its status."""
    schema = "dbos." if engine.dialect.name == "postgresql" else ""
    with engine.connect() as connection:
        query = f"SELECT workflow_uuid, status FROM {schema}workflow_status"
        return {row[0]: row[1] for row in connection.exec_driver_sql(query)}


def test_what_a_lost_run_has_left_is_ended_once_its_job_is_over_for_long(
    either: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "LOOKED_THROUGH_AT_ONCE", 1)
    began, go_on = threading.Event(), threading.Event()

    def run(job_id: str) -> None:
        if job_id == "left":
            raise Interrupted  # another host has it, says the job's row
        if job_id == "running":
            began.set()
            assert go_on.wait(60)

    queue = Queue(either, run, Room(3, 1 << 40))
    try:
        queue.submit("left")
        until(lambda: Tickets(either, QUEUE).held(EXECUTOR) == ["left"])
        until(lambda: workflows(either)["left"] == "PENDING")
        queue.submit("running")
        assert began.wait(60)
        queue.submit("waits", 2 << 40)  # no ticket of it fits beside others
        live = {"running", "waits"}
        queue.end_stranded(lambda under_way: under_way & live)
        queue.end_stranded(lambda under_way: under_way & live)
        assert set(workflows(either)) == {"left", "running", "waits"}  # not for long yet
        monkeypatch.setattr(durable, "STRANDED_SECONDS", 0.0)
        queue.end_stranded(lambda under_way: under_way)
        assert set(workflows(either)) == {"left", "running", "waits"}
        queue.end_stranded(lambda under_way: under_way & live)
        assert set(workflows(either)) == {"running", "waits"}
        assert Tickets(either, QUEUE).held(EXECUTOR) == ["running"]
        # A run that winds down too slowly loses its workflow under its hands, and takes no harm.
        queue.end_stranded(lambda under_way: under_way & {"waits"})
        assert set(workflows(either)) == {"waits"}
        go_on.set()
        until(lambda: workflows(either) == {"waits": "SUCCESS"})
    finally:
        go_on.set()
        queue.close()


def test_work_that_is_being_accepted_is_never_taken_for_stranded(
    either: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "STRANDED_SECONDS", 0.0)
    upload = {"model": {"name": "m", "bytes": 1, "sha256": ""}, "data": [], "external": []}
    ran: list[str] = []
    repository = Repository(either)
    queue = Queue(either, ran.append, Room(8, 1 << 40))
    other_host = QueueClient(either, QUEUE)
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            other_host.end_stranded(repository.live_among)

    looking = threading.Thread(target=look)
    looking.start()
    accepted = [f"job-{number}" for number in range(40)]
    try:
        for job_id in accepted:
            repository.add(job_id, config={}, upload=upload, fingerprint="", idempotency_key=None)
            queue.submit(job_id)
        until(lambda: len(ran) >= len(accepted))
    finally:
        stop.set()
        looking.join()
        other_host.close()
        queue.close()
    assert sorted(ran) == sorted(accepted)


def test_a_heart_beats_on_where_no_connection_was_to_be_had(
    tmp_path: Path, engine: sa.Engine
) -> None:
    narrow = sa.create_engine(
        f"sqlite:///{tmp_path / 'sparsebook.sqlite'}",
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.02,
    )
    heart = Heartbeats(narrow, "x", QUEUE, Room(1, 1), 0.1 * BEATS)

    def seen() -> float:
        with engine.connect() as connection:
            return float(connection.execute(sa.select(EXECUTORS.c.seen)).scalar_one())

    heart.start()
    with narrow.connect():  # the only one
        time.sleep(0.5)  # some beats are missed
        last = seen()
    until(lambda: seen() > last)
    with narrow.connect():
        heart.close()  # without a word, and without a fault
    assert seen() > last
    narrow.dispose()
