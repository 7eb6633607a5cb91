"""The jobs' table as it is: its columns, what a row of it is, and what all rows of an owner add up to."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sparsebook_compressor.progress import Stage
from sparsebook_service.jobs.schemas import FINAL, State

METADATA = sa.MetaData()
JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String, nullable=False, unique=True),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("stage", sa.String),
    sa.Column("weight", sa.String),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("started", sa.Float),
    sa.Column("finished", sa.Float),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("upload", sa.JSON, nullable=False),
    sa.Column("idempotency_key", sa.String, unique=True),
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("error", sa.JSON(none_as_null=True)),
    sa.Column("training", sa.JSON(none_as_null=True)),
    sa.Column("waiting", sa.String),
    sa.Column("holder", sa.String),
    sa.Column("cache_key", sa.String),
    sa.Column("cached_from", sa.String),
    # The API key that has sent it; NULL where no keys were asked for.
    sa.Column("owner", sa.String, index=True),
    sa.Column("stored", sa.BigInteger),
    sa.Column("deadline", sa.Float),
    sa.Column("push", sa.String),
    sqlite_autoincrement=True,
)
BY_CACHE_KEY = sa.schema.CreateIndex(
    sa.Index("jobs_by_cache_key", sa.text("cache_key"), _table=JOBS), if_not_exists=True
)
LIVE = JOBS.c.state.in_(("queued", "running"))


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as the table has it; times are seconds since 1970, JSON is plain data."""

    number: int
    id: str
    state: State
    stage: Stage | None
    weight: str | None
    progress: float
    created: float
    started: float | None
    finished: float | None
    config: dict[str, Any]
    upload: dict[str, Any]
    idempotency_key: str | None
    fingerprint: str
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    training: dict[str, Any] | None
    waiting: str | None
    holder: str | None
    cache_key: str | None = None
    cached_from: str | None = None
    owner: str | None = None
    stored: int | None = None
    deadline: float | None = None
    push: str | None = None

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class Usage:
    """How many jobs are queued or running, and the bytes that are stored for all of them, those that have ended too."""

    live: int
    stored: int


def usage(connection: sa.Connection, owner: str | None) -> Usage:
    """What the jobs of a key, or of everybody where `owner` is None, take up."""
    live = sa.func.count(sa.case((LIVE, 1))).label("live")
    stored = sa.func.coalesce(sa.func.sum(JOBS.c.stored), 0).label("stored")
    query = sa.select(live, stored)
    if owner is not None:
        query = query.where(JOBS.c.owner == owner)
    found = connection.execute(query).one()
    return Usage(live=int(found.live), stored=int(found.stored))


def to_row(row: sa.Row[Any]) -> JobRow:
    """A job of what was read."""
    return JobRow(**row._mapping)
