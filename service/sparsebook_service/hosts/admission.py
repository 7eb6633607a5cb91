"""The loop in which a process takes the work that it has room for."""

import threading
import time
from collections.abc import Callable, Iterable

import structlog

from sparsebook_compressor.errors import StorageFull
from sparsebook_service.hosts.heartbeats import Room
from sparsebook_service.hosts.tickets import Tickets

LOOK_SECONDS = 0.25
# A database that does not answer is not asked ten times a second.
PAUSE_SECONDS = 2.0

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
        most_taken: int,
    ) -> None:
        """Nothing is taken before `start`.

        Args:
            tickets: of the queue.
            executor: this process.
            room: what it may have under way together.
            lost_seconds: who is silent for so long is not there.
            put_to_work: gets each workflow whose ticket was taken.
            most_taken: what was taken so often and not ended takes down whoever takes it, and is left.
        """
        self._most_taken = most_taken
        self._tickets = tickets
        self._executor = executor
        self._room = room
        self._lost_seconds = lost_seconds
        self._put_to_work = put_to_work
        self._wanted = threading.Event()
        # What was taken and is still to be put to work, with the time before which it is not tried again.
        self._pending: dict[str, float] = {}
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="admission", daemon=True)

    def start(self, pending: Iterable[str]) -> None:
        """Begin; `pending` was taken before a crash, and is still to be put to work."""
        self._pending = dict.fromkeys(pending, 0.0)
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
        taken = self._tickets.take(self._executor, self._room, self._lost_seconds, self._most_taken)
        for workflow_id in taken:
            self._pending[workflow_id] = 0.0
        for workflow_id in self._due():
            try:
                self._put_to_work(workflow_id)
            except Exception as fault:  # the others are not to blame for it
                log.warning(
                    "work cannot be begun; it is tried again", work=workflow_id, fault=repr(fault)
                )
                self._pending[workflow_id] = time.monotonic() + PAUSE_SECONDS
            else:
                del self._pending[workflow_id]

    def _due(self) -> list[str]:
        """What is to be put to work now; what has lost its ticket meanwhile, because it is over, is forgotten."""
        due = [work for work, at in self._pending.items() if at <= time.monotonic()]
        again = {work for work in due if self._pending[work]}
        if again:
            for work in again.difference(self._tickets.held(self._executor)):
                del self._pending[work]
        return [work for work in due if work in self._pending]
