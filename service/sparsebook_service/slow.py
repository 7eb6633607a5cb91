"""Clients that let the service wait: a body of which nothing comes, and the head of a request that never ends.

What comes at all, however slowly, is waited for. A proxy can ask for a speed as well.
"""

import asyncio
from collections.abc import AsyncGenerator

from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from sparsebook_service.errors import SlowBody


async def arriving(request: Request, seconds: float) -> AsyncGenerator[bytes]:
    """The body as it arrives.

    Args:
        request: whose body it is.
        seconds: after which, without a byte, nobody waits for it any more.

    Raises:
        SlowBody: nothing came for so long.
        ClientDisconnect: the client went away.
    """
    chunks = request.stream()
    while True:
        try:
            async with asyncio.timeout(seconds):
                chunk = await anext(chunks, None)
        except TimeoutError as error:
            raise SlowBody(f"nothing of the body has come for {seconds:g} seconds") from error
        if chunk is None:
            return
        if chunk:
            yield chunk


def protocol(seconds: float) -> type[H11Protocol]:
    """Uvicorn's protocol, which closes connections that begin no request within so many seconds; uvicorn itself waits for ever."""

    class Protocol(H11Protocol):
        _limit: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._in_request():
                self._forget()
            else:
                self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _in_request(self) -> bool:
            # None before the first request, whatever its type says.
            return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]

        def _await_head(self) -> None:
            # Not moved by what comes meanwhile, or a byte now and then would keep it open.
            if self._limit is None:
                self._limit = self.loop.call_later(seconds, self._give_up)

        def _forget(self) -> None:
            if self._limit is not None:
                self._limit.cancel()
                self._limit = None

        def _give_up(self) -> None:
            self._limit = None
            if not self._in_request():
                self.transport.close()

    return Protocol
