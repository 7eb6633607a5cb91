"""Where the processes of jobs come from: one process that has everything imported and forks them.

Importing takes as much processor time as compressing a small model. The nursery itself never sees a file, and a process that it has
forked is used for one job. It is multiprocessing's fork server, which starts again by itself where it was killed.
"""

import multiprocessing
import os
import shutil
import tempfile
import time
from contextlib import suppress
from multiprocessing import util
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO

import structlog

from sparsebook_service.jobs import sandbox
from sparsebook_service.jobs.protocol import Order

log = structlog.get_logger(__name__)

NAME = "sparsebook-job"  # as `ps` and `top` show it
# The command line is what the fork server would import again for every process, because it is what was started.
PRELOADED = [
    "sparsebook_service.jobs.bare",
    "sparsebook_service.jobs.child",
    "sparsebook_service.cli",
]
# Answers come before computations where the processors are busy with both.
NICE = 10
# The nursery may be killed while it is asked for a process.
ATTEMPTS = 5
PAUSE_SECONDS = 0.2

_context = multiprocessing.get_context("forkserver")


def start() -> None:
    """Start the nursery, so that the first job finds it warm, and say what its processes are not held by here. Before the first job."""
    for lack in sandbox.missing():
        log.warning("a wall around jobs is missing here", lack=lack)
    # Or it would import from the folder in which the service was started.
    os.environ["PYTHONSAFEPATH"] = "1"
    _context.set_forkserver_preload(PRELOADED)
    _launched(_context.Process(target=os.getpid, daemon=True))


def close() -> None:
    """Remove what the nursery has in the temporary folder. It ends with this process."""
    shutil.rmtree(util.get_temp_dir(), ignore_errors=True)


class Forked:
    """A process of one job, as far as a `subprocess.Popen` is needed; it becomes the leader of a process group."""

    def __init__(self, order: Order, stderr: Path) -> None:
        """Start it.

        Args:
            order: what it carries out.
            stderr: the file for its standard error.

        Raises:
            OSError: there is no nursery, time and again.
        """
        hears, says = _context.Pipe(duplex=False)
        heard, said = _context.Pipe(duplex=False)
        with hears, says, heard, said:
            self._process = _launched(
                _context.Process(target=_live, args=(order, stderr, hears, said), daemon=True)
            )
            self.stdin: IO[bytes] = os.fdopen(os.dup(says.fileno()), "wb")
            self.stdout: IO[bytes] = os.fdopen(os.dup(heard.fileno()), "rb")
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status, or minus the signal that ended it; None while it lives."""
        return self._process.exitcode

    def wait(self) -> int:
        """Wait for its end; as `poll`. 255 where the nursery was killed before."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


def _launched(process: BaseProcess) -> BaseProcess:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            process.start()
        except (OSError, EOFError) as error:
            if attempt == ATTEMPTS:
                raise OSError(f"no process can be started for the job: {error}") from error
            time.sleep(PAUSE_SECONDS)
        else:
            break
    return process


def _live(order: Order, stderr: Path, hears: Connection, said: Connection) -> None:
    """In the new process: take leave of the nursery, then work."""
    os.setsid()
    os.nice(NICE)
    with stderr.open("wb") as file:
        os.dup2(hears.fileno(), 0)
        os.dup2(said.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # Nothing of the nursery's stays open: what is parsed here must not reach it.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(order.out)
    os.environ["TMPDIR"] = tempfile.tempdir = str(order.out)
    with suppress(OSError):  # a name is a convenience
        Path("/proc/self/comm").write_text(NAME)

    from sparsebook_service.jobs import child  # noqa: PLC0415  it is there, but only in this process

    child.main(order)
