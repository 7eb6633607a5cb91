"""Keys that end while a request of theirs lasts, and what one key asks at the same time."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.calls import BYTES, OCTETS, assert_problem
from tests.e2e.servers import Server
from tests.e2e.test_keys import as_who, create, keys
from tests.e2e.test_training import SHORT, ask


@pytest.fixture(scope="module")
def guarded(make_server: Any) -> Server:
    """A server that asks for keys; no worker fine-tunes for it, so a job with data lasts until it is deleted."""
    return make_server(access="keys", workers=1)


@pytest.fixture(scope="module")
def admin(guarded: Server) -> Iterator[httpx.Client]:
    with as_who(guarded, create(guarded, "admin", "admin")) as http:
        yield http


def test_a_key_that_ends_while_its_upload_comes(guarded: Server, admin: httpx.Client) -> None:
    """What it began before may come to its end, but makes no job."""
    before = {job["id"] for job in admin.get("/jobs").json()["jobs"]}
    with as_who(guarded, create(guarded, "slow")) as http:

        def body() -> Iterator[bytes]:
            yield BYTES[:1000]
            keys(guarded, "revoke", "slow")
            yield BYTES[1000:]

        answer = http.post("/compress", content=body(), headers=OCTETS)
    assert "revoked" in assert_problem(answer, 401, "unauthorized")
    assert {job["id"] for job in admin.get("/jobs").json()["jobs"]} == before
    assert not [name for name in guarded.files() if not any(job in name for job in before)]


def test_keys_that_end_while_they_listen(guarded: Server, admin: httpx.Client) -> None:
    """Both at a time: that a key has ended is seen when the next line is due, after many seconds."""
    ends = ("revoke", "rotate")
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(as_who(guarded, create(guarded, f"listens to {end}")))
            for end in ends
        ]
        jobs = [ask(http, SHORT) for http in clients]
        streams = [
            stack.enter_context(http.stream("GET", f"/jobs/{job}/events")).iter_lines()
            for http, job in zip(clients, jobs, strict=True)
        ]
        for end, lines in zip(ends, streams, strict=True):
            next(lines)
            keys(guarded, end, f"listens to {end}")
        for http, job, lines in zip(clients, jobs, streams, strict=True):
            assert "event: end" not in "\n".join(lines)
            assert_problem(http.get(f"/jobs/{job}/events"), 401, "unauthorized")
            assert admin.get(f"/jobs/{job}").json()["times"]["finished"] is None
            admin.delete(f"/jobs/{job}")


def test_a_key_that_ends_while_it_waits(guarded: Server, admin: httpx.Client) -> None:
    with as_who(guarded, create(guarded, "waits")) as http:
        job = ask(http, SHORT)
        revoking = threading.Timer(0.3, keys, (guarded, "revoke", "waits"))
        revoking.start()
        answer = http.get(f"/jobs/{job}", params={"wait": 5})
        revoking.join()
    assert_problem(answer, 401, "unauthorized")
    admin.delete(f"/jobs/{job}")


def test_jobs_of_one_upload_at_once_do_not_pass_the_quota(guarded: Server) -> None:
    """A job of an earlier upload announces no bytes of its own: the transaction that accepts it decides."""
    key = create(guarded, "one upload", "submit,read", "--stored-bytes", str(len(BYTES) + 10))
    tus = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
    fresh, asked = {"Cache-Control": "no-cache"}, list[httpx.Response]()
    with as_who(guarded, key) as http:
        length = {"Upload-Length": str(len(BYTES))}
        begun = http.post("/uploads", headers=tus | length, content=BYTES)
        location = begun.headers["Location"]
        params = {"upload": location.rsplit("/", 1)[-1]}

        def ask() -> None:
            asked.append(http.post("/compress", params=params, headers=fresh))

        at_once = [threading.Thread(target=ask) for _ in range(4)]
        for thread in at_once:
            thread.start()
        for thread in at_once:
            thread.join()
        refused = [answer for answer in asked if answer.status_code != 202]
        (accepted,) = (answer.json()["id"] for answer in asked if answer.status_code == 202)
        for answer in refused:
            assert_problem(answer, 429, "quota-exceeded")
        http.delete(f"/jobs/{accepted}")
        assert http.post("/compress", params=params, headers=fresh).status_code == 202
        http.delete(location, headers=tus)
