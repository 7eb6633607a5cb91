"""The engine that all tables share, jobs' and queues': SQLite in a folder of one machine, Postgres for many."""

import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from sparsebook_compressor.errors import BadValue, StorageFull

# Long polls and listings read from up to 40 worker threads; the queue has its own few.
POOL_SIZE = 48
# A connection of Postgres is a process there, and all hosts share what it allows (100 by default): a process keeps few, and
# opens more while many ask at once.
POSTGRES_POOL_SIZE, POSTGRES_OVERFLOW = 4, 16
POSTGRES_CONNECT_SECONDS = 10
# So long an outage costs no work: whoever needs a connection waits.
OUTAGE_SECONDS = 60.0
# Without an answer for so long a connection is dead: the database's host has gone without a word.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_POSTGRES_DISK_FULL = "53100"
BUSY_TIMEOUT_MS = 30_000


class now(GenericFunction[float]):  # noqa: N801 - as SQL writes it
    """Seconds since 1970 by the database's clock, the only one that all hosts share."""

    type = sa.Float()
    inherit_cache = True
    name = "sparsebook_now"


@compiles(now, "sqlite")
def _now_of_sqlite(_element: now, _compiler: Any, **_options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_of_postgres(_element: now, _compiler: Any, **_options: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


def open_database(url: str | None, file: Path) -> sa.Engine:
    """Open the Postgres of a URL, or without one the SQLite file.

    Raises:
        BadValue: Postgres cannot be reached, or does not let us in.
    """
    return open_sqlite(file) if url is None else open_postgres(url)


def open_postgres(url: str) -> sa.Engine:
    """Connect to a Postgres database.

    Raises:
        BadValue: it cannot be reached, or does not let us in.
    """
    engine = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=POSTGRES_POOL_SIZE,
        max_overflow=POSTGRES_OVERFLOW,
        # A database that was restarted, or moved, costs one more round trip here and no job there.
        pool_pre_ping=True,
        connect_args={"connect_timeout": POSTGRES_CONNECT_SECONDS, **_KEEPALIVES},
    )
    try:
        engine.connect().close()
        _wait_for_postgres(engine)
    except OperationalError as error:
        where = engine.url.render_as_string(hide_password=True)
        raise BadValue(
            f"SPARSEBOOK_DATABASE_URL: {where} cannot be opened: {error.orig}; is Postgres running, and is the URL right?"
        ) from error
    return engine


def _wait_for_postgres(engine: sa.Engine) -> None:
    """From here on a Postgres that does not answer is waited for: it restarts, or another takes its place."""

    @event.listens_for(engine, "do_connect")
    def connect(dialect: sa.Dialect, _record: Any, arguments: Any, options: Any) -> Any:
        deadline = time.monotonic() + OUTAGE_SECONDS
        pause = 0.1
        while True:
            try:
                return dialect.connect(*arguments, **options)
            except psycopg.OperationalError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 2.0)


def is_passing(error: Exception) -> bool:
    """Whether the connection broke, or none was to be had, and the same statement may be tried again."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return isinstance(error, NoConnection)


@contextmanager
def alone(engine: sa.Engine, what: str) -> Iterator[None]:
    """Let no other process do `what` meanwhile; it waits for its turn.

    SQLite serves one machine, whose processes take turns by files (`claim`): there it does nothing.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.begin() as connection:
        key = zlib.crc32(f"sparsebook {what}".encode())
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
        yield


def insert(
    database: sa.Engine | sa.Connection, table: sa.Table
) -> "sqlite.Insert | postgresql.Insert":
    """An INSERT that can say what happens to a row that is there already."""
    if database.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def open_sqlite(path: Path) -> sa.Engine:
    """Open, and create if need be, the SQLite file.

    Writers begin IMMEDIATE, so that two of them queue up instead of failing half-way; the write-ahead log lets readers
    go on meanwhile and gave nine times the throughput with two workers.
    """
    engine = sa.create_engine(f"sqlite:///{path}", pool_size=POOL_SIZE)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def make_tables(engine: sa.Engine, metadata: sa.MetaData) -> None:
    """Create the tables that are missing, and in older ones the columns, which may be NULL, and indexes that are missing."""
    with alone(engine, "tables"):
        _make_tables(engine, metadata)


def _make_tables(engine: sa.Engine, metadata: sa.MetaData) -> None:
    metadata.create_all(engine)
    found = sa.inspect(engine)
    for table in metadata.tables.values():
        present = {column["name"] for column in found.get_columns(table.name)}
        for column in table.columns:
            if column.name not in present:
                kind = column.type.compile(engine.dialect)
                with engine.begin() as connection:
                    connection.exec_driver_sql(
                        f'ALTER TABLE "{table.name}" ADD COLUMN "{column.name}" {kind}'
                    )
        for index in table.indexes:
            index.create(engine, checkfirst=True)


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction.

    Raises:
        StorageFull: the disk has no room for it; nothing of it is kept.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except OperationalError as error:
        full = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        if full or getattr(error.orig, "sqlstate", None) == _POSTGRES_DISK_FULL:
            raise StorageFull("no room left on the disk for the database") from error
        raise
