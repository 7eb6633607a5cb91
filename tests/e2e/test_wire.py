"""What comes below the application: HEAD, and bytes that are no request."""

import json
import socket
from typing import Any

import httpx
import pytest

from tests.e2e.calls import BYTES, assert_problem
from tests.e2e.servers import Server

# They differ from one answer to the next, or belong to the connection.
VARYING = {"date", "transfer-encoding"}


def kept(headers: httpx.Headers) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in VARYING}


# ------------------------------------------------------------------------------------------------- HEAD


@pytest.mark.parametrize(
    "path",
    ["", "/artifact", "/artifact/model.onnx", "/report", "/events"],
)
def test_head_of_a_job_is_get_without_a_body(
    http: httpx.Client, done: dict[str, Any], path: str
) -> None:
    address = f"/jobs/{done['id']}{path}"
    got, head = http.get(address), http.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert kept(head.headers) == kept(got.headers)


@pytest.mark.parametrize(
    "path", ["/healthz", "/runtime", "/jobs", "/problems/not-onnx", "/openapi.json", "/docs", "/"]
)
def test_head_of_others(http: httpx.Client, path: str) -> None:
    got, head = http.get(path), http.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"") == (200, b"")
    assert kept(head.headers) == kept(got.headers)


def test_head_says_how_large_a_file_is(http: httpx.Client, done: dict[str, Any]) -> None:
    (model,) = [file for file in done["result"]["files"] if file["name"] == "model.onnx"]
    head = http.head(model["href"])
    assert int(head.headers["content-length"]) == model["bytes"]
    assert head.headers["etag"] == f'"{model["sha256"]}"'
    assert http.head(model["href"], headers={"If-None-Match": "*"}).status_code == 304


def test_head_knows_no_ranges(http: httpx.Client, done: dict[str, Any]) -> None:
    address = f"/jobs/{done['id']}/artifact"
    ranges = [{"Range": "bytes=0-9"}, {"Range": "bytes=999999999999-"}]
    for headers in ranges:
        head = http.head(address, headers=headers)
        assert head.status_code == 200
        assert "content-range" not in head.headers


def test_head_of_a_running_job_s_events_ends(http: httpx.Client) -> None:
    job = http.post(
        "/compress", content=BYTES, headers={"Content-Type": "application/octet-stream"}
    ).json()
    head = http.head(f"/jobs/{job['id']}/events")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


def test_head_of_what_is_not_there(http: httpx.Client) -> None:
    assert http.head("/jobs/none").status_code == 404
    assert http.head("/nowhere").status_code == 404


def test_head_of_what_cannot_be_got(http: httpx.Client) -> None:
    head = http.head("/compress")
    assert (head.status_code, head.headers["allow"]) == (405, "POST")
    refused = http.put("/jobs/none")
    assert_problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "DELETE, GET, HEAD"


# ----------------------------------------------------------------------------------------- no requests


def say(server: Server, said: bytes) -> tuple[int, httpx.Headers, bytes]:
    """The only answer to some bytes, and that the connection ends behind it."""
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout=20) as connection:
        connection.sendall(said)
        heard = b""
        while chunk := connection.recv(1 << 16):
            heard += chunk
    head, _, body = heard.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return (
        int(first.split(" ")[1]),
        httpx.Headers([tuple(each.split(": ", 1)) for each in lines]),
        body,
    )


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n",  # TLS
        b"GET / HTTP/9.9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",  # no Host
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nno header\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /compress HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % "ä".encode(),
    ],
)  # fmt: skip
def test_what_is_no_request_is_a_problem(server: Server, said: bytes) -> None:
    status, headers, body = say(server, said)
    problem = json.loads(body)
    assert (status, problem["status"], problem["type"]) == (400, 400, "/problems/malformed-request")
    assert "HTTP/1.1" in problem["detail"]
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("part", [b"GET /%s HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nCookie: %s\r\n"])
def test_a_head_without_end_is_a_problem(server: Server, part: bytes) -> None:
    status, headers, body = say(server, part % (b"a" * (1 << 17)))
    assert (status, json.loads(body)["type"]) == (431, "/problems/headers-too-large")
    assert headers["content-type"] == "application/problem+json"


def test_a_body_that_goes_wrong_is_a_problem(server: Server) -> None:
    head = (
        b"POST /compress HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/octet-stream\r\n\r\n"
    )
    status, _, body = say(server, head + b"5\r\nhello\r\nnonsense\r\n")
    assert (status, json.loads(body)["type"]) == (400, "/problems/malformed-request")


def test_the_service_goes_on(server: Server, http: httpx.Client) -> None:
    assert http.get("/readyz").json() == {"status": "ready"}
    assert not [line for line in server.log() if line["level"] == "error"]
