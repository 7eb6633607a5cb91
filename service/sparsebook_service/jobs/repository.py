"""What is read of the jobs' table and written there: the one place that knows what state a job is in.

Every change of state is one conditional UPDATE, so that whoever comes second (a cancel against a finish, a repeated run
against a cancel) changes nothing and is told so. A run writes only while it holds the job, by a token that it draws anew: one
that was taken for lost and replaced is told so at its next word.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sparsebook_compressor.progress import Stage
from sparsebook_service.database import make_tables, writing
from sparsebook_service.jobs import history
from sparsebook_service.jobs.history import Event, Happened
from sparsebook_service.jobs.schemas import State
from sparsebook_service.jobs.searching import finds
from sparsebook_service.jobs.table import (
    BY_CACHE_KEY,
    JOBS,
    LIVE,
    METADATA,
    JobRow,
    Usage,
    to_row,
    usage,
)


class Repository:
    """Reads and writes jobs. Every method is one transaction; writing raises StorageFull where the disk is."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        make_tables(engine, METADATA)
        with engine.begin() as connection:  # also on the tables of an older version
            connection.execute(BY_CACHE_KEY)
        make_tables(engine, history.METADATA)

    def add(
        self,
        job_id: str,
        *,
        config: dict[str, Any],
        upload: dict[str, Any],
        fingerprint: str,
        idempotency_key: str | None,
        owner: str | None = None,
        stored: int = 0,
        deadline: float | None = None,
        push: str | None = None,
        accept: Callable[[sa.Connection], None] = lambda _connection: None,
        cache_key: str | None = None,
        cached: tuple[str, dict[str, Any]] | None = None,
    ) -> JobRow | None:
        """Insert a queued job; None where its idempotency key is taken.

        Idempotency keys are their owner's: two owners may use the same.

        Args:
            job_id: of the new job.
            config: as it was given.
            upload: what was uploaded.
            fingerprint: of both.
            idempotency_key: None where none was given.
            owner: the API key that sends it.
            stored: bytes that are stored for it.
            deadline: seconds from now within which it must have ended.
            push: where in a bucket its bundle goes.
            accept: is called in the same transaction, the job inserted; what it raises undoes it.
            cache_key: by which a later job finds its result.
            cached: the id of an earlier job and its result, with which this one has succeeded already.
        """
        now = time.time()
        ended = {}
        if cached is not None:
            ended = {"state": "succeeded", "progress": 1.0, "started": now, "finished": now}
            ended |= {"cached_from": cached[0], "result": cached[1]}
        values = {
            "id": job_id,
            "state": "queued",
            "progress": 0.0,
            "created": now,
            "config": config,
            "upload": upload,
            "fingerprint": fingerprint,
            "idempotency_key": _owned(owner, idempotency_key),
            "owner": owner,
            "stored": stored,
            "deadline": None if deadline is None else now + deadline,
            "push": push,
            "cache_key": cache_key,
            **ended,
        }
        try:
            with writing(self._engine) as connection:
                inserted = connection.execute(JOBS.insert().values(values).returning(JOBS)).one()
                accept(connection)
        except IntegrityError:
            if idempotency_key is None:
                raise
            return None
        return to_row(inserted)  # as it was: it may have been deleted since

    def get(self, job_id: str) -> JobRow | None:
        """Read one job."""
        return self._one(JOBS.c.id == job_id) if _may_be(job_id) else None

    def rows(self, job_ids: Iterable[str]) -> dict[str, JobRow]:
        """Those of some jobs that there are, by id."""
        return {row.id: row for row in self._some(JOBS.c.id.in_(list(job_ids)))}

    def live_among(self, job_ids: Iterable[str]) -> set[str]:
        """Those of some jobs that are queued or running."""
        query = sa.select(JOBS.c.id).where(LIVE & JOBS.c.id.in_(list(job_ids)))
        with self._engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def by_idempotency_key(self, owner: str | None, key: str | None) -> JobRow | None:
        """Read the job that was accepted under a key of an owner."""
        return None if key is None else self._one(JOBS.c.idempotency_key == _owned(owner, key))

    def succeeded_as(self, cache_key: str) -> JobRow | None:
        """Read the latest job that has succeeded in what is known by this key."""
        query = sa.select(JOBS).where(
            (JOBS.c.cache_key == cache_key) & (JOBS.c.state == "succeeded")
        )
        with self._engine.connect() as connection:
            row = connection.execute(query.order_by(JOBS.c.number.desc()).limit(1)).one_or_none()
        return None if row is None else to_row(row)

    def usage(self, owner: str | None) -> Usage:
        """What the jobs of an owner, or of everybody where it is None, take up."""
        with self._engine.connect() as connection:
            return usage(connection, owner)

    def page(
        self,
        *,
        before: int | None,
        limit: int,
        state: State | None,
        owner: str | None = None,
        search: str | None = None,
    ) -> list[JobRow]:
        """Newest first, `limit` of those whose number is below `before`; of all owners where `owner` is None."""
        query = sa.select(JOBS).order_by(JOBS.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(JOBS.c.number < before)
        if state is not None:
            query = query.where(JOBS.c.state == state)
        if owner is not None:
            query = query.where(JOBS.c.owner == owner)
        if search is not None:
            query = query.where(finds(JOBS, search))
        with self._engine.connect() as connection:
            return [to_row(row) for row in connection.execute(query)]

    def live(self) -> list[JobRow]:
        """Those that are queued or running, oldest first."""
        with self._engine.connect() as connection:
            query = sa.select(JOBS).where(LIVE).order_by(JOBS.c.number)
            return [to_row(row) for row in connection.execute(query)]

    def count_by_state(self) -> dict[State, int]:
        """How many jobs are in which state."""
        query = sa.select(JOBS.c.state, sa.func.count().label("jobs")).group_by(JOBS.c.state)
        with self._engine.connect() as connection:
            return {cast("State", row.state): row.jobs for row in connection.execute(query)}

    def begin(self, job_id: str, holder: str = "") -> JobRow | None:
        """Mark a live job as running, from the start, and hold it; None where it is not live any more."""
        changed = self._update(
            (JOBS.c.id == job_id) & LIVE,
            job_id,
            [Happened("started", {})],
            state="running",
            started=sa.func.coalesce(JOBS.c.started, time.time()),
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

    def has_succeeded(self, job_id: str, holder: str) -> bool:
        """Whether the job has succeeded, in this run."""
        row = self.get(job_id)
        return row is not None and row.state == "succeeded" and row.holder == holder

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
        happened: Iterable[Happened] = (),
    ) -> bool:
        """Note how far a held job is, and what happened on the way; False where it is not held any more."""
        return self._update(
            _held(job_id, holder),
            job_id,
            happened,
            stage=stage,
            weight=weight,
            progress=progress,
            training=training,
        )

    def wait(self, job_id: str, waiting: str | None, holder: str = "") -> bool:
        """Note what a held job waits for; False where it is not held any more."""
        return self._update(
            _held(job_id, holder),
            job_id,
            [Happened("waiting", {"waiting": waiting})],
            waiting=waiting,
        )

    def overdue(self, now: float) -> list[JobRow]:
        """Live jobs whose deadline has passed."""
        return self._some(LIVE & (JOBS.c.deadline <= now))

    def ended_before(self, then: float, limit: int) -> list[JobRow]:
        """Jobs that had ended by a time, at most so many, the oldest first."""
        return self._some(JOBS.c.finished <= then, limit)

    def succeed(
        self, job_id: str, result: dict[str, Any], stored: int = 0, holder: str = ""
    ) -> bool:
        """Finish a held job with its result, of so many bytes; False where it is not held any more."""
        return self._update(
            _held(job_id, holder),
            job_id,
            state="succeeded",
            finished=time.time(),
            progress=1.0,
            weight=None,
            training=None,
            waiting=None,
            result=result,
            stored=stored,
        )

    def fail(
        self,
        job_id: str,
        error: dict[str, Any],
        result: dict[str, Any] | None = None,
        stored: int = 0,
        holder: str | None = None,
    ) -> bool:
        """Finish a job with the problem that stopped it; False where it is not live, or not held, any more.

        Args:
            job_id: of a live job.
            error: the problem.
            result: what was reached all the same.
            stored: bytes that are kept of the job.
            holder: that must hold it; whoever does without.
        """
        return self._update(
            (JOBS.c.id == job_id) & LIVE if holder is None else _held(job_id, holder),
            job_id,
            state="failed",
            finished=time.time(),
            waiting=None,
            error=error,
            result=result,
            stored=stored,
        )

    def cancel(self, job_id: str, error: dict[str, Any]) -> bool:
        """Cancel a live job; False where it is not live any more."""
        return self._update(
            (JOBS.c.id == job_id) & LIVE,
            job_id,
            state="cancelled",
            finished=time.time(),
            waiting=None,
            error=error,
            stored=0,
        )

    def delete(self, job_id: str) -> bool:
        """Forget a job; False where there is none."""
        with writing(self._engine) as connection:
            deleted = connection.execute(JOBS.delete().where(JOBS.c.id == job_id)).rowcount > 0
            history.forget(connection, job_id)
        return deleted

    def look(self, job_ids: Iterable[str]) -> tuple[dict[str, JobRow], Mapping[str, int]]:
        """Those of some jobs that there are, and how many events of each.

        Nothing happens to a job that has ended: of such a one the events are all there are.
        """
        ids = [job_id for job_id in job_ids if _may_be(job_id)]
        with self._engine.connect() as connection:
            query = sa.select(JOBS).where(JOBS.c.id.in_(ids))
            rows = {row.id: to_row(row) for row in connection.execute(query)}
            return rows, history.lengths(connection, ids)

    def events(self, job_id: str, after: int) -> list[Event]:
        """What happened to a job after an event."""
        with self._engine.connect() as connection:
            return history.after(connection, job_id, after)

    def _some(self, condition: sa.ColumnElement[bool], limit: int | None = None) -> list[JobRow]:
        query = sa.select(JOBS).where(condition).order_by(JOBS.c.number).limit(limit)
        with self._engine.connect() as connection:
            return [to_row(row) for row in connection.execute(query)]

    def _one(self, condition: sa.ColumnElement[bool]) -> JobRow | None:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(JOBS).where(condition)).one_or_none()
        return None if row is None else to_row(row)

    def _update(
        self,
        condition: sa.ColumnElement[bool],
        job_id: str,
        happened: Iterable[Happened] = (),
        **values: Any,
    ) -> bool:
        with writing(self._engine) as connection:
            query = JOBS.update().where(condition).values(values)
            changed = connection.execute(query).rowcount > 0
            if changed:
                history.write(connection, job_id, happened)
        return changed


def _owned(owner: str | None, key: str | None) -> str | None:
    """A key as the column has it, in which all are unique; a key has no spaces, so these never meet those without owner."""
    return key if owner is None or key is None else f"{owner} {key}"


def _held(job_id: str, holder: str) -> sa.ColumnElement[bool]:
    return (JOBS.c.id == job_id) & (JOBS.c.state == "running") & (JOBS.c.holder == holder)


def _may_be(job_id: str) -> bool:
    """Whether there may be such a job: no text of Postgres holds a NUL, and to ask for one is an error there."""
    return "\0" not in job_id
