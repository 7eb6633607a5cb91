"""The loop in which a process takes the work that it has room for."""

import threading
from collections.abc import Callable, Iterable

import structlog

from sparsebook_compressor.errors import StorageFull
from sparsebook_service.hosts.heartbeats import Room
from sparsebook_service.hosts.tickets import Tickets

LOOK_SECONDS = 0.25
# A database that does not answer is not asked ten times a second.
PAUSE_SECONDS = 2.0
# As durable.MAX_RUNS: what was taken so often and not ended takes down whoever takes it.
MOST_TAKEN = 100

log = structlog.get_logger(__name__)


class Admission:
    """Takes tickets for one process, in a thread."""

    def __init__(
        self,
        tickets: Tickets,
        executor: str,
        room: Room,
        lost_seconds: float,
        put_to_work: Callable[[str], None],
    ) -> None:
        """`put_to_work` gets each workflow whose ticket was taken."""
        self._tickets = tickets
        self._executor = executor
        self._room = room
        self._lost_seconds = lost_seconds
        self._put_to_work = put_to_work
        self._wanted = threading.Event()
        self._pending: list[str] = []
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="admission", daemon=True)

    def start(self, pending: Iterable[str]) -> None:
        """Begin; `pending` was taken before a crash, and is still to be put to work."""
        self._pending = list(pending)
        self._thread.start()

    def look(self) -> None:
        """There may be something to take: look now."""
        self._wanted.set()

    def close(self) -> None:
        """Take nothing more. Blocks until what is under way is done."""
        self.closing.set()
        self._wanted.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self.closing.is_set():
            self._wanted.wait(LOOK_SECONDS)
            self._wanted.clear()
            if self.closing.is_set():
                return
            try:
                self._take()
            except StorageFull:
                self.closing.wait(PAUSE_SECONDS)
            except Exception:  # whatever it is, the work waits for a database that answers
                log.exception("no work can be taken; it is tried again")
                self.closing.wait(PAUSE_SECONDS)

    def _take(self) -> None:
        taken = self._tickets.take(self._executor, self._room, self._lost_seconds, MOST_TAKEN)
        for workflow_id in taken:
            self._pending.append(workflow_id)
        while self._pending:
            self._put_to_work(self._pending[0])
            self._pending.pop(0)
