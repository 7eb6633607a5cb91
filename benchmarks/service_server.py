"""A service of its own for a benchmark: started on a free port of the loopback, killed, started again."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import psutil

Serve: TypeAlias = Callable[..., AbstractContextManager[tuple["BenchServer", httpx.Client]]]
"""`serving`, with its database chosen."""

COMMAND = str(Path(sys.executable).with_name("sparsebook"))
START_SECONDS = 120.0


class BenchServer:
    """`sparsebook serve` in a folder, without a fine-tuning worker."""

    def __init__(self, folder: Path, **settings: int | str) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "SPARSEBOOK_SERVE_WORKER": "0",
            "SPARSEBOOK_LOG_FORMAT": "json",
            **{f"SPARSEBOOK_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.starts = 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The API's process."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            RuntimeError: it does not.
        """
        self.starts += 1
        log = self._folder / f"log-{self.starts}"
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [COMMAND, "serve", "--port", "0", "--data-dir", str(self._folder / "data")],
                stderr=file,
                env=self._environment,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.alive:
            for line in log.read_text().splitlines(keepends=True):
                said: dict[str, Any] = json.loads(line) if line.endswith("\n") else {}
                if said.get("event") == "listening":
                    self.url = said["url"]
                    return
            time.sleep(0.02)
        raise RuntimeError(f"the service did not start:\n{log.read_text()}")

    @property
    def alive(self) -> bool:
        """Whether the API's process runs."""
        return self.process.poll() is None

    def family(self) -> list[psutil.Process]:
        """The API's process and all that it has started."""
        own = psutil.Process(self.process.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            return [own, *own.children(recursive=True)]
        return [own]

    def kill(self, process: psutil.Process) -> bool:
        """End one of the family as a crash does; whether it was the API's."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
        if process.pid != self.process.pid:
            return False
        self.process.wait()
        return True

    def stop(self) -> None:
        """Stop it as an operator does."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)


@contextlib.contextmanager
def serving(
    database: Callable[[], str] | None, folder: Path, **settings: int
) -> Iterator[tuple[BenchServer, httpx.Client]]:
    """A server that runs, and a client of it; `database` gives the URL of a fresh one, without it is SQLite."""
    folder.mkdir(parents=True)
    shared = {} if database is None else {"database_url": database()}
    server = BenchServer(folder, **settings, **shared)
    server.start()
    try:
        with httpx.Client(base_url=server.url, timeout=120) as http:
            yield server, http
    finally:
        server.stop()
