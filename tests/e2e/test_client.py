"""The clients against a service that is killed and comes back, and against one that is not ready."""

import asyncio
import http.server
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from sparsebook_compressor.config import Config
from sparsebook_service.client import AsyncClient, Client, ServiceProblem, Unreachable
from sparsebook_service.jobs.schemas import Job
from tests.e2e import models
from tests.e2e.calls import BYTES
from tests.e2e.servers import Server

PAPER = Config.parse({"preset": "paper"})


SEEDS = itertools.count()


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """Each time another one: no earlier job's result stands for it."""
    path = tmp_path / "slow.onnx"
    path.write_bytes(models.slow(next(SEEDS)))
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(BYTES)
    return path


@pytest.fixture(scope="module")
def crashing(make_server: Any) -> Server:
    """A server that tests kill, and start again where it was."""
    return make_server()


class Crash:
    """Kills a server when a job has come so far, and starts it again where it was."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._starting: threading.Thread | None = None
        self.seen: list[float] = []

    def look(self, job: Job) -> None:
        self.seen.append(job.progress)
        if job.weight and self._starting is None:
            self._server.kill()
            self._starting = threading.Thread(target=self._server.start, kwargs={"again": True})
            self._starting.start()

    def over(self) -> None:
        assert self._starting is not None, "the job ended before the crash"
        self._starting.join()


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def jobs(server: Server) -> list[dict[str, Any]]:
    with server.client() as http:
        return http.get("/jobs").json()["jobs"]


def test_a_crash_of_the_service_passes(crashing: Server, slow: Path, tmp_path: Path) -> None:
    server, before = crashing, jobs(crashing)
    crash = Crash(server)
    told: list[float] = []
    with Client(server.url, notice=lambda _, seconds: told.append(seconds)) as client:
        job = client.compress(slow, config=PAPER)
        done = client.wait(job.id, crash.look)
        crash.over()
        assert told
        assert (done.id, done.state) == (job.id, "succeeded")
        assert len(crash.seen) > 2
        kinds = [event.kind for event in client.events(job.id)]
        assert kinds.count("started") == 2
        client.download(done, tmp_path / "bundle")
        assert done.result is not None
        assert set(files(tmp_path / "bundle")) == {file.name for file in done.result.files}
    assert [found["id"] for found in jobs(server)] == [job.id, *(found["id"] for found in before)]


def test_a_crash_passes_for_asyncio_too(crashing: Server, slow: Path, tmp_path: Path) -> None:
    server, before = crashing, jobs(crashing)
    crash = Crash(server)

    async def work() -> Job:
        async with AsyncClient(server.url) as client:
            job = await client.compress(slow, config=PAPER)
            done = await client.wait(job.id, crash.look)
            await client.download(done, tmp_path / "bundle")
            assert json.loads(await client.report(job.id))["ratio"] > 1
            with pytest.raises(ServiceProblem) as failed:
                await client.job("nobody")
            assert failed.value.slug == "unknown-job"
            assert await client.wait(job.id) == done
            assert (await client.cancel(job.id)).state == "succeeded"
            await client.delete(job.id)
            return done

    done = asyncio.run(work())
    crash.over()
    assert done.result is not None
    assert {file.name for file in done.result.files} == set(files(tmp_path / "bundle"))
    assert jobs(server) == before


def test_a_long_poll_outlives_a_crash(crashing: Server, slow: Path) -> None:
    with Client(crashing.url) as client:
        job = client.compress(slow, config=PAPER)
        killing = threading.Timer(1, lambda: (crashing.kill(), crashing.start(again=True)))
        killing.start()
        assert client.wait(job.id).state == "succeeded"
        killing.join()


def test_a_job_that_fails_says_why(server: Server, tmp_path: Path) -> None:
    (tmp_path / "nan.onnx").write_bytes(models.with_nan())
    with Client(server.url) as client:
        job = client.compress(tmp_path / "nan.onnx")
        seen: list[str] = []
        with pytest.raises(ServiceProblem) as failed:
            client.wait(job.id, lambda now: seen.append(now.state))
        assert (failed.value.slug, seen[-1]) == ("not-finite", "failed")


# ------------------------------------------------------- a proxy that does to answers what networks do to them


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on to a service, and harms the answers as `harm` says: path -> one harm for each request, in turn."""

    daemon_threads = True

    def __init__(self, url: str, harm: dict[str, list[str]]) -> None:
        self.url, self.harm, self.asked = url, harm, list[tuple[str, str | None]]()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Proxy

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.server.asked.append((self.path, self.headers.get("Range")))
        harms = self.server.harm.get(self.path.split("?")[0], [])
        harm = harms.pop(0) if harms else ""
        if harm.isdecimal():
            self.send_response(int(harm))
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        answer = httpx.request(
            self.command, self.server.url + self.path, content=body, headers=headers, timeout=90
        )
        content = answer.content
        if harm == "lost":
            self.close_connection = True
            return
        if harm == "damaged":
            content = bytes([content[0] ^ 1]) + content[1:]
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if harm == "cut" else content)
        self.close_connection = harm == "cut"

    do_GET = do_POST = do_DELETE = _pass  # noqa: N815 - names that http.server looks for

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


