"""An S3 server, started by a test or a benchmark on a free port of the loopback and gone after it."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from benchmarks.postgres import SERVERS, free_port

START_SECONDS = 120


class S3:
    """One server; `bucket` makes a fresh bucket in it."""

    def __init__(self) -> None:
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self._buckets = 0
        self._process = subprocess.Popen(
            [SERVERS / "bin/python", "-m", "moto.server", "--host", "127.0.0.1", f"--port={port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(f"{self.endpoint}/", timeout=10)
                break
            except httpx.TransportError:
                assert self._process.poll() is None, "the S3 server died"
                assert time.monotonic() < deadline, "the S3 server does not start"
                time.sleep(0.05)

    @property
    def environment(self) -> dict[str, str]:
        """What every client of S3 reads."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def bucket(self) -> str:
        """The name of a new, empty bucket."""
        self._buckets += 1
        name = f"bucket-{self._buckets}"
        httpx.put(f"{self.endpoint}/{name}", timeout=30).raise_for_status()
        return name

    def stop(self) -> None:
        """End it, and all that it holds."""
        self._process.terminate()
        self._process.wait(timeout=60)


@contextmanager
def s3() -> Iterator[S3]:
    """A server that is there while the block runs."""
    assert SERVERS.is_dir(), f"{SERVERS} is missing: make .venv-servers"
    server = S3()
    try:
        yield server
    finally:
        server.stop()
