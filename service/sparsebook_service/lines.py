"""A child process that is talked with in lines: start it, hear it, answer it, end it."""

import os
import queue
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Protocol, Self

from sparsebook_service.environment import harmless

STDERR_TAIL_BYTES = 4096


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """An interrupt that comes inside is raised at the end.

    A process that has been forked and is not known yet would go on without us, and write into folders that are being removed.
    (Handlers are exchanged, not signals blocked: the child would inherit that.)
    """
    # Only the main thread is interrupted.
    here = threading.current_thread() is threading.main_thread()
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if here else ()
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {kind: was for kind in kinds if callable(was := signal.getsignal(kind))}
    try:
        for kind in before:
            signal.signal(kind, note)
        yield
    finally:
        for kind, was in before.items():
            signal.signal(kind, was)
    for number in came:
        signal.raise_signal(number)


class Started(Protocol):
    """A child that was started: as much of `subprocess.Popen` as is needed."""

    pid: int

    @property
    def stdin(self) -> IO[bytes] | None:
        """What it reads."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """What it writes."""

    def poll(self) -> int | None:
        """Its exit status, or minus the signal that ended it; None while it lives."""

    def wait(self) -> int:
        """Wait for that."""


class LineProcess:
    """A child in a process group of its own; leaving the `with` kills what is left of the group.

    It ends by itself when its standard input is closed, which the death of this process does as well.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        stderr: Path,
        limits: Mapping[int, int] | None = None,
    ) -> None:
        """Nothing is started before the `with`.

        Args:
            command: the program and its arguments.
            folder: where it runs, and where it keeps temporary files.
            stderr: what it writes to standard error.
            limits: resource (RLIMIT_...) -> at most; of a child that does not limit itself.
        """
        self._command = command
        self._folder = folder
        self._stderr = stderr
        self._limits = limits or {}
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        started = False
        try:
            with _interrupted_later():
                self._process = self._start()
                started = True
                self._limit()
                assert self._process.stdout is not None
                self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
                self._reader.start()
        except BaseException:  # an interrupt: nobody would end it
            if started:
                self.__exit__()
            raise
        return self

    def _start(self) -> Started:
        with self._stderr.open("wb") as stderr:
            return subprocess.Popen(  # noqa: S603  the command is our own, never a caller's
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=self._folder,
                env={**harmless(), "TMPDIR": str(self._folder)},
                start_new_session=True,
            )

    def _limit(self) -> None:
        """From here, because code between fork and exec is unsafe beside threads; the child has done nothing yet that counts."""
        for kind, value in self._limits.items():
            with suppress(ProcessLookupError):  # it has ended already
                _, hard = resource.prlimit(self._process.pid, kind)
                lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.prlimit(self._process.pid, kind, (lowered, hard))

    def __exit__(self, *_raised: object) -> None:
        self.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):  # a line it never read
                stream.close()

    def kill(self) -> None:
        """End it and its group at once."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                try:
                    os.killpg(self._process.pid, signal.SIGKILL)
                except ProcessLookupError:  # it has just been forked: it has no group yet
                    os.kill(self._process.pid, signal.SIGKILL)

    def say(self, line: bytes) -> None:
        """Write a line to its standard input. One that has ended does not hear it: the end of its output says so."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()

    def lines(self, tick: float) -> Iterator[bytes | None]:
        """What it writes to standard output, until it ends; None whenever that is nothing for `tick` seconds."""
        while True:
            try:
                line = self._lines.get(timeout=tick)
            except queue.Empty:
                yield None
                continue
            if line is None:
                return
            yield line

    def exit_status(self) -> int:
        """Wait for its end: the exit status, or minus the signal that ended it."""
        return self._process.wait()

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        with self._stderr.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - STDERR_TAIL_BYTES))
            return file.read().decode(errors="replace").strip()

    def _read(self, stdout: IO[bytes]) -> None:
        for line in stdout:
            self._lines.put(line)
        self._lines.put(None)