_HOP = {"connection", "content-length", "host", "transfer-encoding", "date", "server"}


@contextmanager
def proxy(server: Server, harm: dict[str, list[str]]) -> Iterator[tuple[str, Proxy]]:
    with Proxy(server.url, harm) as between:
        thread = threading.Thread(target=between.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{between.server_port}", between
        finally:
            between.shutdown()
            thread.join()


def test_an_upload_whose_answer_is_lost_makes_one_job(make_server: Any, tiny: Path) -> None:
    server: Server = make_server()
    harm = {"/compress": ["503", "lost", "429", "502", ""]}
    with proxy(server, harm) as (url, between), Client(url) as client:
        job = client.compress(tiny)
        assert [path for path, _ in between.asked] == ["/compress"] * 5
        assert [found["id"] for found in jobs(server)] == [job.id]
        assert client.wait(job.id).state == "succeeded"
        again = client.compress(tiny)
        assert again.id != job.id
        harm[f"/jobs/{job.id}"] = ["lost"]
        client.delete(job.id)
        harm[f"/jobs/{job.id}"] = ["504"]
        with pytest.raises(ServiceProblem):
            client.delete("nobody")


def test_a_download_goes_on_where_it_broke_off(
    server: Server, done: dict[str, Any], tmp_path: Path
) -> None:
    job = Job.model_validate(done)
    assert job.result is not None
    with Client(server.url) as client:
        client.download(job, tmp_path / "undisturbed")
    file = next(file for file in job.result.files if file.name == "model.onnx")
    harm = {file.href: ["cut", "503", "cut", ""]}
    with proxy(server, harm) as (url, between), Client(url) as client:
        client.download(job, tmp_path / "disturbed")
    asked = [found for path, found in between.asked if path == file.href]
    half, rest = file.bytes // 2, file.bytes - file.bytes // 2
    assert asked == [None, f"bytes={half}-", f"bytes={half}-", f"bytes={half + rest // 2}-"]
    assert files(tmp_path / "disturbed") == files(tmp_path / "undisturbed")


def test_damage_on_the_way_is_found(server: Server, done: dict[str, Any], tmp_path: Path) -> None:
    job = Job.model_validate(done)
    harm = {f"/jobs/{job.id}/artifact/model.onnx": ["damaged", "", "damaged", "cut", "damaged"]}
    with proxy(server, harm) as (url, _), Client(url) as client:
        client.download(job, tmp_path / "once")
        with pytest.raises(Unreachable, match=r"model\.onnx arrived damaged"):
            client.download(job, tmp_path / "twice")
    assert not (tmp_path / "twice").exists()


@pytest.mark.parametrize("patience", [0, 1])
def test_patience_ends(patience: float, tiny: Path) -> None:
    told: list[float] = []
    client = Client("http://127.0.0.1:9", patience=patience, notice=lambda _, s: told.append(s))
    with client, pytest.raises(Unreachable, match="sparsebook serve"):
        client.compress(tiny)
    assert sum(told) <= patience
    assert bool(told) == bool(patience)
