"""Runs the application on uvicorn."""

import os
import signal
import socket
import sys
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from sparsebook_compressor.errors import BadValue
from sparsebook_service import logs
from sparsebook_service.app import create_app
from sparsebook_service.claim import claim
from sparsebook_service.services import Services
from sparsebook_service.settings import Settings
from sparsebook_service.version import VERSION

# Uploads and downloads that are under way at SIGTERM may go on for so long.
GRACE_SECONDS = 10

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
                log.info(
                    "listening",
                    url=_url(*listening.getsockname()[:2]),
                    data_dir=str(self._settings.data_dir.resolve()),
                    version=VERSION,
                )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Wake the waiting requests, so that the connections can end."""
        services: Services | None = getattr(self._app.state, "services", None)
        if services is not None:
            services.bell.close()
        super().handle_exit(sig, frame)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        BadValue: the address cannot be listened on, or the data folder cannot be used.
        KeyboardInterrupt: after SIGINT, when everything is closed.
    """
    with _listen(settings.host, settings.port) as listening, claim(settings.data_dir):
        logs.configure(settings.log_format, settings.log_level)
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        # uvicorn raises the signal again when it is done: SIGTERM then means a clean end.
        signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
        Server(config, app, settings).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        # create_server adds the address to `strerror`, which the message has already.
        reason = error.strerror
        if error.errno is not None and not isinstance(error, socket.gaierror):
            reason = os.strerror(error.errno)
        raise BadValue(
            f"cannot listen on {host}:{port}: {reason}; choose another --host or --port"
        ) from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
