"""Damaged models sent to a service: each is refused, or is a job that ends with a result or with a problem of the caller's."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import service_damage, service_models
from benchmarks.results import FOLDER
from benchmarks.service_runs import OCTETS, finished
from benchmarks.service_server import BenchServer, Serve

# More than the processors, so that some go on where others wait for the disk; and a worker never waits for the next upload.
WORKERS = 20
AT_ONCE = 40
SAY_EVERY = 500
# Jobs run at the lowest priority, and a machine may be busy with other things. What computes without end is stopped by its processor time
# (JOB_CPU_SECONDS); what still has not ended after so long waits for something that never comes.
HANG_SECONDS = 1800.0
JOB_CPU_SECONDS = 100


@dataclass
class Damage:
    """What came of damaged uploads."""

    sent: int = 0
    refused: int = 0
    succeeded: int = 0
    failed: int = 0
    answers_5xx: int = 0
    faults: int = 0
    hangs: int = 0
    restarts: int = 0
    problems: dict[str, int] = field(default_factory=dict)
    faulty: list[str] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """What must not be."""
        return self.answers_5xx + self.faults + self.hangs + self.restarts


def malformed(
    serve: Serve, folder: Path, count: int, seed: int, minutes: float, first: int = 0
) -> dict[str, Any]:
    """Send so many damaged models, but for the `first` that an earlier run has sent, or as many as the minutes allow."""
    originals = service_models.real()
    start = time.monotonic()
    contents = itertools.takewhile(
        lambda _: time.monotonic() - start < 60 * minutes,
        itertools.islice(service_damage.damaged(originals, count, seed), first, None),
    )
    limits = {"job_cpu_seconds": JOB_CPU_SECONDS, "job_address_space_bytes": 4 << 30}
    with serve(folder, workers=WORKERS, **limits) as (server, http):
        before = _lasting(server)
        damage = _Sending(http, contents, FOLDER / f"faulty-{seed}").all()
        damage.restarts = len(before - _lasting(server)) if server.alive else 1
    return {
        **asdict(damage),
        "bad": damage.bad,
        "originals": len(originals),
        "seconds": time.monotonic() - start,
    }


def _lasting(server: BenchServer) -> set[psutil.Process]:
    """The processes that are there as long as the service is: the API, the nursery and its helper."""
    return {process for process in server.family() if process.name() != "sparsebook-job"}


class _Sending:
    """Some uploads at once, each followed to the end of its job."""

    def __init__(self, http: httpx.Client, contents: Iterator[bytes], kept: Path) -> None:
        self._http = http
        self._contents = contents
        self._kept = kept
        self._lock = threading.Lock()
        self._damage = Damage()

    def all(self) -> Damage:
        """Send everything; a sender that fails ends all of this with its exception."""
        with ThreadPoolExecutor(AT_ONCE) as senders:
            for sender in [senders.submit(self._send_some) for _ in range(AT_ONCE)]:
                sender.result()
        return self._damage

    def _send_some(self) -> None:
        while (content := self._next()) is not None:
            answer = self._http.post("/compress", content=content, headers=OCTETS)
            if answer.status_code == 202:
                job = finished(self._http, answer.json()["id"], HANG_SECONDS)
                self._http.delete(f"/jobs/{job['id']}").raise_for_status()
                with self._lock:
                    self._ended(job, content)
            else:
                with self._lock:
                    self._damage.refused += 1
                    self._damage.answers_5xx += answer.status_code >= 500

    def _next(self) -> bytes | None:
        with self._lock:
            content = next(self._contents, None)
            self._damage.sent += content is not None
            if content is not None and self._damage.sent % SAY_EVERY == 0:
                print(f"{self._damage.sent} sent, {self._damage.bad} bad", flush=True)
            return content

    def _ended(self, job: dict[str, Any], content: bytes) -> None:
        damage = self._damage
        if job["state"] == "succeeded":
            damage.succeeded += 1
            return
        if job["state"] != "failed":
            damage.hangs += 1
            self._keep(f"hang-{damage.hangs}", content)
            return
        damage.failed += 1
        slug = job["error"]["type"].rsplit("/", 1)[-1]
        damage.problems[slug] = damage.problems.get(slug, 0) + 1
        if job["error"]["status"] >= 500:
            damage.faults += 1
            damage.faulty.append(job["error"]["detail"])
            self._keep(f"fault-{damage.faults}", content)

    def _keep(self, name: str, content: bytes) -> None:
        self._kept.mkdir(parents=True, exist_ok=True)
        (self._kept / f"{name}.onnx").write_bytes(content)
