"""The measurements of the service's benchmark, each on a service of its own."""

import asyncio
import contextlib
import hashlib
import itertools
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import service_models
from benchmarks.service_server import BenchServer, Serve

OCTETS = {"Content-Type": "application/octet-stream"}
MIB = 1 << 20
# A job that has not ended after so long hangs.
HANG_SECONDS = 180.0


def submit(
    http: httpx.Client, content: bytes, key: str | None = None, name: str | None = None
) -> str:
    """Send a model; the job's id.

    Raises:
        RuntimeError: it was refused.
    """
    headers = OCTETS | ({} if key is None else {"Idempotency-Key": key})
    params = {} if name is None else {"name": name}
    answer = http.post("/compress", content=content, headers=headers, params=params)
    if answer.status_code != 202:
        raise RuntimeError(f"refused: {answer.status_code} {answer.text}")
    return str(answer.json()["id"])


def finished(http: httpx.Client, job_id: str, seconds: float = HANG_SECONDS) -> dict[str, Any]:
    """The job at its end, or as it is when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        job: dict[str, Any] = http.get(f"/jobs/{job_id}", params={"wait": 20}).json()
        if job["times"]["finished"] or time.monotonic() > deadline:
            return job


def sha256_of_model(job: dict[str, Any]) -> str | None:
    """Of the artifact's model; None where the job has none."""
    files = (job["result"] or {}).get("files", ())
    return next((file["sha256"] for file in files if file["name"] == "model.onnx"), None)


def latency(serve: Serve, folder: Path, times: int) -> dict[str, Any]:
    """Seconds from POST to the last byte of the artifact, idle service, a model that it has not seen."""
    found = []
    with serve(folder) as (_, http):
        for number in range(times):
            content = service_models.magika(number)
            start = time.perf_counter()
            job_id = submit(http, content)
            job = finished(http, job_id)
            bundle = http.get(f"/jobs/{job_id}/artifact")
            found.append(time.perf_counter() - start)
            assert job["state"] == "succeeded", job
            assert bundle.status_code == 200
    return {"median": statistics.median(found), "most": max(found), "first": found[0]}


def throughput(serve: Serve, folder: Path, jobs: int, workers: int) -> dict[str, Any]:
    """Jobs a minute, all models different; from the first POST to the last job's end."""
    contents = [service_models.magika(number) for number in range(jobs)]
    with serve(folder, workers=workers) as (server, http):
        # What happens once a start is not counted.
        finished(http, submit(http, service_models.small(0)))
        before = _cpu(server)
        start = time.perf_counter()
        ids = [submit(http, content) for content in contents]
        ended = [finished(http, job_id) for job_id in ids]
        seconds = time.perf_counter() - start
        spent = _cpu(server) - before
    states = Counter(job["state"] for job in ended)
    return {
        "per_minute": 60 * jobs / seconds,
        "seconds": seconds,
        "states": dict(states),
        "cpu_seconds_a_job": spent / jobs,
    }


def _cpu(server: BenchServer) -> float:
    total = 0.0
    for process in server.family():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            # The nursery has the times of the jobs' processes that have ended.
            total += times.user + times.system + times.children_user + times.children_system
    return total


def polling(serve: Serve, folder: Path, clients: int, seconds: float) -> dict[str, Any]:
    """Seconds of GET /jobs/{id}: so many clients once a second each, while two jobs run.

    The jobs are there before anybody polls: to send one costs more than to answer a thousand polls.
    """
    with serve(folder, workers=2) as (server, http):
        content = service_models.busy(0)
        waiting = [
            submit(http, content, name=f"{number}.onnx") for number in range(int(4 * seconds))
        ]
        found, failed = asyncio.run(_poll(server.url, waiting[-1], clients, seconds))
        running = http.get("/jobs", params={"state": "running"}).json()["jobs"]
        for job_id in waiting:
            http.delete(f"/jobs/{job_id}")
    found.sort()
    return {
        "requests": len(found),
        "failed": failed,
        "running_at_the_end": len(running),
        "median": statistics.median(found),
        "p99": found[int(0.99 * len(found))],
        "most": found[-1],
    }


async def _poll(url: str, job_id: str, clients: int, seconds: float) -> tuple[list[float], int]:
    found: list[float] = []
    failed = 0
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def one(http: httpx.AsyncClient, offset: float) -> None:
        nonlocal failed
        start = time.perf_counter() + offset
        for turn in range(int(seconds)):
            await asyncio.sleep(max(0.0, start + turn - time.perf_counter()))
            asked = time.perf_counter()
            answer = await http.get(f"/jobs/{job_id}")
            found.append(time.perf_counter() - asked)
            failed += answer.status_code != 200

    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        await asyncio.gather(*(one(http, number / clients) for number in range(clients)))
    return found, failed


