"""Models that are taken from a bucket by name, and results that are pushed into one."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from obstore.store import S3Store

from benchmarks.s3 import S3, s3
from sparsebook_service.buckets import connect
from tests.e2e import models
from tests.e2e.calls import BYTES, assert_problem, submit, wait
from tests.e2e.commands import Cli
from tests.e2e.servers import Server


@dataclass(frozen=True)
class Place:
    """A bucket of the caller's, and a service that may read and write below `open` there."""

    name: str
    store: S3Store
    server: Server

    def url(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def names(self, prefix: str) -> set[str]:
        return {file["path"] for file in obstore.list(self.store, prefix).collect()}


@pytest.fixture(scope="module")
def running() -> Iterator[S3]:
    with s3() as server:
        yield server


@pytest.fixture(scope="module")
def place(running: S3, make_server: Any) -> Place:
    before = dict(os.environ)
    os.environ.update(running.environment)
    try:
        name = running.bucket()
        server: Server = make_server(
            sources=f"s3://{name}/open/", destinations=f"s3://{name}/open/out,s3://no-such-bucket"
        )
        return Place(name, connect(f"s3://{name}"), server)
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def http(place: Place) -> Iterator[httpx.Client]:
    with place.server.client() as client:
        yield client


def compress(http: httpx.Client, **params: str) -> httpx.Response:
    return http.post("/compress", params=params, headers={"Cache-Control": "no-cache"})


def test_from_a_bucket_into_a_bucket(http: httpx.Client, place: Place) -> None:
    obstore.put(place.store, "open/models/small.onnx", BYTES)
    answer = compress(
        http, source=place.url("open/models/small.onnx"), push=place.url("open/out/small/")
    )
    assert answer.status_code == 202, answer.text
    job = wait(http, answer.json()["id"])
    assert job["state"] == "succeeded", job
    assert job["input"]["name"] == "small.onnx"
    assert job["input"]["sha256"] == hashlib.sha256(BYTES).hexdigest()
    assert job["push"] == place.url("open/out/small")
    pushed = {name.removeprefix("open/out/small/") for name in place.names("open/out/small")}
    assert pushed == {file["name"] for file in job["result"]["files"]}
    for file in job["result"]["files"]:
        content = bytes(obstore.get(place.store, f"open/out/small/{file['name']}").bytes())
        assert hashlib.sha256(content).hexdigest() == file["sha256"]


def test_the_same_once_more_is_pushed_again(http: httpx.Client, place: Place) -> None:
    for folder in ("one", "two"):
        url = place.url(f"open/out/{folder}")
        job = wait(http, submit(http, BYTES, fresh=False, params={"push": url})["id"])
        assert job["state"] == "succeeded", job
        assert f"open/out/{folder}/manifest.json" in place.names(f"open/out/{folder}")


def test_external_data_comes_with_the_request(
    http: httpx.Client, place: Place, tmp_path: Path
) -> None:
    path = models.with_external(tmp_path)
    obstore.put(place.store, "open/apart.onnx", path.read_bytes())
    parts = [("external", ("weights.bin", (tmp_path / "weights.bin").read_bytes()))]
    answer = http.post("/compress", params={"source": place.url("open/apart.onnx")}, files=parts)
    assert answer.status_code == 202, answer.text
    assert wait(http, answer.json()["id"])["state"] == "succeeded"


@pytest.mark.parametrize("what", ["source", "push"])
@pytest.mark.parametrize(
    ("key", "mentions"),
    [
        ("closed/model.onnx", "does not reach there; SPARSEBOOK_"),
        ("openly/model.onnx", "does not reach there; SPARSEBOOK_"),
        ("open/../closed/model.onnx", "without empty, '.' or '..' parts"),
        ("open//model.onnx", "without empty, '.' or '..' parts"),
        ("open/%2e%2e/closed/model.onnx", "without %"),
        ("open/.%2E/closed/model.onnx", "without %"),
        ("open/a#b", "without %"),
        ("open/a?versionId=1", "without %"),
        ("open/..\\closed", "without %"),
        ("open/mo\ndel.onnx", "give s3://BUCKET/KEY"),
        ("open/" + "x" * 2000, "give s3://BUCKET/KEY"),
    ],
)
def test_no_other_place_is_reached(
    http: httpx.Client, place: Place, what: str, key: str, mentions: str
) -> None:
    assert mentions in assert_problem(compress(http, **{what: place.url(key)}), 400, "bad-value")


@pytest.mark.parametrize("url", ["", "s3://", "https://example.org/a.onnx", "file:///etc/passwd"])
def test_what_is_no_place_in_a_bucket(http: httpx.Client, url: str) -> None:
    assert "give s3://" in assert_problem(compress(http, source=url), 400, "bad-value")
    assert "give s3://" in assert_problem(compress(http, push=url), 400, "bad-value")


def test_what_is_not_there(http: httpx.Client, place: Place) -> None:
    missing = assert_problem(
        compress(http, source=place.url("open/nothing.onnx")), 400, "bad-value"
    )
    assert "there is no such file" in missing
    assert "one of them" in assert_problem(
        compress(http, source=place.url("open/a.onnx"), upload="x"), 400, "bad-value"
    )
    assert http.get("/jobs", params={"state": "queued"}).json()["jobs"] == []


def test_a_bucket_that_refuses_costs_no_artifact(http: httpx.Client) -> None:
    job = wait(http, submit(http, BYTES, params={"push": "s3://no-such-bucket/x"})["id"])
    assert job["state"] == "failed", job
    assert job["error"]["type"] == "/problems/push-failed"
    assert http.get(f"/jobs/{job['id']}/artifact/model.onnx").status_code == 200


def test_without_the_settings_nothing_is_reached(server: Server) -> None:
    with server.client() as http:
        found = assert_problem(compress(http, source="s3://any/model.onnx"), 400, "bad-value")
        assert "SPARSEBOOK_SOURCES" in found
        found = assert_problem(compress(http, push="s3://any/model"), 400, "bad-value")
        assert "SPARSEBOOK_DESTINATIONS" in found


def test_the_command_line_pushes_and_takes_a_job_up_again(cli: Cli, place: Place) -> None:
    options = ("--server", place.server.url, "--idempotency-key", "from-the-command-line")
    push = ("--push", place.url("open/out/cli"))
    first = cli("compress", "tiny.onnx", *options, *push, "-o", "first")
    assert first.status == 0, first.err
    assert "open/out/cli/manifest.json" in place.names("open/out/cli")
    again = cli("compress", "tiny.onnx", *options, *push, "-o", "again")
    assert again.status == 0, again.err
    with place.server.client() as http:
        jobs = http.get("/jobs").json()["jobs"]
    assert [job["push"] for job in jobs].count(place.url("open/out/cli")) == 1


@pytest.mark.parametrize("option", ["--push", "--webhook", "--idempotency-key"])
def test_what_only_a_service_does(cli: Cli, option: str) -> None:
    ended = cli("compress", "tiny.onnx", option, "s3://somewhere/x")
    assert ended.status == 2
    assert f"{option} is for a job on a server" in ended.err
