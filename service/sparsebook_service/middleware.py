"""What surrounds every answer: what no request may say twice, headers that each one carries, and an end for those that a stop of the service cuts."""

import asyncio
from collections import Counter

import structlog
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sparsebook_service import problems, secure
from sparsebook_service.errors import NOT_READY_SECONDS, ProblemResponse

# Of each of these a request means one thing. Others are lists, whose lines belong together, or nobody here reads them.
_SINGLE_HEADERS = frozenset(
    {
        "authorization",
        "content-encoding",
        "content-type",
        "idempotency-key",
        "last-event-id",
        "range",
        "tus-resumable",
        "upload-checksum",
        "upload-length",
        "upload-metadata",
        "upload-offset",
    }
)


class SaidOnce:
    """Refuses a request that says the same twice: of two values one part of the service would take the first, another the last."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400."""
        twice = _said_twice(scope) if scope["type"] == "http" else None
        if twice is None:
            await self._app(scope, receive, send)
            return
        detail = f"{twice} is given twice: send it once"
        problem = problems.describe("bad-value", detail, Request(scope).url.path)
        await ProblemResponse(problem)(scope, receive, send)


def _said_twice(scope: Scope) -> str | None:
    headers = Counter(Headers(scope=scope).keys())
    for name in sorted(_SINGLE_HEADERS):
        if headers[name] > 1:
            return f"the header {name}"
    query = scope["query_string"]
    for name, times in Counter(name for name, _ in QueryParams(query).multi_items()).items():
        if times > 1:
            return f"the parameter {name[:80]!r}"
    return None


class SecurityHeaders:
    """Gives every answer the headers of `secure`, unless it says otherwise itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add the headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in secure.headers().items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class CutShort:
    """Ends requests that the server cancels because it stops: with an answer, where none has begun.

    It must be outermost, so that nothing around it takes the cancellation for a fault of the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            path = Request(scope).url.path
            structlog.get_logger(__name__).warning("request cut by the stop", path=path)
            if not begun:
                problem = problems.describe("not-ready", "the service is stopping", path)
                headers = {"Retry-After": str(NOT_READY_SECONDS)}
                await ProblemResponse(problem, headers)(scope, receive, send)
