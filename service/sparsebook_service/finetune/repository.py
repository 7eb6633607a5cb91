"""The trainings' tables: which trainings there are, which jobs want them, and which workers live.

As with jobs, every change of state is one conditional UPDATE. A worker writes only while it holds the training, by a
token that each run draws anew: a run that was taken for lost and replaced is told so at its next word.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa

from sparsebook_compressor.progress import TrainingProgress
from sparsebook_service.database import alone, insert, make_tables, now, writing

TrainingState: TypeAlias = Literal["queued", "running", "succeeded", "failed"]

_METADATA = sa.MetaData()
_TRAININGS = sa.Table(
    "trainings",
    _METADATA,
    # Never used again, so that what the queue knows under a number is never another training.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String, nullable=False, unique=True),
    sa.Column("dataset", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("progress", sa.JSON(none_as_null=True)),
    sa.Column("error", sa.JSON(none_as_null=True)),
    sa.Column("holder", sa.String),
    sa.Column("updated", sa.Float, nullable=False),
    sqlite_autoincrement=True,
)
_WANTED = sa.Table(
    "trainings_wanted",
    _METADATA,
    sa.Column("training", sa.String, primary_key=True),
    sa.Column("job", sa.String, primary_key=True, index=True),
)
_WORKERS = sa.Table(
    "trainings_workers",
    _METADATA,
    sa.Column("executor", sa.String, primary_key=True),
    sa.Column("seen", sa.Float, nullable=False),
)
_LIVE = _TRAININGS.c.state.in_(("queued", "running"))


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A training as the table has it; `updated` is in seconds since 1970, by the database's clock."""

    number: int
    id: str
    dataset: str
    state: TrainingState
    progress: TrainingProgress | None
    error: dict[str, str] | None
    holder: str | None
    updated: float


