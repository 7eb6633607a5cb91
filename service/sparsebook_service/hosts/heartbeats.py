"""The table of processes that take work: what each has room for, and when it was last heard of.

Times are the database's: clocks of hosts differ.
"""

import threading
from dataclasses import dataclass

import sqlalchemy as sa
import structlog

from sparsebook_service.database import insert, make_tables, now, writing

# So many beats must be missed before a process is lost.
BEATS = 7

METADATA = sa.MetaData()
EXECUTORS = sa.Table(
    "executors",
    METADATA,
    sa.Column("executor", sa.String, primary_key=True),
    sa.Column("queue", sa.String, nullable=False),
    sa.Column("at_once", sa.Integer, nullable=False),
    sa.Column("memory", sa.BigInteger, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Room:
    """What a process may have under way together: pieces of work, and bytes of memory for them."""

    at_once: int
    memory: int


class Heartbeats:
    """Writes down that one process is there. Methods block; writing raises StorageFull where the disk is full."""

    def __init__(
        self, engine: sa.Engine, executor: str, queue: str, room: Room, lost_seconds: float
    ) -> None:
        """Nothing is written before `start`."""
        self._engine = engine
        self._row = {
            "executor": executor,
            "queue": queue,
            "at_once": room.at_once,
            "memory": room.memory,
        }
        self._seconds = lost_seconds / BEATS
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name=f"heart-{executor}", daemon=True)
        make_tables(engine, METADATA)

    def start(self) -> None:
        """Begin; the process is there when this returns."""
        self._beat()
        self._thread.start()

    def close(self) -> None:
        """Go without a trace: what is left is taken up by others at once. Blocks."""
        self._closing.set()
        self._thread.join()
        try:
            with writing(self._engine) as connection:
                ours = EXECUTORS.c.executor == self._row["executor"]
                connection.execute(EXECUTORS.delete().where(ours))
        except Exception as error:
            log.warning("the database hears no goodbye", detail=str(error))

    def _go_on(self) -> None:
        while not self._closing.wait(self._seconds):
            try:
                self._beat()
            except Exception as error:  # whatever it is, a process that lives must not fall silent
                log.warning("the database hears no heartbeat", detail=str(error))

    def _beat(self) -> None:
        statement = insert(self._engine, EXECUTORS).values(**self._row, seen=now())
        fresh = {name: statement.excluded[name] for name in ("queue", "at_once", "memory", "seen")}
        with writing(self._engine) as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["executor"], set_=fresh)
            )


def living(lost_seconds: float) -> sa.Select[tuple[str]]:
    """A query for the names of the processes that are there."""
    return sa.select(EXECUTORS.c.executor).where(EXECUTORS.c.seen > now() - lost_seconds)
