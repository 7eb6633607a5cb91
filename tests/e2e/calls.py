"""What the tests of the HTTP contract say and expect, again and again."""

import base64
import hashlib
import socket
import time
from typing import Any

import httpx

from tests.e2e import models
from tests.e2e.servers import Server

OCTETS = {"Content-Type": "application/octet-stream"}
PAPER = {"config": '{"preset": "paper"}'}
BYTES = models.small()


def digest_field(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def submit(
    http: httpx.Client, content: bytes, *, fresh: bool = True, **options: Any
) -> dict[str, Any]:
    """Send a model; `fresh` wants it computed, even if the same was asked for before."""
    asked = {"Cache-Control": "no-cache"} if fresh else {}
    headers = {**OCTETS, **asked, **options.pop("headers", {})}
    answer = http.post("/compress", content=content, headers=headers, **options)
    assert answer.status_code == 202, answer.text
    return answer.json()


def wait(http: httpx.Client, job_id: str) -> dict[str, Any]:
    for _ in range(8):
        job = http.get(f"/jobs/{job_id}", params={"wait": 30}).json()
        if job["times"]["finished"]:
            return job
    raise AssertionError(f"the job did not end: {job}")


def wait_until_busy(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """Until the job works on a weight."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = http.get(f"/jobs/{job_id}").json()
        if job["weight"]:
            return job
        assert job["state"] in {"queued", "running"}, job
        time.sleep(0.05)
    raise AssertionError("the job did not start")


def assert_problem(answer: httpx.Response, status: int, slug: str) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status), problem
    assert problem["type"] == f"/problems/{slug}"
    assert problem["title"]
    return str(problem["detail"])


def wait_until_gone(server: Server, job_id: str) -> None:
    deadline = time.monotonic() + 5
    while server.files_of(job_id) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.files_of(job_id) == set()


def connect(server: Server) -> socket.socket:
    address = httpx.URL(server.url)
    return socket.create_connection((address.host, address.port or 80))
