"""Clients that let the service wait: a body of which nothing comes. Of a request that never begins, `wire` knows.

What comes at all, however slowly, is waited for. A proxy can ask for a speed as well.
"""

import asyncio
from collections.abc import AsyncGenerator

from starlette.requests import Request

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
