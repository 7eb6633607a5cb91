"""The table of tickets: one for every piece of work that is to be done, with the process that has taken it.

A ticket is taken by one conditional UPDATE, so that of many hosts one wins. DBOS runs what the winner puts into its own
queue; a ticket whose process is lost is free again for the next. A ticket goes when its work has ended.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from sparsebook_service.database import alone, insert, make_tables, now, writing
from sparsebook_service.hosts.heartbeats import EXECUTORS, METADATA, Room, living

# How far a host looks for something that fits it.
LOOK = 64

_TICKETS = sa.Table(
    "tickets",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("workflow", sa.String, nullable=False, unique=True),
    sa.Column("queue", sa.String, nullable=False),
    sa.Column("memory", sa.BigInteger, nullable=False),
    sa.Column("executor", sa.String, index=True),
    sa.Column("taken", sa.Integer, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A piece of work and the memory that it needs, in bytes."""

    workflow: str
    memory: int


class Tickets:
    """Those of one queue. Every method is one transaction; writing raises StorageFull where the disk is full."""

    def __init__(self, engine: sa.Engine, queue: str) -> None:
        self._engine = engine
        self._here = _TICKETS.c.queue == queue
        self._queue = queue
        make_tables(engine, METADATA)

    def issue(self, workflow: str, memory: int) -> None:
        """Make a ticket; a second time changes nothing."""
        row = {"workflow": workflow, "queue": self._queue, "memory": memory}
        with writing(self._engine) as connection:
            connection.execute(insert(self._engine, _TICKETS).values(row).on_conflict_do_nothing())

    def take(self, executor: str, room: Room, lost_seconds: float, most: int) -> Iterator[str]:
        """Take what fits, the oldest first: one by one the workflows that are this process's now.

        What does not fit now, though it would in an idle process, is waited for: younger work does not overtake it for
        ever. What fits nowhere goes to the roomiest process, where it is alone; its own limits decide there.

        Args:
            executor: this process.
            room: what it may have under way together.
            lost_seconds: who is silent for so long is not there.
            most: work that was taken so often and not ended is left.
        """
        free = self._free(most)
        if not free:
            return
        with self._engine.connect() as connection:
            held = connection.execute(
                sa.select(
                    sa.func.count(), sa.func.coalesce(sa.func.sum(_TICKETS.c.memory), 0)
                ).where(self._here & (_TICKETS.c.executor == executor))
            ).one()
            roomiest = connection.execute(
                sa.select(sa.func.max(EXECUTORS.c.memory)).where(
                    (EXECUTORS.c.queue == self._queue)
                    & EXECUTORS.c.executor.in_(living(lost_seconds))
                )
            ).scalar()
        chosen = fitting(free, room, held[0], int(held[1]), max(roomiest or 0, room.memory))
        for ticket in chosen:
            if self._claim(ticket.workflow, executor):
                yield ticket.workflow

    def _free(self, most: int) -> list[Ticket]:
        query = (
            sa.select(_TICKETS.c.workflow, _TICKETS.c.memory)
            .where(self._here & _TICKETS.c.executor.is_(None) & (_TICKETS.c.taken < most))
            .order_by(_TICKETS.c.number)
            .limit(LOOK)
        )
        with self._engine.connect() as connection:
            return [Ticket(row.workflow, row.memory) for row in connection.execute(query)]

    def _claim(self, workflow: str, executor: str) -> bool:
        free = (_TICKETS.c.workflow == workflow) & _TICKETS.c.executor.is_(None)
        with writing(self._engine) as connection:
            taken = _TICKETS.update().where(free)
            taken = taken.values(executor=executor, taken=_TICKETS.c.taken + 1)
            return connection.execute(taken).rowcount > 0

    def held(self, executor: str) -> list[str]:
        """The workflows whose tickets a process has."""
        query = sa.select(_TICKETS.c.workflow).where(self._here & (_TICKETS.c.executor == executor))
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def all_held(self) -> list[str]:
        """The workflows whose tickets any process has."""
        query = sa.select(_TICKETS.c.workflow).where(self._here & _TICKETS.c.executor.is_not(None))
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def is_others(self, workflow: str, executor: str) -> bool:
        """Whether there is a ticket, and this process does not have it."""
        query = sa.select(_TICKETS.c.executor).where(_TICKETS.c.workflow == workflow)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return row is not None and row.executor != executor

    def missing(self, workflows: Iterable[str]) -> set[str]:
        """Those that have no ticket."""
        ids = set(workflows)
        query = sa.select(_TICKETS.c.workflow).where(_TICKETS.c.workflow.in_(list(ids)))
        with self._engine.connect() as connection:
            return ids - set(connection.execute(query).scalars())

    def given_up(self, workflows: Iterable[str], most: int) -> set[str]:
        """Those that were taken so often, and are not any more."""
        spent = _TICKETS.c.executor.is_(None) & (_TICKETS.c.taken >= most)
        query = sa.select(_TICKETS.c.workflow).where(
            self._here & spent & _TICKETS.c.workflow.in_(list(workflows))
        )
        with self._engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def give_back(self, workflow: str) -> None:
        """Let others take it, whoever has it."""
        self._set_free(_TICKETS.c.workflow == workflow)

    def end(self, workflow: str, executor: str) -> None:
        """The work has ended; unless another process has it by now."""
        ours = (_TICKETS.c.workflow == workflow) & (_TICKETS.c.executor == executor)
        with writing(self._engine) as connection:
            connection.execute(_TICKETS.delete().where(ours))

    def drop(self, workflows: Iterable[str]) -> None:
        """Their work has ended, whoever has the tickets."""
        theirs = self._here & _TICKETS.c.workflow.in_(list(workflows))
        with writing(self._engine) as connection:
            connection.execute(_TICKETS.delete().where(theirs))

    def free_lost(self, lost_seconds: float) -> int:
        """Free what lost processes have; how many tickets that were. One process at a time does it."""
        with alone(self._engine, "sweeping"):
            taken = _TICKETS.c.executor.is_not(None)
            lost = _TICKETS.c.executor.not_in(living(lost_seconds))
            return self._set_free(self._here & taken & lost)

    def forget_executors(self, seconds: float) -> list[str]:
        """Forget the processes of this queue that were not seen for so long; their names."""
        old = (EXECUTORS.c.queue == self._queue) & (EXECUTORS.c.seen < now() - seconds)
        with self._engine.connect() as connection:
            names = list(connection.execute(sa.select(EXECUTORS.c.executor).where(old)).scalars())
        if names:
            with writing(self._engine) as connection:
                connection.execute(EXECUTORS.delete().where(old))
        return names

    def _set_free(self, which: sa.ColumnElement[bool]) -> int:
        with writing(self._engine) as connection:
            return connection.execute(_TICKETS.update().where(which).values(executor=None)).rowcount


def fitting(
    free: list[Ticket], room: Room, held: int, held_memory: int, roomiest: int
) -> list[Ticket]:
    """Which of the free tickets a process takes that holds `held` already, with `held_memory` bytes."""
    chosen: list[Ticket] = []
    left = room.memory - held_memory
    for ticket in free:
        if held + len(chosen) >= room.at_once:
            break
        if ticket.memory > room.memory:
            # Not here, unless nobody has more room and nothing else is under way.
            if room.memory >= roomiest and ticket.memory > roomiest:
                if held + len(chosen) == 0:
                    return [ticket]
                break
            continue
        if ticket.memory > left:
            break
        chosen.append(ticket)
        left -= ticket.memory
    return chosen
