"""Connections below the application: those on which no request begins, and what comes on them that is no request."""

import asyncio
import sys
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sparsebook_service import problems
from sparsebook_service.errors import ProblemResponse
from sparsebook_service.schemas import Problem

# A connection that is closed with something unread on it is reset, and the answer with it may be lost: what still comes is read so long
# and thrown away (RFC 9112, section 9.6).
LINGER_SECONDS = 2.0


def protocol(seconds: float) -> type[H11Protocol]:
    """Uvicorn's protocol, with an end to its patience, and with problems for what it cannot read.

    Args:
        seconds: after which a connection is closed on which no request has begun; uvicorn itself waits for ever.
    """

    class Protocol(H11Protocol):
        _limit: asyncio.TimerHandle | None = None
        _refused = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_head()

        def data_received(self, data: bytes) -> None:
            if self._refused:
                return
            super().data_received(data)
            if self._in_request():
                self._forget()
            else:
                self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            # Uvicorn calls it while it handles the fault, of which its own words say nothing.
            fault = sys.exception()
            # A body that goes wrong when its answer has begun gets no second one.
            if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
                self.transport.close()
                return
            self._refused = True
            self.transport.write(self._told(_described(fault, msg)))
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.loop.call_later(LINGER_SECONDS, self.transport.close)

        def _told(self, problem: Problem) -> bytes:
            answer = ProblemResponse(problem, {"Connection": "close"})
            reason = HTTPStatus(answer.status_code).phrase.encode()
            head = h11.Response(
                status_code=answer.status_code, headers=answer.raw_headers, reason=reason
            )
            parts = (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage())
            return b"".join(self.conn.send(part) or b"" for part in parts)

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


def _described(fault: BaseException | None, otherwise: str) -> Problem:
    if not isinstance(fault, h11.RemoteProtocolError):
        return problems.describe("malformed-request", otherwise)
    if fault.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        detail = "the request line and the headers have no end within what is read of them"
        return problems.describe("headers-too-large", detail)
    return problems.describe("malformed-request", f"this is no HTTP/1.1 request: {fault}")
