"""The lines on standard output, and the end with the parent (docs/training.md, section 5)."""

import fcntl
import json
import os
import signal
import stat
import threading
import time
from dataclasses import asdict, dataclass
from typing import NoReturn

from sparsebook_training.errors import Problem
from sparsebook_training.fields import finite

_SECONDS_BETWEEN = 0.25
_STDIN, _STDOUT, _STDERR = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training is.

    Attributes:
        epoch: under way, from 1; 0 while the start is evaluated.
        epochs: at most.
        fraction: of all steps, 0 to 1.
        loss: mean training loss of the epoch so far.
        metric: of the last evaluation.
        samples_per_second: trained.
    """

    epoch: int
    epochs: int
    fraction: float
    loss: float | None
    metric: float | None
    samples_per_second: float | None


class Channel:
    """Lines of JSON to the parent.

    Standard output becomes standard error for everything else in this process, so that no library's word gets between the lines.
    """

    def __init__(self) -> None:
        self._lines = os.dup(_STDOUT)
        os.dup2(_STDERR, _STDOUT)
        self._last = float("-inf")

    def progress(self, progress: Progress) -> None:
        """Say how far training is, unless that was said a moment ago."""
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN:
            return
        self._last = now
        values = asdict(progress)
        self._write({"kind": "progress", **{k: _plain(v) for k, v in values.items()}})

    def done(self) -> None:
        """Say that the result is there."""
        self._write({"kind": "done"})

    def failed(self, problem: Problem, detail: str) -> None:
        """Say that there will be none, and why."""
        self._write({"kind": "failed", "problem": problem, "detail": detail})

    def _write(self, values: dict[str, object]) -> None:
        line = memoryview(json.dumps(values, allow_nan=False).encode() + b"\n")
        try:
            while line:
                line = line[os.write(self._lines, line) :]
        except BrokenPipeError:
            end()


def end_with_parent() -> None:
    """End this process as soon as its standard input is closed, which the parent's death does.

    A thread waits for that, but a run of the graph holds the interpreter's lock to its end, and one can take a minute. So a pipe is
    also asked for its signal, which ends the process wherever it is.
    """
    if stat.S_ISFIFO(os.fstat(_STDIN).st_mode):
        fcntl.fcntl(_STDIN, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(_STDIN, fcntl.F_SETFL, fcntl.fcntl(_STDIN, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_wait_for_end, name="parent", daemon=True).start()


def end() -> NoReturn:
    """End at once, with everything of this process's group if it leads one."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL does not return")


def _wait_for_end() -> None:
    try:
        while os.read(_STDIN, 4096):
            pass
    except OSError:  # there is no standard input at all
        pass
    end()


def _plain(value: object) -> object:
    return finite(value) if isinstance(value, float) else value
