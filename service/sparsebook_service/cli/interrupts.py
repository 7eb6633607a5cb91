"""Whoever wants a command to end: Ctrl-C, and the signals of `timeout`, `docker stop`, a cancelled CI job, a closed terminal."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

# A shell and the system may both tell of the same hangup. Asked again later, even the cleaning up is cut short.
REPETITION_SECONDS = 5.0


class Interrupts:
    """Turns signals into the interrupt that Ctrl-C is, so that all that is under way is cleaned up in one way."""

    def __init__(self) -> None:
        self._heard = signal.SIGINT
        self._heard_at: float | None = None

    @property
    def status(self) -> int:
        """The exit status by which a shell knows the signal that ended a command."""
        return 128 + self._heard

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Inside, SIGTERM and SIGHUP interrupt; unless they are ignored, as `nohup` asks for."""
        # Only the main thread may ask for signals, and only it is interrupted by them.
        here = threading.current_thread() is threading.main_thread()
        kinds = (signal.SIGTERM, signal.SIGHUP) if here else ()
        before = {kind: signal.getsignal(kind) for kind in kinds}
        wanted = {kind: was for kind, was in before.items() if was is not signal.SIG_IGN}
        for kind in wanted:
            signal.signal(kind, self._hear)
        try:
            yield
        finally:
            for kind, was in wanted.items():
                signal.signal(kind, was)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._heard_at is None or now - self._heard_at >= REPETITION_SECONDS:
            self._heard, self._heard_at = signal.Signals(number), now
            raise KeyboardInterrupt
