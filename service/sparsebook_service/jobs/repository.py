"""The jobs' table: the one place that knows what state a job is in.

Every change of state is one conditional UPDATE, so that whoever comes second (a cancel against a finish, a repeated run
against a cancel) changes nothing and is told so. A run writes only while it holds the job, by a token that it draws anew: one
that was taken for lost and replaced is told so at its next word.
"""

import time
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sparsebook_compressor.progress import Stage
from sparsebook_service.database import make_tables, writing
from sparsebook_service.jobs.schemas import FINAL, State

_METADATA = sa.MetaData()
_JOBS = sa.Table(
    "jobs",
    _METADATA,
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
    sqlite_autoincrement=True,
)
_LIVE = _JOBS.c.state.in_(("queued", "running"))


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

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL


class Repository:
    """Reads and writes jobs. Every method is one transaction; writing raises StorageFull where the disk is."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        make_tables(engine, _METADATA)

    def add(
        self,
        job_id: str,
        *,
        config: dict[str, Any],
        upload: dict[str, Any],
        fingerprint: str,
        idempotency_key: str | None,
    ) -> JobRow | None:
        """Insert a queued job; None where its idempotency key is taken."""
        values = {
            "id": job_id,
            "state": "queued",
            "progress": 0.0,
            "created": time.time(),
            "config": config,
            "upload": upload,
            "fingerprint": fingerprint,
            "idempotency_key": idempotency_key,
        }
        try:
            with writing(self._engine) as connection:
                connection.execute(_JOBS.insert().values(values))
        except IntegrityError:
            if idempotency_key is None:
                raise
            return None
        return self.get(job_id)

    def get(self, job_id: str) -> JobRow | None:
        """Read one job."""
        return self._one(_JOBS.c.id == job_id)

    def by_idempotency_key(self, key: str) -> JobRow | None:
        """Read the job that was accepted under a key."""
        return self._one(_JOBS.c.idempotency_key == key)

    def page(self, *, before: int | None, limit: int, state: State | None) -> list[JobRow]:
        """Newest first, `limit` of those whose number is below `before`."""
        query = sa.select(_JOBS).order_by(_JOBS.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(_JOBS.c.number < before)
        if state is not None:
            query = query.where(_JOBS.c.state == state)
        with self._engine.connect() as connection:
            return [_row(row) for row in connection.execute(query)]

    def live(self) -> list[JobRow]:
        """Those that are queued or running, oldest first."""
        with self._engine.connect() as connection:
            query = sa.select(_JOBS).where(_LIVE).order_by(_JOBS.c.number)
            return [_row(row) for row in connection.execute(query)]

    def count_by_state(self) -> dict[State, int]:
        """How many jobs are in which state."""
        query = sa.select(_JOBS.c.state, sa.func.count().label("jobs")).group_by(_JOBS.c.state)
        with self._engine.connect() as connection:
            return {cast("State", row.state): row.jobs for row in connection.execute(query)}

    def begin(self, job_id: str, holder: str = "") -> JobRow | None:
        """Mark a live job as running, from the start, and hold it; None where it is not live any more."""
        changed = self._update(
            (_JOBS.c.id == job_id) & _LIVE,
            state="running",
            started=sa.func.coalesce(_JOBS.c.started, time.time()),
            stage=None,
            weight=None,
            progress=0.0,
            training=None,
            waiting=None,
            holder=holder,
        )
        return self.get(job_id) if changed else None

    def is_running(self, job_id: str, holder: str = "") -> bool:
        """Whether the job is still to be run, by this run."""
        row = self.get(job_id)
        return row is not None and row.state == "running" and row.holder == holder

    def is_live(self, job_id: str) -> bool:
        """Whether the job is still to be run, by whomever."""
        row = self.get(job_id)
        return row is not None and not row.final

    def advance(
        self,
        job_id: str,
        stage: Stage,
        weight: str | None,
        progress: float,
        training: dict[str, Any] | None = None,
        holder: str = "",
    ) -> bool:
        """Note how far a held job is; False where it is not held any more."""
        return self._update(
            _held(job_id, holder),
            stage=stage,
            weight=weight,
            progress=progress,
            training=training,
        )

    def wait(self, job_id: str, waiting: str | None, holder: str = "") -> bool:
        """Note what a held job waits for; False where it is not held any more."""
        return self._update(_held(job_id, holder), waiting=waiting)

    def succeed(self, job_id: str, result: dict[str, Any], holder: str = "") -> bool:
        """Finish a held job with its result; False where it is not held any more."""
        return self._update(
            _held(job_id, holder),
            state="succeeded",
            finished=time.time(),
            progress=1.0,
            weight=None,
            training=None,
            waiting=None,
            result=result,
        )

    def fail(
        self,
        job_id: str,
        error: dict[str, Any],
        result: dict[str, Any] | None = None,
        holder: str | None = None,
    ) -> bool:
        """Finish a job with the problem that stopped it; False where it is not live, or not held, any more.

        Args:
            job_id: of a live job.
            error: the problem.
            result: what was reached all the same.
            holder: that must hold it; whoever does without.
        """
        return self._update(
            (_JOBS.c.id == job_id) & _LIVE if holder is None else _held(job_id, holder),
            state="failed",
            finished=time.time(),
            waiting=None,
            error=error,
            result=result,
        )

    def cancel(self, job_id: str, error: dict[str, Any]) -> bool:
        """Cancel a live job; False where it is not live any more."""
        return self._update(
            (_JOBS.c.id == job_id) & _LIVE,
            state="cancelled",
            finished=time.time(),
            waiting=None,
            error=error,
        )

    def delete(self, job_id: str) -> bool:
        """Forget a job; False where there is none."""
        with writing(self._engine) as connection:
            return connection.execute(_JOBS.delete().where(_JOBS.c.id == job_id)).rowcount > 0

    def _one(self, condition: sa.ColumnElement[bool]) -> JobRow | None:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(_JOBS).where(condition)).one_or_none()
        return None if row is None else _row(row)

    def _update(self, condition: sa.ColumnElement[bool], **values: Any) -> bool:
        with writing(self._engine) as connection:
            return connection.execute(_JOBS.update().where(condition).values(values)).rowcount > 0


def _held(job_id: str, holder: str) -> sa.ColumnElement[bool]:
    return (_JOBS.c.id == job_id) & (_JOBS.c.state == "running") & (_JOBS.c.holder == holder)


def _row(row: sa.Row[Any]) -> JobRow:
    return JobRow(**row._mapping)
