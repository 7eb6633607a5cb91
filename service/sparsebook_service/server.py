"""Runs the application on uvicorn."""

import signal
import socket
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from sparsebook_compressor.errors import BadValue
from sparsebook_service import logs, wire
from sparsebook_service.access import exposure
from sparsebook_service.app import create_app
from sparsebook_service.claim import claim
from sparsebook_service.database import open_database
from sparsebook_service.leaving import leave, stop_on_hangup
from sparsebook_service.middleware import CutShort
from sparsebook_service.s3 import open_storage
from sparsebook_service.services import Services
from sparsebook_service.settings import Settings
from sparsebook_service.version import VERSION

# Uploads and downloads that are under way at SIGTERM may go on for so long.
GRACE_SECONDS = 10
BACKLOG = 2048

log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """A uvicorn that says where it listens, and that answers waiting requests when it is told to stop."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, settings: Settings) -> None:
        super().__init__(config)
        self._app = app
        self._settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then log the address."""
        await super().startup(sockets)
        for server in self.servers if self.started else []:
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                _warn_of_access(self._app.state.services, host)
                log.info(
                    "listening",
                    url=_url(host, port),
                    data_dir=str(self._settings.data_dir.resolve()),
                    version=VERSION,
                )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Wake the waiting requests, so that the connections can end; asked again, cut what is under way."""
        services: Services | None = getattr(self._app.state, "services", None)
        if services is not None:
            services.bell.close()
        if self.should_exit:
            for request in list(self.server_state.tasks):
                request.get_loop().call_soon_threadsafe(request.cancel)
        else:
            super().handle_exit(sig, frame)


def _warn_of_access(services: Services, host: str) -> None:
    access = services.settings.access
    if access == "anyone" and not exposure.is_loopback(host):
        log.warning(
            "ANYBODY who reaches this address may send, read and delete every job: no API keys are asked for",
            host=host,
        )
    if access == "keys" and not services.doorkeeper.knows_anybody():
        log.warning("no API key is active: make one with `sparsebook keys create`")


def run(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP.

    Raises:
        BadValue: the address cannot be listened on, or not without API keys, or the data folder, the database or the bucket cannot be
            used.
    """
    with _listen(settings) as listening, claim(settings.data_dir):
        logs.configure(settings.log_format, settings.log_level)
        # Said in one line here; in the application it would be a fault with a traceback.
        open_database(settings.database_url, settings.database_file).dispose()
        open_storage(settings)
        app = create_app(settings)
        config = uvicorn.Config(
            CutShort(app),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            http=wire.protocol(settings.header_seconds),
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        # uvicorn raises the signal again when it is done: a stop that was asked for is a clean end.
        for asked in (signal.SIGTERM, signal.SIGINT):
            signal.signal(asked, lambda _signal, _frame: leave())
        stop_on_hangup()
        Server(config, app, settings).run(sockets=[listening])


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.host, settings.port
    listening: socket.socket | None = None
    try:
        # The protocol must be spelt out: asyncio turns Nagle's algorithm off only on sockets that name it, and with it
        # on every answer on a kept connection waits 40 ms for the client's acknowledgement.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        exposure.check_address(str(address[0]), settings.access)
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise BadValue(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --host or --port"
        ) from error
    return listening


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