def upload(serve: Serve, folder: Path, size: int) -> dict[str, Any]:
    """The most memory of the API's process while a body of so many bytes arrives."""
    block = random.Random(0).randbytes(MIB)
    with serve(folder, max_upload_bytes=size + 1, min_free_bytes=0) as (server, http):
        own = psutil.Process(server.process.pid)
        before = own.memory_info().rss
        with _watching(own) as seen:
            start = time.perf_counter()
            job_id = submit_stream(http, itertools.repeat(block, size // MIB))
            seconds = time.perf_counter() - start
        job = finished(http, job_id)
        http.delete(f"/jobs/{job_id}")
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(block)
    return {
        "bytes": size,
        "before": before,
        "most": max(seen),
        "seconds": seconds,
        "whole": job["input"]["sha256"] == digest.hexdigest(),
    }


def submit_stream(http: httpx.Client, blocks: Iterator[bytes]) -> str:
    """Send a body that is made as it is sent."""
    answer = http.post("/compress", content=blocks, headers=OCTETS)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@contextlib.contextmanager
def _watching(process: psutil.Process) -> Iterator[list[int]]:
    seen = [process.memory_info().rss]
    enough = threading.Event()

    def watch() -> None:
        while not enough.wait(0.02):
            seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        enough.set()
        watcher.join()


def kills(serve: Serve, folder: Path, count: int, seed: int, models: int = 6) -> dict[str, Any]:
    """Kill one process after the other while jobs are sent and run; then look whether all is there and the same."""
    generator = random.Random(seed)
    contents = [service_models.small(n) for n in range(models - 1)] + [service_models.magika(1)]
    folder.mkdir()
    with serve(folder / "undisturbed") as (_, http):
        expected = [sha256_of_model(finished(http, submit(http, each))) for each in contents]
    with serve(folder / "disturbed") as (server, _):
        sender = _Sender(server, contents)
        sender.start()
        killed: Counter[str] = Counter()
        for _ in range(count):
            time.sleep(generator.uniform(0.05, 2.5))
            with contextlib.suppress(psutil.NoSuchProcess):
                process = _victim(server, generator)
                name = process.name()
                api = server.kill(process)
                killed[
                    "api" if api else "job" if name == "sparsebook-job" else "nursery or helper"
                ] += 1
                if api:
                    server.start()
        sender.stop()
        with httpx.Client(base_url=server.url, timeout=120) as http:
            ended = {number: finished(http, job_id) for number, job_id in sender.accepted.items()}
    lost = [job["id"] for job in ended.values() if job["state"] != "succeeded"]
    differ = [
        job["id"]
        for number, job in ended.items()
        if job["state"] == "succeeded" and sha256_of_model(job) != expected[number % models]
    ]
    errors = Counter(
        str((job["error"] or {}).get("detail")) for job in ended.values() if job["error"]
    )
    return {
        "kills": dict(killed),
        "jobs": len(ended),
        "lost": len(lost),
        "differ": len(differ),
        "starts": server.starts,
        "errors": dict(errors),
    }


def _victim(server: BenchServer, generator: random.Random) -> psutil.Process:
    """Half the time a job's process, where there is one: the others are more, and live longer."""
    family = server.family()
    jobs = [process for process in family if process.name() == "sparsebook-job"]
    return generator.choice(jobs if jobs and generator.random() < 0.5 else family)


class _Sender(threading.Thread):
    """Sends jobs, one at a time under a key each, until each is accepted, whatever becomes of the service meanwhile."""

    def __init__(self, server: BenchServer, contents: list[bytes]) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._contents = contents
        self._enough = threading.Event()
        self.accepted: dict[int, str] = {}

    def stop(self) -> None:
        """Send no more."""
        self._enough.set()
        self.join()

    def run(self) -> None:
        """Send."""
        for number in itertools.count():
            content = self._contents[number % len(self._contents)]
            while number not in self.accepted:
                with (
                    contextlib.suppress(httpx.TransportError, RuntimeError),
                    httpx.Client(base_url=self._server.url, timeout=30) as http,
                ):
                    self.accepted[number] = submit(http, content, f"kill-{number}")
                if self._enough.wait(0.1):
                    break
            # No more than a few jobs wait, so that kills meet all stages of a job.
            if self._enough.wait(0.5):
                return
