"""What happened to a job, one numbered event after the other: what server-sent events resume from.

Only what is worth telling later is kept: when the job started (again after a crash), its stages, the epochs of its trainings, what it
waited for. How far it is just now stands in the job's row alone, and its end follows from it.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa

from sparsebook_compressor.progress import TrainingProgress
from sparsebook_service.jobs.protocol import Advanced

Kind: TypeAlias = Literal["started", "stage", "point", "waiting"]

METADATA = sa.MetaData()
_EVENTS = sa.Table(
    "job_events",
    METADATA,
    sa.Column("job_id", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened to a job. `at` is seconds since 1970, `data` plain JSON."""

    kind: Kind
    data: dict[str, Any]
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, with its number: 1, 2, … for each job."""

    number: int
    what: Happened


class Observer:
    """Makes events of the messages of a job's process, however fast they come."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._training: TrainingProgress | None = None
        self._happened: list[Happened] = []

    def see(self, message: Advanced) -> None:
        """Take a message."""
        training = message.training
        known = self._training
        if known is not None and (training is None or training.epoch != known.epoch):
            goes_on = training is not None and training.epoch > known.epoch
            metric = training.metric if training is not None and goes_on else known.metric
            point = {"epoch": known.epoch, "epochs": known.epochs, "loss": known.loss}
            point |= {"metric": metric, "samples_per_second": known.samples_per_second}
            self._happened.append(Happened("point", {"stage": self._stage, **point}))
        self._training = training
        if message.stage != self._stage:
            self._stage = message.stage
            self._happened.append(Happened("stage", {"stage": message.stage}))

    def take(self) -> list[Happened]:
        """What has happened since the last call."""
        happened, self._happened = self._happened, []
        return happened


def write(connection: sa.Connection, job_id: str, happened: Iterable[Happened]) -> None:
    """Append to a job's history.

    Call it in a transaction that has changed the job's row, so that nobody else appends at the same time.
    """
    for what in happened:
        last = sa.select(sa.func.coalesce(sa.func.max(_EVENTS.c.number), 0) + 1)
        values = {"job_id": job_id, **asdict(what)}
        number = last.where(_EVENTS.c.job_id == job_id).scalar_subquery()
        connection.execute(_EVENTS.insert().values(number=number, **values))


def forget(connection: sa.Connection, job_id: str) -> None:
    """Remove a job's history."""
    connection.execute(_EVENTS.delete().where(_EVENTS.c.job_id == job_id))


def lengths(connection: sa.Connection, job_ids: Iterable[str]) -> Mapping[str, int]:
    """How many events there are of each of some jobs that has any."""
    query = sa.select(_EVENTS.c.job_id, sa.func.max(_EVENTS.c.number).label("last"))
    query = query.where(_EVENTS.c.job_id.in_(list(job_ids))).group_by(_EVENTS.c.job_id)
    return {row.job_id: row.last for row in connection.execute(query)}


def after(connection: sa.Connection, job_id: str, number: int) -> list[Event]:
    """The events of a job that come after one."""
    query = sa.select(_EVENTS).order_by(_EVENTS.c.number)
    query = query.where((_EVENTS.c.job_id == job_id) & (_EVENTS.c.number > number))
    return [
        Event(row.number, Happened(row.kind, row.data, row.at)) for row in connection.execute(query)
    ]
