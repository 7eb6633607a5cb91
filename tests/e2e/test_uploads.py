"""Uploads that go on where they were cut off."""

import asyncio
import base64
import hashlib
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from sparsebook_service import client as clients
from sparsebook_service.resumable import sending
from sparsebook_service.talking import opening
from tests.e2e import models
from tests.e2e.calls import PAPER, assert_problem, wait
from tests.e2e.servers import Server

TUS = {"Tus-Resumable": "1.0.0"}
CONTENT = models.mlp(64, 512, 512, 32, seed=5).SerializeToString()


def begin(http: httpx.Client, length: int, name: str = "large.onnx") -> str:
    metadata = f"filename {base64.b64encode(name.encode()).decode()}"
    headers = TUS | {"Upload-Length": str(length), "Upload-Metadata": metadata}
    answer = http.post("/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


def piece(
    http: httpx.Client, location: str, offset: int, content: bytes, **more: str
) -> httpx.Response:
    kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
    return http.patch(location, content=content, headers=TUS | kind | more)


def offset_of(http: httpx.Client, location: str) -> int:
    answer = http.head(location, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def job_of(http: httpx.Client, location: str, **options: Any) -> dict[str, Any]:
    upload_id = location.rsplit("/", 1)[-1]
    params = options.pop("params", {}) | {"upload": upload_id}
    answer = http.post("/compress", params=params, **options)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_metadata_without_a_value_comes_back(http: httpx.Client) -> None:
    for metadata in ("draft", f"filename {base64.b64encode(b'a.onnx').decode()},draft"):
        headers = TUS | {"Upload-Length": "4", "Upload-Metadata": metadata}
        location = http.post("/uploads", headers=headers).headers["Location"]
        answer = http.head(location, headers=TUS)
        assert answer.status_code == 200
        assert answer.headers["Upload-Metadata"] == metadata
        http.delete(location, headers=TUS)


def test_an_upload_becomes_jobs(http: httpx.Client) -> None:
    location = begin(http, len(CONTENT))
    half = len(CONTENT) // 2
    assert piece(http, location, 0, CONTENT[:half]).status_code == 204
    refused = http.post("/compress", params={"upload": location.rsplit("/", 1)[-1]})
    assert f"{half} of {len(CONTENT)}" in assert_problem(refused, 404, "unknown-upload")
    assert offset_of(http, location) == half
    assert piece(http, location, half, CONTENT[half:]).status_code == 204
    raw = wait(http, job_of(http, location)["id"])
    assert raw["state"] == "succeeded"
    facts = {"bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    assert raw["input"] == facts | {"name": "large.onnx"}
    form = job_of(http, location, files={"config": (None, PAPER["config"], "application/json")})
    assert wait(http, form["id"])["config"]["preset"] == "paper"
    assert http.delete(location, headers=TUS).status_code == 204
    gone = http.post("/compress", params={"upload": location.rsplit("/", 1)[-1]})
    assert_problem(gone, 404, "unknown-upload")
    assert http.get(f"/jobs/{raw['id']}/artifact").status_code == 200


def test_an_upload_survives_crashes_byte_for_byte(make_server: Any) -> None:
    server: Server = make_server()
    content = models.slow()
    with server.client() as http:
        location = begin(http, len(content), "slow.onnx")
    at, size = 0, 3 << 20
    for turn in range(2):
        stop = threading.Event()
        with server.client() as http:

            def send(http: httpx.Client = http, stop: threading.Event = stop) -> None:
                try:
                    at = offset_of(http, location)
                    while at < len(content) and not stop.is_set():
                        piece(http, location, at, content[at : at + size])
                        at += len(content[at : at + size])
                except httpx.TransportError:
                    return

            sender = threading.Thread(target=send)
            sender.start()
            while server.alive_bytes(location) <= at and sender.is_alive():
                time.sleep(0.01)
            time.sleep(0.02 * turn)
            server.kill()
            stop.set()
            sender.join()
        server.start()
        with server.client() as http:
            at = offset_of(http, location)
    with server.client() as http:
        while at < len(content):
            assert piece(http, location, at, content[at : at + size]).status_code == 204
            at = offset_of(http, location)
        job = job_of(http, location)
        assert job["input"]["sha256"] == hashlib.sha256(content).hexdigest()
        http.delete(f"/jobs/{job['id']}")


def test_what_is_refused(http: httpx.Client, server: Server) -> None:
    location = begin(http, len(CONTENT))
    assert_problem(piece(http, location, 7, b"late"), 409, "upload-conflict")
    assert_problem(piece(http, location, 0, bytes(9 << 20)), 413, "too-large")
    wrong = "sha256 " + base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    refused = piece(http, location, 0, b"piece", **{"Upload-Checksum": wrong})
    assert_problem(refused, 400, "digest-mismatch")
    empty = piece(http, location, 0, b"piece", **{"Upload-Checksum": ""})
    assert "Upload-Checksum" in assert_problem(empty, 400, "bad-value")
    packed = {"Content-Encoding": "gzip"}
    assert_problem(piece(http, location, 0, b"piece", **packed), 415, "unsupported-media-type")
    refused = http.post("/uploads", headers=TUS | packed | {"Upload-Length": "5"})
    assert_problem(refused, 415, "unsupported-media-type")
    assert offset_of(http, location) == 0
    assert_problem(http.patch("/uploads/nowhere", headers=TUS), 400, "bad-value")
    nowhere = "/uploads/00000000-0000-4000-8000-000000000000"
    assert_problem(piece(http, nowhere, 0, b"1"), 404, "unknown-upload")
    assert_problem(http.post("/uploads", headers=TUS), 400, "bad-value")
    assert_problem(http.post("/uploads", headers={"Upload-Length": "5"}), 400, "bad-value")
    other = {"Tus-Resumable": "0.2.2", "Upload-Length": "5"}
    refused = http.post("/uploads", headers=other)
    assert_problem(refused, 400, "malformed-request")
    assert refused.headers["Tus-Version"] == "1.0.0"
    too_much = http.post("/uploads", headers=TUS | {"Upload-Length": str(1 << 50)})
    assert_problem(too_much, 413, "too-large")
    evil = http.post("/compress", params={"upload": "../../sparsebook.sqlite"})
    assert_problem(evil, 404, "unknown-upload")
    both = http.post(
        "/compress",
        params={"upload": location.rsplit("/", 1)[-1]},
        content=CONTENT,
        headers={"Content-Type": "application/octet-stream"},
    )
    assert both.status_code == 404
    http.delete(location, headers=TUS)
    assert location.rsplit("/", 1)[-1] not in uploads_of(server)


def test_quota_and_expiry(make_server: Any) -> None:
    server: Server = make_server(max_pending_bytes=1000, upload_expiry_seconds=2)
    with server.client() as http:
        location = begin(http, 600)
        refused = http.post("/uploads", headers=TUS | {"Upload-Length": "600"})
        assert "600 bytes" in assert_problem(refused, 507, "uploads-full")
        time.sleep(2.1)
        assert_problem(piece(http, location, 0, b"late"), 404, "unknown-upload")


def test_the_client_sends_large_files_so_and_goes_on(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(opening, "RESUMED_FROM_BYTES", 50_000)
    monkeypatch.setattr(sending, "PIECE_BYTES", 300_000)
    model = tmp_path / "large.onnx"
    model.write_bytes(CONTENT)
    whole = sending.TusClient.upload_file

    def interrupted(self: Any, path: str, **options: Any) -> str:
        whole(self, path, stop_at=600_000, **options)
        raise KeyboardInterrupt

    with clients.Client(server.url) as client, server.client() as http:
        with monkeypatch.context() as patch:
            patch.setattr(sending.TusClient, "upload_file", interrupted)
            with pytest.raises(KeyboardInterrupt):
                client.compress(model)
        (location,) = (
            value
            for value in sending.notes().read_text().split('"')
            if "/uploads/" in value and " " not in value
        )
        before = offset_of(http, location)
        assert 0 < before < len(CONTENT)
        job = client.wait(client.compress(model).id)
        assert job.input.sha256 == hashlib.sha256(CONTENT).hexdigest()
        gone = http.head(location, headers=TUS)
        assert gone.status_code == 404, "the job has its own: nobody needs the upload any more"
        assert "/uploads/" not in sending.notes().read_text()
        monkeypatch.setattr(opening, "RESUMED_FROM_BYTES", 1 << 40)
        assert client.compress(model).cached_from is not None


def test_the_asynchronous_client_deletes_its_upload_too(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(opening, "RESUMED_FROM_BYTES", 50_000)
    model = tmp_path / "large.onnx"
    model.write_bytes(CONTENT)
    before = uploads_of(server)

    async def compress() -> str:
        async with clients.AsyncClient(server.url) as client:
            return (await client.compress(model)).input.sha256

    assert asyncio.run(compress()) == hashlib.sha256(CONTENT).hexdigest()
    assert uploads_of(server) == before


def test_a_body_longer_than_announced_is_refused(http: httpx.Client, server: Server) -> None:
    kind = {"Content-Type": "application/offset+octet-stream"}
    before = uploads_of(server)
    for content in (bytes(6), bytes(7 << 20)):
        answer = http.post("/uploads", headers=TUS | kind | {"Upload-Length": "5"}, content=content)
        assert "5 bytes" in assert_problem(answer, 413, "too-large")
        chunks = iter([content[:3], content[3:]])  # without a Content-Length
        answer = http.post("/uploads", headers=TUS | kind | {"Upload-Length": "5"}, content=chunks)
        assert_problem(answer, 413, "too-large")
    assert uploads_of(server) == before
    whole = http.post("/uploads", headers=TUS | kind | {"Upload-Length": "5"}, content=b"model")
    assert (whole.status_code, whole.headers["Upload-Offset"]) == (201, "5")
    location = whole.headers["Location"]
    (server.data_dir / "uploads" / location.rsplit("/", 1)[-1]).write_bytes(b"more than that")
    refused = http.post("/compress", params={"upload": location.rsplit("/", 1)[-1]})
    assert "14 bytes and was announced with 5" in assert_problem(refused, 404, "unknown-upload")
    http.delete(location, headers=TUS)


def uploads_of(server: Server) -> set[str]:
    return {path.name for path in (server.data_dir / "uploads").iterdir()}


def cut(server: Server, location: str, content: bytes, announced: int, *more: str) -> None:
    """Send a part of a piece, and hang up."""
    with socket.create_connection((httpx.URL(server.url).host, httpx.URL(server.url).port)) as line:
        lines = (
            f"PATCH {location} HTTP/1.1",
            "Host: 127.0.0.1",
            "Tus-Resumable: 1.0.0",
            "Content-Type: application/offset+octet-stream",
            "Upload-Offset: 0",
            f"Content-Length: {announced}",
            *more,
        )
        line.sendall("\r\n".join((*lines, "", "")).encode() + content)


def test_a_piece_that_is_cut_off_is_kept_as_far_as_it_came(
    http: httpx.Client, server: Server
) -> None:
    location = begin(http, len(CONTENT))
    cut(server, location, CONTENT[:300_000], 600_000)
    deadline = time.monotonic() + 60
    while offset_of(http, location) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert offset_of(http, location) == 300_000
    assert piece(http, location, 300_000, CONTENT[300_000:]).status_code == 204
    assert job_of(http, location)["input"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    http.delete(location, headers=TUS)
    checked = begin(http, len(CONTENT))
    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    cut(server, checked, CONTENT[:300_000], len(CONTENT), f"Upload-Checksum: sha256 {digest}")
    whole = piece(http, checked, 0, CONTENT, **{"Upload-Checksum": f"sha256 {digest}"})
    assert whole.status_code == 204
    http.delete(checked, headers=TUS)
    assert not [line for line in server.log() if line["level"] in {"error", "critical"}]


def test_bodies_and_heads_that_do_not_arrive(make_server: Any) -> None:
    server: Server = make_server(body_idle_seconds=0.5, header_seconds=0.5)
    with server.client() as http:
        location = begin(http, len(CONTENT))
    begun = (
        (
            f"PATCH {location} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
            "Content-Type: application/offset+octet-stream\r\nContent-Length: 1000\r\n\r\nbytes"
        ),
        "POST /compress HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nbytes",
        (
            "POST /compress HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b"
        ),
    )
    for request in begun:
        answer = whole_answer(server, request)
        assert answer.startswith("HTTP/1.1 408 "), answer
        assert "/problems/body-timeout" in answer
        assert "connection: close" in answer.lower()
    for half in ("", "GET /healthz HTTP/1.1\r\nHost: 127"):
        assert whole_answer(server, half) == ""
    whole = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    assert whole_answer(server, whole + "GET /heal").startswith("HTTP/1.1 200 ")
    assert server.files() == set()


def whole_answer(server: Server, request: str) -> str:
    """All that comes until the service closes the connection."""
    host, port = httpx.URL(server.url).host, httpx.URL(server.url).port
    with socket.create_connection((host, port), timeout=60) as line:
        line.sendall(request.encode())
        found = b""
        while chunk := line.recv(65536):
            found += chunk
    return found.decode()


def test_no_body_is_read_where_none_belongs(http: httpx.Client, server: Server) -> None:
    for method, path in (("OPTIONS", "/uploads"), ("HEAD", begin(http, 10))):
        request = f"{method} {path} HTTP/1.1\r\nHost: {httpx.URL(server.url).netloc.decode()}\r\n"
        request += "Tus-Resumable: 1.0.0\r\nConnection: close\r\nContent-Length: 8000000\r\n\r\n"
        assert whole_answer(server, request).startswith("HTTP/1.1 20")


def test_uploads_that_do_not_go_on_are_removed(make_server: Any) -> None:
    server: Server = make_server(upload_idle_seconds=1)
    with server.client() as http:
        whole, begun = begin(http, 4), begin(http, 600)
        assert piece(http, whole, 0, b"done").status_code == 204
        deadline = time.monotonic() + 60
        while http.head(begun, headers=TUS).status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert_problem(piece(http, begun, 0, b"late"), 404, "unknown-upload")
        assert offset_of(http, whole) == 4
