"""Server-sent events: what happens to a job, for whoever listens, whenever they come back."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from httpx_sse import EventSource, ServerSentEvent

from tests.e2e import models
from tests.e2e.calls import BYTES, PAPER, assert_problem, connect, submit, wait, wait_until_busy
from tests.e2e.servers import Server

LISTENERS = 200


def listen(http: httpx.Client, job_id: str, last: str | None = None) -> Iterator[ServerSentEvent]:
    headers = {} if last is None else {"Last-Event-ID": last}
    with http.stream("GET", f"/jobs/{job_id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        # The very first one only says how soon to come back.
        yield from (event for event in EventSource(answer).iter_sse() if event.data)


def listeners(http: httpx.Client) -> int:
    lines = http.get("/metrics").text.splitlines()
    return int(
        float(next(x for x in lines if x.startswith("sparsebook_event_listeners")).split()[1])
    )


def wait_for_listeners(http: httpx.Client, wanted: int) -> None:
    deadline = time.monotonic() + 60
    while (found := listeners(http)) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found == wanted


def test_a_job_is_followed_to_its_end(http: httpx.Client) -> None:
    job_id = submit(http, models.slow(), params=PAPER)["id"]
    events = list(listen(http, job_id))
    kept = [event for event in events if event.id and event.event != "progress"]
    assert [event.id for event in kept] == [str(number + 1) for number in range(len(kept))]
    stages = [json.loads(event.data)["stage"] for event in kept if event.event == "stage"]
    assert stages[0] == "admit"
    assert {"share", "pack", "verify"} <= set(stages)
    assert kept[0].event == "started"
    progress = [json.loads(event.data) for event in events if event.event == "progress"]
    assert progress[-1]["state"] == "running"
    assert {shown["weight"] for shown in progress} - {None}
    fractions = [shown["progress"] for shown in progress]
    assert fractions == sorted(fractions)
    assert events[-1].event == "end"
    assert json.loads(events[-1].data) == http.get(f"/jobs/{job_id}").json()


def test_who_comes_back_has_missed_nothing(http: httpx.Client, done: dict[str, Any]) -> None:
    every = list(listen(http, done["id"]))
    assert [event.event for event in every][-1] == "end"
    for number in range(len(every)):
        again = list(listen(http, done["id"], str(number)))
        assert [(event.id, event.data) for event in again] == [
            (event.id, event.data) for event in every[number:]
        ]
    # A browser that has heard the end comes back all the same, until it is told that there is nothing more.
    path = f"/jobs/{done['id']}/events"
    ended = http.get(path, headers={"Last-Event-ID": every[-1].id})
    assert (ended.status_code, ended.content) == (204, b"")
    assert len(list(listen(http, done["id"], "999"))) == len(every)


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", "9" * 30])
def test_what_is_no_id_is_refused(http: httpx.Client, done: dict[str, Any], bad: str) -> None:
    answer = http.get(f"/jobs/{done['id']}/events", headers={"Last-Event-ID": bad})
    assert "last-event-id" in assert_problem(answer, 400, "bad-value")
    assert_problem(http.get("/jobs/nobody/events"), 404, "unknown-job")


def test_a_deleted_job_says_so(http: httpx.Client) -> None:
    job_id = submit(http, models.slow(), params=PAPER)["id"]
    events = listen(http, job_id)
    next(events)
    http.delete(f"/jobs/{job_id}")
    assert [event.event for event in events][-1] == "deleted"


def test_numbers_go_on_after_a_crash(make_server: Any) -> None:
    server: Server = make_server()
    with server.client() as http:
        job_id = submit(http, models.slow(), params=PAPER)["id"]
        wait_until_busy(http, job_id)
        before = []

        def listen_and_kill() -> None:
            for event in listen(http, job_id):
                before.append(event)
                if event.event == "progress":
                    server.kill()

        with pytest.raises(httpx.TransportError):
            listen_and_kill()
    server.start(again=True)
    kept = [event for event in before if event.event != "progress"]
    with server.client() as http:
        after = [event for event in listen(http, job_id, kept[-1].id) if event.event != "progress"]
        assert wait(http, job_id)["state"] == "succeeded"
    ids = [int(event.id) for event in (*kept, *after)]
    assert ids == list(range(1, len(ids) + 1))
    assert after[0].event == "started"
    assert after[-1].event == "end"


def test_a_stop_of_the_service_ends_the_events(make_server: Any) -> None:
    server: Server = make_server()
    with server.client() as http:
        job_id = submit(http, models.slow(), params=PAPER)["id"]
        events = listen(http, job_id)
        next(events)
        server.terminate()
        assert "end" not in [event.event for event in events]
    assert server.stop() == 0


def test_many_listen_without_a_thread_each(make_server: Any) -> None:
    server: Server = make_server(workers=1)
    assert server.process is not None

    async def follow(http: httpx.AsyncClient, job_id: str) -> list[ServerSentEvent]:
        async with http.stream("GET", f"/jobs/{job_id}/events") as answer:
            return [event async for event in EventSource(answer).aiter_sse()]

    async def follow_all(job_id: str) -> tuple[int, list[list[ServerSentEvent]]]:
        limits = httpx.Limits(max_connections=LISTENERS)
        async with httpx.AsyncClient(base_url=server.url, timeout=90, limits=limits) as many:
            tasks = [asyncio.create_task(follow(many, job_id)) for _ in range(LISTENERS)]
            with server.client() as http:
                await asyncio.to_thread(wait_for_listeners, http, LISTENERS)
                threads = psutil.Process(server.process.pid).num_threads()
                await asyncio.to_thread(http.post, f"/jobs/{job_id}/cancel")
            return threads, await asyncio.gather(*tasks)

    with server.client() as http:
        # Listeners are slow to come on a busy machine: what they listen to waits behind minutes of work.
        ahead = [submit(http, models.slow(), params=PAPER)["id"] for _ in range(12)]
        job_id = submit(http, BYTES)["id"]
        threads, heard = asyncio.run(follow_all(job_id))
        assert threads < LISTENERS / 2
        assert [events[-1].event for events in heard] == ["end"] * LISTENERS
        assert listeners(http) == 0
        for other in ahead:
            http.delete(f"/jobs/{other}")


def test_who_goes_away_is_noticed(make_server: Any) -> None:
    server: Server = make_server(workers=1)
    with server.client() as http:
        submit(http, models.slow(), params=PAPER)
        queued = submit(http, BYTES)["id"]
        gone = [connect(server) for _ in range(3)]
        for connection in gone:
            connection.sendall(
                f"GET /jobs/{queued}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
        wait_for_listeners(http, 3)
        for connection in gone:
            connection.close()
        wait_for_listeners(http, 0)
