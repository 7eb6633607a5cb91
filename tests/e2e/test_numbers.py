"""Numbers in headers and parameters, and what is said twice: every part of the service must take a request for the same."""

import socket
from typing import Any

import httpx
import pytest

from tests.e2e.calls import BYTES, OCTETS, assert_problem, connect
from tests.e2e.servers import Server
from tests.e2e.test_uploads import TUS, begin, offset_of, uploads_of

# Python's int(), and pydantic's, take each of them for a number.
WRITTEN = ("+10", "1_0", "10.0", "\u0661\u0660", "\uff11\uff10", "\xa010", "1 0", "0x10", "1e1", "")
PIECES = {"Content-Type": "application/offset+octet-stream"}


@pytest.mark.parametrize("written", WRITTEN)
def test_a_whole_number_is_digits(http: httpx.Client, server: Server, written: str) -> None:
    sent: Any = written.encode()
    before, location = uploads_of(server), begin(http, 20)
    wanted = {
        "Upload-Length": http.post("/uploads", headers=TUS | {"Upload-Length": sent}),
        "Upload-Offset": http.patch(
            location, headers=TUS | PIECES | {"Upload-Offset": sent}, content=b"x"
        ),
        "Last-Event-ID": http.get("/jobs/nobody/events", headers={"Last-Event-ID": sent}),
        "limit": http.get("/jobs", params={"limit": written}),
    }
    for name, answer in wanted.items():
        assert name.lower() in assert_problem(answer, 400, "bad-value")
    assert offset_of(http, location) == 0
    http.delete(location, headers=TUS)
    assert uploads_of(server) == before


def test_blanks_of_other_alphabets_in_a_header(http: httpx.Client, server: Server) -> None:
    # As Latin-1, which headers are read as, this is a blank that cannot be broken.
    answer = http.post("/uploads", headers=[*TUS.items(), ("Upload-Length", b"\xa010")])
    assert "digits" in assert_problem(answer, 400, "bad-value")


@pytest.mark.parametrize("written", ["+1", "1_0", "\u0661", " 1", "1.", ".5", "0x1", "nan", "inf"])
def test_a_number_is_as_json_has_it(http: httpx.Client, done: dict[str, Any], written: str) -> None:
    answer = http.post("/compress", params={"deadline": written}, content=BYTES, headers=OCTETS)
    assert "deadline" in assert_problem(answer, 400, "bad-value")
    answer = http.get(f"/jobs/{done['id']}", params={"wait": written})
    assert "wait" in assert_problem(answer, 400, "bad-value")


def test_other_ways_to_write_a_number_stay(http: httpx.Client, done: dict[str, Any]) -> None:
    for written in ("0", "1.5", "1e-3", "2.5E+1", "007"):
        assert http.get(f"/jobs/{done['id']}", params={"wait": written}).status_code == 200
    for written in ("1", "007", "200"):
        assert http.get("/jobs", params={"limit": written}).status_code == 200


@pytest.mark.parametrize("lengths", [("10", "4000000000"), ("4000000000", "10"), ("10", "10")])
def test_an_upload_has_one_length(
    http: httpx.Client, server: Server, lengths: tuple[str, str]
) -> None:
    """Room was kept for the first of two, and the upload had the last."""
    before = uploads_of(server)
    headers = [*TUS.items(), *(("Upload-Length", each) for each in lengths)]
    answer = http.post("/uploads", headers=headers)
    assert "upload-length is given twice" in assert_problem(answer, 400, "bad-value")
    assert uploads_of(server) == before


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Idempotency-Key",
        "Last-Event-ID",
        "Content-Type",
        "Upload-Checksum",
        "Range",
    ],
)
def test_a_header_that_is_one_thing_comes_once(http: httpx.Client, name: str) -> None:
    answer = http.get("/jobs", headers=[(name, "1"), (name, "2")])
    assert f"{name.lower()} is given twice" in assert_problem(answer, 400, "bad-value")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_header_that_is_a_list_may_come_in_lines(http: httpx.Client) -> None:
    headers = [("Accept", "application/json"), ("Accept", "text/html"), ("X-Forwarded-For", "::1")]
    assert http.get("/jobs", headers=[*headers, ("X-Forwarded-For", "::2")]).status_code == 200


@pytest.mark.parametrize("query", ["limit=1&limit=2", "state=queued&state=queued", "x=1&%78=2"])
def test_a_parameter_comes_once(http: httpx.Client, query: str) -> None:
    assert "is given twice" in assert_problem(http.get(f"/jobs?{query}"), 400, "bad-value")


def test_a_body_that_comes_with_what_is_refused(server: Server, http: httpx.Client) -> None:
    """The answer comes at once, and what follows on the connection is not taken for a request."""
    smuggled = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    request = (
        "POST /compress?name=a.onnx&name=b.onnx HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Length: {len(smuggled)}\r\n\r\n{smuggled}"
    )
    with connect(server) as line:
        line.sendall(request.encode())
        line.shutdown(socket.SHUT_WR)
        found = b""
        while chunk := line.recv(65536):
            found += chunk
    assert found.startswith(b"HTTP/1.1 400 "), found
    assert found.count(b"HTTP/1.1 ") == 1
    assert http.get("/healthz").status_code == 200
