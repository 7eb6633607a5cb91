"""The same request again is answered with the earlier job's artifact, whatever becomes of that job."""

from functools import partial
from typing import Any

import httpx
import pytest

from tests.e2e import calls, models
from tests.e2e.calls import OCTETS, PAPER, wait
from tests.e2e.servers import Server

submit = partial(calls.submit, fresh=False)
CONTENT = models.small(seed=77)


@pytest.fixture(scope="module")
def first(server: Server) -> dict[str, Any]:
    with server.client() as http:
        return wait(http, submit(http, CONTENT)["id"])


def bundle(http: httpx.Client, job: dict[str, Any]) -> bytes:
    answer = http.get(f"/jobs/{job['id']}/artifact")
    assert answer.status_code == 200
    return answer.content


def test_the_same_again_is_there_at_once(http: httpx.Client, first: dict[str, Any]) -> None:
    again = submit(http, CONTENT)
    assert again["id"] != first["id"]
    assert (again["state"], again["progress"]) == ("succeeded", 1)
    assert (first["cached_from"], again["cached_from"]) == (None, first["id"])
    assert bundle(http, again) == bundle(http, first)
    for file, before in zip(again["result"]["files"], first["result"]["files"], strict=True):
        assert file["href"].startswith(f"/jobs/{again['id']}/")
        assert (file["name"], file["sha256"]) == (before["name"], before["sha256"])
        assert http.get(file["href"]).status_code == 200
    # However it is sent.
    form = http.post("/compress", files={"model": ("model.onnx", CONTENT)}).json()
    assert form["cached_from"] == again["id"]


def test_something_else_is_computed(http: httpx.Client, first: dict[str, Any]) -> None:
    assert first["state"] == "succeeded"
    for options in (
        {"params": PAPER},
        {"params": {"config": '{"seed": 1}'}},
        {"params": {"name": "other.onnx"}},
        {"headers": {"Cache-Control": "no-cache"}},
    ):
        assert submit(http, CONTENT, **options)["cached_from"] is None
    assert submit(http, models.small(seed=78))["cached_from"] is None


def test_either_job_can_be_deleted(http: httpx.Client, server: Server) -> None:
    content = models.small(seed=79)
    computed = wait(http, submit(http, content)["id"])
    whole = bundle(http, computed)
    second = submit(http, content)
    assert http.delete(f"/jobs/{computed['id']}").status_code == 204
    assert server.files_of(computed["id"]) == set()
    assert bundle(http, second) == whole
    third = submit(http, content)
    assert third["cached_from"] == second["id"]
    http.delete(f"/jobs/{second['id']}")
    assert bundle(http, third) == whole
    http.delete(f"/jobs/{third['id']}")
    assert submit(http, content)["cached_from"] is None


def test_a_key_gives_the_same_job_and_not_another(
    http: httpx.Client, first: dict[str, Any]
) -> None:
    assert first["state"] == "succeeded"
    headers = {"Idempotency-Key": "cached"}
    one, two = (submit(http, CONTENT, headers=headers) for _ in range(2))
    assert one == two
    assert one["cached_from"]
    other = http.post("/compress", content=models.small(seed=80), headers=OCTETS | headers)
    assert other.status_code == 409


def test_what_failed_is_tried_again(http: httpx.Client) -> None:
    content = models.with_nan()
    jobs = [wait(http, submit(http, content)["id"]) for _ in range(2)]
    assert [job["state"] for job in jobs] == ["failed"] * 2
    assert [job["cached_from"] for job in jobs] == [None] * 2


def test_it_survives_a_start(make_server: Any) -> None:
    server: Server = make_server()
    with server.client() as http:
        first = wait(http, submit(http, CONTENT)["id"])
    server.kill()
    server.start()
    with server.client() as http:
        again = submit(http, CONTENT)
        assert again["cached_from"] == first["id"]
        assert bundle(http, again)
