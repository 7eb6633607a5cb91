"""The trainer program with everything imported: each order is carried out in a process that is forked from this one.

Importing takes longer than most orders of the tests do. What is about the program's own start and end is tested with `worker.Job`.
"""

import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NoReturn, Self

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".venv-trainer/bin/python"
_STREAMS = 3


class Forked:
    """A trainer at work, much as a `subprocess.Popen` of it; it ends by itself when its standard input is closed."""

    returncode: int | None = None

    def __init__(self, nursery: socket.socket, answers: IO[bytes], arguments: Sequence[str]):
        stdin, stdout, stderr = (os.pipe() for _ in range(_STREAMS))
        theirs = [stdin[0], stdout[1], stderr[1]]
        socket.send_fds(nursery, [json.dumps(arguments).encode()], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        self._stdin = os.fdopen(stdin[1], "w")
        self.stdout, self.stderr = os.fdopen(stdout[0]), os.fdopen(stderr[0])
        self._answers = answers
        self._pid = int(answers.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        for stream in (self._stdin, self.stdout, self.stderr):
            stream.close()
        self.wait()

    def kill(self) -> None:
        """At once; before `wait`."""
        os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status, or minus the signal that ended it."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(int(self._answers.readline()))
        return self.returncode


@functools.cache
def _started() -> tuple[socket.socket, IO[bytes]]:
    assert PYTHON.exists(), f"{PYTHON} is missing: make .venv-trainer"
    ours, its = socket.socketpair()
    descriptor = its.fileno()
    process = subprocess.Popen([PYTHON, "-P", __file__, str(descriptor)], pass_fds=[descriptor])
    its.close()
    answers = ours.makefile("rb")

    def end() -> None:
        answers.close()
        ours.close()
        process.wait()

    atexit.register(end)
    return ours, answers


def start(order: Path, dataset: Path, work: Path) -> Forked:
    """The program with its folders; one order at a time."""
    return Forked(*_started(), [*map(str, (order, dataset, work)), "--device", "cpu"])


def _serve(asked: socket.socket) -> None:
    while True:
        arguments, streams, _, _ = socket.recv_fds(asked, 1 << 16, _STREAMS)
        if not arguments:  # whoever asked has ended
            return
        pid = os.fork()
        if not pid:
            asked.close()
            _live(json.loads(arguments), streams)
        for stream in streams:
            os.close(stream)
        asked.sendall(b"%d\n" % pid)
        asked.sendall(b"%d\n" % os.waitpid(pid, 0)[1])


def _live(arguments: list[str], streams: list[int]) -> NoReturn:
    """In the new process: the program, from its own first line to its exit status."""
    from sparsebook_training import __main__ as program  # noqa: PLC0415  there alone

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.argv[1:] = arguments
    status = 1
    try:
        status = program.main()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    import sparsebook_training.__main__  # noqa: F401  for all that are forked

    _serve(socket.socket(fileno=int(sys.argv[1])))
