from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import models
from tests.e2e.calls import BYTES, submit, wait
from tests.e2e.commands import Cli
from tests.e2e.servers import Server

MakeServer = Callable[..., Server]


def starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeServer]:
    """Starts servers with settings; all are stopped at the end."""
    started: list[Server] = []

    def make(*, largest_file: int | None = None, **settings: int | str | Path) -> Server:
        folder: Path = tmp_path_factory.mktemp("server")
        server = Server(folder, largest_file=largest_file, **settings)
        started.append(server)
        return server.start()

    yield make
    for server in started:
        server.terminate()
    for server in started:
        server.stop()


# A server that nobody asks polls its queues all the same: those of a file end with it.
make_server = pytest.fixture(scope="module", name="make_server")(starting)
make_lasting_server = pytest.fixture(scope="session", name="make_lasting_server")(starting)


@pytest.fixture(scope="session")
def server(make_lasting_server: MakeServer) -> Server:
    """One server with the default settings for all tests that do not harm it."""
    return make_lasting_server()


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="session")
def done(server: Server) -> Iterator[dict[str, Any]]:
    """A job that has succeeded."""
    with server.client() as http:
        yield wait(http, submit(http, BYTES, params={"name": "tiny.onnx"})["id"])


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.onnx").write_bytes(models.small())
    return Cli(monkeypatch, capsys, tmp_path)
