"""The queue under faults of its database: none of them takes room for ever, and none makes a living process lost."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from sparsebook_service.database import open_sqlite
from sparsebook_service.hosts.heartbeats import BEATS, EXECUTORS, Heartbeats, Room
from sparsebook_service.hosts.tickets import Tickets
from sparsebook_service.jobs.workflow import EXECUTOR, QUEUE, Queue


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_sqlite(tmp_path / "sparsebook.sqlite")
    yield engine
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
