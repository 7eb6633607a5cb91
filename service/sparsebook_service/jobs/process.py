"""The service's side of a job's process: start it, listen to it, end it."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from sparsebook_service.jobs.protocol import MESSAGE, Message, Order

STDERR_TAIL_BYTES = 4096


class JobProcess:
    """A child process in a group of its own; leaving the `with` kills what is left of it."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._stderr = order.out / "stderr.log"
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def __enter__(self) -> "JobProcess":
        with self._stderr.open("wb") as stderr:
            # -P keeps the working folder, where the uploaded files are unpacked, out of the import path.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sparsebook_service.jobs.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=self._order.out,
                env={**os.environ, "TMPDIR": str(self._order.out)},
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it died at once; the end of its output says so
            self._process.stdin.write(self._order.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):  # an order it never read
                stream.close()

    def messages(self, tick: float) -> Iterator[Message | None]:
        """What the process says, until it ends; None whenever it says nothing for `tick` seconds.

        Raises:
            ValidationError: a line that is no message.
        """
        while True:
            try:
                line = self._lines.get(timeout=tick)
            except queue.Empty:
                yield None
                continue
            if line is None:
                return
            yield MESSAGE.validate_json(line)

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
