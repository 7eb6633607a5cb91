"""What the service looks after now and then, while it runs."""

import threading
from collections.abc import Callable

import structlog

from sparsebook_compressor.errors import StorageFull

PERIOD_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Housekeeper:
    """Calls its chores, one after the other, again and again."""

    def __init__(self, name: str, *chores: Callable[[], None]) -> None:
        """Start. What must be punctual does not share a housekeeper with what may take long."""
        self._chores = chores
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=name)
        self._thread.start()

    def close(self) -> None:
        """Stop. Blocks until the chore that is under way is done."""
        self._closing.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._closing.wait(PERIOD_SECONDS):
            for chore in self._chores:
                try:
                    chore()
                except StorageFull:  # then there is nothing that could be written down
                    continue
                except Exception:
                    log.exception("a chore failed; it is tried again")
                if self._closing.is_set():
                    return
