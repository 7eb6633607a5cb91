from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.servers import Server

MakeServer = Callable[..., Server]


@pytest.fixture(scope="session")
def make_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeServer]:
    """Starts servers with settings; all are stopped at the end."""
    started: list[Server] = []

    def make(**settings: int) -> Server:
        folder: Path = tmp_path_factory.mktemp("server")
        server = Server(folder, **settings)
        started.append(server)
        return server.start()

    yield make
    for server in started:
        server.terminate()
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def server(make_server: MakeServer) -> Server:
    """One server with the default settings for all tests that do not harm it."""
    return make_server()


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client
