"""What keeps a real service alive under load: caps, retention and deadlines."""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import models
from tests.e2e.calls import (
    BYTES,
    OCTETS,
    PAPER,
    assert_problem,
    submit,
    wait,
    wait_until_gone,
)
from tests.e2e.commands import Cli
from tests.e2e.servers import Server

SLOW = models.slow()
# 134 MB, which takes seconds: long enough to be caught running.
HEAVY = models.mlp(2048, 4096, 4096, 2048).SerializeToString()


def freeze(server: Server) -> None:
    """Stop the process of the job that runs, or will: however fast the machine is, the job does not end."""
    limit = time.monotonic() + 60
    while not (found := server.job_processes()):
        assert time.monotonic() < limit, "no job runs"
        time.sleep(0.02)
    for process in found:
        process.suspend()


def test_a_full_service_refuses_new_work_and_keeps_the_old(make_server: Any) -> None:
    most = 2 * len(BYTES)
    server = make_server(max_stored_bytes=most)
    with server.client() as http:
        done = wait(http, submit(http, BYTES, headers={"Idempotency-Key": "a"})["id"])
        assert done["state"] == "succeeded"
        bundle = http.get(f"/jobs/{done['id']}/artifact").content
        for body in (SLOW, iter([SLOW])):  # announced, and seen when it is there
            answer = http.post("/compress", content=body, headers=OCTETS)
            assert str(most) in assert_problem(answer, 507, "storage-full")
        assert server.files() == server.files_of(done["id"])
        assert http.get(f"/jobs/{done['id']}/artifact").content == bundle
        assert submit(http, BYTES, headers={"Idempotency-Key": "a"})["id"] == done["id"]
        assert http.delete(f"/jobs/{done['id']}").status_code == 204
        assert wait(http, submit(http, BYTES)["id"])["state"] == "succeeded"


def test_readiness_tells_of_a_full_service(make_server: Any) -> None:
    server = make_server(max_stored_bytes=len(BYTES))
    with server.client() as http:
        assert http.get("/readyz").status_code == 200
        wait(http, submit(http, BYTES, params={"config": '{"output": "dense"}'})["id"])
        refused = http.get("/readyz")
        detail = assert_problem(refused, 503, "not-ready")
        assert int(refused.headers["retry-after"]) > 0
        assert "SPARSEBOOK_MAX_STORED_BYTES" in detail
        assert http.get("/healthz").status_code == 200


def test_jobs_are_forgotten_after_their_time(make_server: Any) -> None:
    server = make_server(retention_days=3 / 86_400, workers=1)
    with server.client() as http:
        ended = submit(http, BYTES)["id"]
        failed = submit(http, models.with_nan())["id"]
        assert wait(http, ended)["state"] == "succeeded"
        assert wait(http, failed)["state"] == "failed"
        running = submit(http, HEAVY, params=PAPER)["id"]
        freeze(server)
        for job_id in (ended, failed):
            _until_forgotten(http, job_id)
            wait_until_gone(server, job_id)
        _until_queued(server, {running})
        # However long a job takes, it is there until it has ended.
        assert http.get(f"/jobs/{running}").json()["state"] in {"queued", "running"}
        assert http.delete(f"/jobs/{running}").status_code == 204


def _until_queued(server: Server, jobs: set[str]) -> None:
    """What the queue kept of others goes by itself, after the jobs."""
    limit = time.monotonic() + 60
    while _queued(server) != jobs:
        assert time.monotonic() < limit, _queued(server)
        time.sleep(0.1)


def _queued(server: Server) -> set[str]:
    """The jobs that the queue knows."""
    with contextlib.closing(sqlite3.connect(server.data_dir / "sparsebook.sqlite")) as database:
        return {row[0] for row in database.execute("SELECT workflow_uuid FROM workflow_status")}


def _until_forgotten(http: httpx.Client, job_id: str) -> None:
    limit = time.monotonic() + 60
    while http.get(f"/jobs/{job_id}").status_code == 200:
        assert time.monotonic() < limit, "the job is still there"
        time.sleep(0.1)
    assert_problem(http.get(f"/jobs/{job_id}"), 404, "unknown-job")


@pytest.fixture(scope="module")
def hurried(make_server: Any) -> Any:
    return make_server(workers=1)


def test_an_overdue_job_ends_whether_it_runs_or_waits(hurried: Any) -> None:
    with hurried.client() as http:
        running = submit(http, HEAVY, params={**PAPER, "deadline": 6})
        freeze(hurried)
        assert running["deadline"] > running["times"]["created"]
        waiting = submit(http, BYTES, params={"deadline": 0.5})
        ended = wait(http, waiting["id"])
        assert (ended["state"], ended["error"]["type"]) == ("failed", "/problems/deadline")
        assert "waiting for its turn" in ended["error"]["detail"]
        assert_problem(http.get(f"/jobs/{waiting['id']}/artifact"), 409, "no-result")
        ended = wait(http, running["id"])
        assert ended["error"]["type"] == "/problems/deadline"
        assert "6 seconds" in ended["error"]["detail"]
        for job in (running, waiting):
            wait_until_gone(hurried, job["id"])
        in_time = submit(http, BYTES, params={"deadline": 600})
        assert wait(http, in_time["id"])["state"] == "succeeded"


def test_a_deadline_holds_over_a_crash_and_the_services_own_is_the_most(make_server: Any) -> None:
    server = make_server(job_deadline_seconds=8)
    with server.client() as http:
        job = submit(http, HEAVY, params={**PAPER, "deadline": 3600})["id"]
    server.kill()
    server.start()
    freeze(server)
    with server.client() as http:
        ended = wait(http, job)
        assert ended["error"]["type"] == "/problems/deadline"
        assert "8 seconds" in ended["error"]["detail"]
        wait_until_gone(server, job)


@pytest.mark.parametrize("deadline", ["0", "-1", "soon", "nan", "inf", "1e300"])
def test_bad_deadlines(http: httpx.Client, deadline: str) -> None:
    answer = http.post("/compress", content=BYTES, headers=OCTETS, params={"deadline": deadline})
    assert "deadline" in assert_problem(answer, 400, "bad-value")


def test_a_deadline_on_the_command_line(hurried: Any, cli: Cli) -> None:
    (cli.folder / "slow.onnx").write_bytes(SLOW)
    asked = ("compress", "slow.onnx", "--preset", "paper", "--deadline", "0.2", "-o", "out")
    assert "--server" in cli(*asked).err
    ended = cli(*asked, "--server", hurried.url)
    assert ended.status == 1
    assert "seconds to end, and" in ended.err
    assert not Path("out").exists()