class TrainingRepository:
    """Reads and writes trainings. Every method is one transaction; writing raises StorageFull where the disk is."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        make_tables(engine, _METADATA)

    # ------------------------------------------------------------------------------------ for those who ask

    def want(self, training_id: str, dataset: str, job_id: str) -> TrainingRow:
        """Note that a job wants a training, which is queued if it is not there yet."""
        row = {"id": training_id, "dataset": dataset, "state": "queued", "updated": now()}
        with writing(self._engine) as connection:
            connection.execute(
                insert(self._engine, _TRAININGS).values(row).on_conflict_do_nothing()
            )
            wanted = {"training": training_id, "job": job_id}
            connection.execute(
                insert(self._engine, _WANTED).values(wanted).on_conflict_do_nothing()
            )
            return _row(
                connection.execute(
                    sa.select(_TRAININGS).where(_TRAININGS.c.id == training_id)
                ).one()
            )

    def get(self, training_id: str) -> TrainingRow | None:
        """Read one training."""
        return self._one(_TRAININGS.c.id == training_id)

    def ahead(self, number: int) -> int:
        """How many live trainings were asked for before this one."""
        query = sa.select(sa.func.count()).where(_LIVE & (_TRAININGS.c.number < number))
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def count_by_state(self) -> dict[TrainingState, int]:
        """How many trainings are in which state."""
        count = sa.func.count().label("trainings")
        query = sa.select(_TRAININGS.c.state, count).group_by(_TRAININGS.c.state)
        with self._engine.connect() as connection:
            return {row.state: row.trainings for row in connection.execute(query)}

    def release(self, job_id: str) -> None:
        """Note that a job wants no training any more; those that nobody wants now are forgotten."""
        with writing(self._engine) as connection:
            connection.execute(_WANTED.delete().where(_WANTED.c.job == job_id))
            _forget(connection)

    def wanted_by(self, training_id: str) -> list[str]:
        """The jobs that want a training now, in the order of their ids."""
        query = sa.select(_WANTED.c.job).where(_WANTED.c.training == training_id)
        with self._engine.connect() as connection:
            return sorted(connection.execute(query).scalars())

    def keep_only(self, job_ids: Iterable[str]) -> None:
        """Forget the trainings that none of these jobs wants."""
        with writing(self._engine) as connection:
            connection.execute(_WANTED.delete().where(_WANTED.c.job.not_in(list(job_ids))))
            _forget(connection)

    def all(self) -> list[TrainingRow]:
        """Every training, oldest first."""
        with self._engine.connect() as connection:
            query = sa.select(_TRAININGS).order_by(_TRAININGS.c.number)
            return [_row(row) for row in connection.execute(query)]

    def live(self) -> set[int]:
        """Those that are queued or running."""
        with self._engine.connect() as connection:
            return set(connection.execute(sa.select(_TRAININGS.c.number).where(_LIVE)).scalars())

    def quiet(self, seconds: float) -> set[int]:
        """The live trainings of which nothing was heard for so long."""
        old = _TRAININGS.c.updated < now() - seconds
        query = sa.select(_TRAININGS.c.number).where(_LIVE & old)
        with self._engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def wanting(self) -> set[str]:
        """The jobs that want a training."""
        with self._engine.connect() as connection:
            return set(connection.execute(sa.select(_WANTED.c.job).distinct()).scalars())

    def alone(self) -> AbstractContextManager[None]:
        """While rows and files are brought into step, no other process does that."""
        return alone(self._engine, "trainings")

    def give_up(self, number: int, error: dict[str, str]) -> bool:
        """Fail a live training whoever holds it; False where it is not live any more."""
        return self._update((_TRAININGS.c.number == number) & _LIVE, state="failed", error=error)

    # ------------------------------------------------------------------------------------------ for workers

    def begin(self, number: int, holder: str) -> TrainingRow | None:
        """Hold a live training; None where it is not live any more."""
        ours = (_TRAININGS.c.number == number) & _LIVE
        if not self._update(ours, state="running", holder=holder):
            return None
        return self._one(_TRAININGS.c.number == number)

    def beat(self, number: int, holder: str, progress: TrainingProgress | None) -> bool:
        """Say that a held training goes on, and how far it is; False where it is not held any more."""
        values = {} if progress is None else {"progress": asdict(progress)}
        return self._update(_held(number, holder), **values)

    def succeed(self, number: int, holder: str) -> bool:
        """Finish a held training; False where it is not held any more."""
        return self._update(_held(number, holder), state="succeeded", holder=None)

    def fail(self, number: int, holder: str, error: dict[str, str]) -> bool:
        """Finish a held training with what stopped it; False where it is not held any more."""
        return self._update(_held(number, holder), state="failed", holder=None, error=error)

    def is_held(self, number: int, holder: str) -> bool:
        """Whether a training is held by this run."""
        return self._one(_held(number, holder)) is not None

    def is_live(self, number: int) -> bool:
        """Whether a training is still to be run, by whomever."""
        return self._one((_TRAININGS.c.number == number) & _LIVE) is not None

    # ---------------------------------------------------------------------------------------- workers' lives

    def worker_lives(self, executor: str) -> None:
        """Note that a worker is there."""
        seen = {"executor": executor, "seen": now()}
        statement = insert(self._engine, _WORKERS).values(seen)
        with writing(self._engine) as connection:
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[_WORKERS.c.executor], set_={"seen": statement.excluded.seen}
                )
            )

    def worker_leaves(self, executor: str) -> None:
        """Note that a worker ends."""
        with writing(self._engine) as connection:
            connection.execute(_WORKERS.delete().where(_WORKERS.c.executor == executor))

    def workers(self, seconds: float) -> int:
        """How many workers were there in the last seconds."""
        query = sa.select(sa.func.count()).where(_WORKERS.c.seen >= now() - seconds)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def _one(self, condition: sa.ColumnElement[bool]) -> TrainingRow | None:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(_TRAININGS).where(condition)).one_or_none()
        return None if row is None else _row(row)

    def _update(self, condition: sa.ColumnElement[bool], **values: Any) -> bool:
        statement = _TRAININGS.update().where(condition).values(updated=now(), **values)
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount > 0


def _held(number: int, holder: str) -> sa.ColumnElement[bool]:
    return (
        (_TRAININGS.c.number == number)
        & (_TRAININGS.c.state == "running")
        & (_TRAININGS.c.holder == holder)
    )


def _forget(connection: sa.Connection) -> None:
    """Remove the trainings that nobody wants."""
    wanted = sa.select(_WANTED.c.training)
    connection.execute(_TRAININGS.delete().where(_TRAININGS.c.id.not_in(wanted)))


def _row(row: sa.Row[Any]) -> TrainingRow:
    values = dict(row._mapping)
    if values["progress"] is not None:
        values["progress"] = TrainingProgress(**values["progress"])
    return TrainingRow(**values)
