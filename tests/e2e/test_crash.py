"""Nothing that was accepted is lost."""

import signal
import time
from typing import Any

from tests.e2e import models
from tests.e2e.calls import BYTES, PAPER, connect, submit, wait, wait_until_busy
from tests.e2e.servers import Server


def test_jobs_survive_a_crash_and_a_stop(make_server: Any) -> None:
    server: Server = make_server()
    content = models.slow()
    with server.client() as http:
        running = submit(http, content, params=PAPER)["id"]
        queued = [submit(http, BYTES)["id"] for _ in range(2)]
        wait_until_busy(http, running)
    orphans = server.job_processes()
    assert orphans
    server.kill()
    for orphan in orphans:
        orphan.wait(timeout=60)
    server.start()
    with server.client() as http, connect(server) as waiting:
        waiting.sendall(f"GET /jobs/{running}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_until_busy(http, running)
        assert server.stop() == 0
        assert waiting.recv(100).startswith(b"HTTP/1.1 200")
    assert not list((server.data_dir / "work").iterdir())
    server.start()
    with server.client() as http:
        jobs = [wait(http, job_id) for job_id in (running, *queued)]
        assert [job["state"] for job in jobs] == ["succeeded"] * 3
        fresh = {"Cache-Control": "no-cache"}
        undisturbed = wait(http, submit(http, content, params=PAPER, headers=fresh)["id"])
        files = [
            {file["name"]: file["sha256"] for file in job["result"]["files"]}
            for job in (jobs[0], undisturbed)
        ]
        assert files[0]["model.onnx"] == files[1]["model.onnx"]
        assert not [name for name in server.files() if "input" in name or "work" in name]


def test_asked_twice_the_service_cuts_what_is_under_way(make_server: Any) -> None:
    server: Server = make_server()
    with connect(server) as upload:
        upload.sendall(
            b"POST /compress HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Length: 50000000\r\n\r\n" + bytes(30_000_000)
        )
        deadline = time.monotonic() + 60
        while not server.files() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert server.files()
        server.terminate()
        time.sleep(0.5)  # the first signal has been handled by then; it waits for the upload
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)
        assert server.stop() == 0
        assert upload.recv(100).startswith(b"HTTP/1.1 503")
    log = server.log()
    assert [line["path"] for line in log if line["event"] == "request cut by the stop"] == [
        "/compress"
    ]
    assert not [line for line in log if line["level"] == "error"]
    assert server.files() == set()
