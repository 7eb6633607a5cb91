"""Many hosts, as processes on this machine, on a real Postgres and an S3 server: what sharing costs, and how soon work moves.

python -m benchmarks.hosts: jobs a minute with one and with two hosts, and on SQLite and a folder beside it; then seconds from the
death of a host to its job going on elsewhere, with the default of SPARSEBOOK_HOST_LOST_SECONDS. Every model is distinct, so that
nothing comes from a cache. Five minutes, JSON in build/benchmarks/hosts.json.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.postgres import free_port, postgres
from benchmarks.results import show, write
from benchmarks.s3 import s3

COMMAND = str(Path(sys.executable).with_name("sparsebook"))
JOBS = 24
SIZE = 890  # two square weights of it are a model of magika's 3.2 MB times two
DEATHS = 3
LIMIT_SECONDS = 600


def model(seed: int, size: int) -> bytes:
    """Two fully connected layers; no two seeds give the same bytes."""
    rng = np.random.default_rng(seed)
    names = ["x", "h", "y"]
    weights = [
        numpy_helper.from_array(rng.standard_t(4, (size, size)).astype(np.float32) / 30, f"w{n}")
        for n in range(2)
    ]
    nodes = [helper.make_node("MatMul", [names[n], f"w{n}"], [names[n + 1]]) for n in range(2)]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name in ("x", "y")
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def start(
    folder: Path, arguments: list[str], environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """One process of the service with a data folder of its own."""
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [COMMAND, *arguments, "--data-dir", str(folder / "data")],
            stderr=log,
            env={**os.environ, "SPARSEBOOK_SERVE_WORKER": "0", **environment},
        )


@contextmanager
def cluster(
    folder: Path, hosts: int, environment: dict[str, str]
) -> Iterator[tuple[httpx.Client, list[subprocess.Popen[bytes]]]]:
    """An API host and workers; without workers the API host runs the jobs."""
    folder.mkdir()
    port = free_port()
    serve = {**environment, "SPARSEBOOK_SERVE_JOBS": "0" if hosts else "1"}
    started = [start(folder / "api", ["serve", "--port", str(port)], serve)]
    for number in range(hosts):
        one = ["worker", "--queue", "compress"]
        started.append(start(folder / f"host-{number}", one, environment))
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90) as http:
            wait_for(http, lambda: http.get("/readyz").status_code == 200)
            ready = [folder / f"host-{number}/log" for number in range(hosts)]
            wait_for(http, lambda: all("worker ready" in log.read_text() for log in ready))
            yield http, started[1:]
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(timeout=60)


def wait_for(http: httpx.Client, holds: Any) -> None:
    """Until it holds, in bounded time; a server that is not there yet is waited for."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError


def submit(http: httpx.Client, content: bytes) -> str:
    """Send a model; the job's id."""
    kind = {"Content-Type": "application/octet-stream"}
    answer = http.post("/compress", content=content, headers=kind)
    answer.raise_for_status()
    return str(answer.json()["id"])


def state(http: httpx.Client, job: str) -> dict[str, Any]:
    """The job as it is now."""
    found: dict[str, Any] = http.get(f"/jobs/{job}").json()
    return found


def jobs_a_minute(http: httpx.Client) -> float:
    """How many distinct models are compressed in a minute, from the first POST to the last end."""
    contents = [model(seed, SIZE) for seed in range(JOBS)]
    began = time.monotonic()
    jobs = [submit(http, content) for content in contents]
    for job in jobs:
        wait_for(http, lambda job=job: state(http, job)["times"]["finished"])
        assert state(http, job)["state"] == "succeeded"
    return JOBS / (time.monotonic() - began) * 60


def takeover(http: httpx.Client, hosts: list[subprocess.Popen[bytes]], logs: list[Path]) -> float:
    """Seconds from the death of the host that has a job until another has begun it."""
    job = submit(http, model(1000 + len(hosts), 3000))
    wait_for(http, lambda: state(http, job)["weight"])
    holder = next(n for n, log in enumerate(logs) if job in log.read_text())
    died = time.monotonic()
    hosts[holder].kill()
    others = [log for n, log in enumerate(logs) if n != holder]
    wait_for(http, lambda: any(job in log.read_text() for log in others))
    seconds = time.monotonic() - died
    wait_for(http, lambda: state(http, job)["times"]["finished"])
    assert state(http, job)["state"] == "succeeded"
    return seconds


def main() -> None:
    """Measure, print and write."""
    results: dict[str, Any] = {"jobs": JOBS, "jobs_a_minute": {}, "takeover_seconds": []}
    with tempfile.TemporaryDirectory() as made, postgres() as database, s3() as bucket:
        folder = Path(made)

        def shared() -> dict[str, str]:
            return {
                "SPARSEBOOK_DATABASE_URL": database.database(),
                "SPARSEBOOK_STORAGE": f"s3://{bucket.bucket()}/files",
                **bucket.environment,
            }

        runs: dict[str, tuple[int, dict[str, str]]] = {
            "SQLite and a folder": (0, {}),
            "Postgres and S3, one host": (1, shared()),
            "Postgres and S3, two hosts": (2, {**shared(), "SPARSEBOOK_WORKERS": "1"}),
        }
        for number, (name, (hosts, environment)) in enumerate(runs.items()):
            with cluster(folder / f"run-{number}", hosts, environment) as (http, _):
                results["jobs_a_minute"][name] = round(jobs_a_minute(http), 1)
        for number in range(DEATHS):
            here = folder / f"death-{number}"
            with cluster(here, 2, shared()) as (http, hosts_there):
                logs = [here / f"host-{n}/log" for n in range(2)]
                results["takeover_seconds"].append(round(takeover(http, hosts_there, logs), 1))
    show_all(results)
    print("written:", write("hosts", results, seed=0))


def show_all(results: dict[str, Any]) -> None:
    """Both tables."""
    rows = [[name, f"{value:.1f}"] for name, value in results["jobs_a_minute"].items()]
    title = f"{results['jobs']} distinct models of {SIZE * SIZE * 8 / 1e6:.1f} MB, from the first POST to the last end"
    show(title, ["where", "jobs a minute"], rows)
    took = [[str(n), f"{each:.1f}"] for n, each in enumerate(results["takeover_seconds"], 1)]
    show("A dead host's job has begun on another host after", ["death", "seconds"], took)


if __name__ == "__main__":
    main()
