"""HEAD, which is GET without what follows the headers."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from sparsebook_service.addresses import methods

_HEAD = "sparsebook.head"


class HeadOfGet:
    """Answers HEAD wherever GET is answered, with GET's headers and nothing behind them (RFC 9110, section 9.3.2).

    An address with a HEAD of its own keeps it. Who would read or wait for what is not sent asks `is_head`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, as a GET where that is all there is; the server leaves the body of an answer to HEAD away."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            allowed = methods(scope)
            if "GET" in allowed and "HEAD" not in allowed:
                scope = {**scope, "method": "GET", _HEAD: True}
        await self._app(scope, receive, send)


def is_head(request: Request) -> bool:
    """Whether only the headers of an answer are asked for."""
    return bool(request.scope.get(_HEAD, False))
