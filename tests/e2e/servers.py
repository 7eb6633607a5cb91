"""A real server in a process of its own."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from sparsebook_service.jobs.nursery import NAME

COMMAND = str(Path(sys.executable).with_name("sparsebook"))
START_SECONDS = 180


class Server:
    """`sparsebook serve` on a free port of the loopback."""

    def __init__(
        self, folder: Path, *, largest_file: int | None = None, **settings: int | str | Path
    ) -> None:
        self._largest_file = largest_file
        self.data_dir = folder / "data"
        self._log = folder / "log"
        self.environment = {
            **os.environ,
            "SPARSEBOOK_MIN_FREE_BYTES": "1000000",
            "SPARSEBOOK_SERVE_WORKER": "0",
            **{f"SPARSEBOOK_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, again: bool = False) -> "Server":
        """Start it on a free port; `again`: on that of the last time, so that its clients find it."""
        port = httpx.URL(self.url).port if again else 0
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [COMMAND, "serve", "--port", str(port), "--data-dir", str(self.data_dir)],
                stderr=log,
                env=self.environment,
            )
        if self._largest_file is not None:
            # Larger writes of the server and of its jobs fail, as on a disk without room.
            limits = (self._largest_file, self._largest_file)
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)
        deadline = time.monotonic() + START_SECONDS
        while not (started := [line for line in self.log() if line["event"] == "listening"]):
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)
        self.url = started[0]["url"]
        return self

    def log(self) -> list[dict[str, Any]]:
        """What it has logged since it was started."""
        lines = self._log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=90)

    def job_processes(self) -> list[psutil.Process]:
        return self._children(NAME)

    def worker_processes(self) -> list[psutil.Process]:
        return self._children("sparsebook_service.finetune.worker")

    def trainer_processes(self) -> list[psutil.Process]:
        return self._children("sparsebook_training")

    def _children(self, module: str) -> list[psutil.Process]:
        assert self.process is not None
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ends while it is looked at
                if module in (process.name(), *process.cmdline()):
                    found.append(process)
        return found

    def kill(self) -> None:
        """As a crash: no chance to clean up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As an operator does; the exit status."""
        assert self.process is not None
        self.terminate()
        return self.process.wait(timeout=60)

    def terminate(self) -> None:
        """The first half of a stop."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def files(self) -> set[str]:
        """The files of jobs that are in the data folder, half-written ones too."""
        # os.walk, because folders may vanish while it walks.
        return {
            str((Path(folder) / name).relative_to(self.data_dir))
            for root in ("files", "work")
            for folder, _, names in os.walk(self.data_dir / root)
            for name in names
        }

    def alive_bytes(self, location: str) -> int:
        """Bytes that lie in the folder of an upload."""
        path = self.data_dir / "uploads" / location.rsplit("/", 1)[-1]
        return path.stat().st_size if path.exists() else 0

    def files_of(self, job_id: str) -> set[str]:
        return {name for name in self.files() if job_id in name}
