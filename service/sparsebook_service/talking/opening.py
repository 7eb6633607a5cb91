"""How a client opens its connection: how long it waits, as whom it asks, and what goes up before a request."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from sparsebook_compressor.errors import BadValue
from sparsebook_service.talking import calls
from sparsebook_service.talking.faults import translated

if TYPE_CHECKING:
    from sparsebook_service.resumable.sending import Sent

# A connection must come about soon; an upload or a long poll may take its time between two bytes.
TIMEOUT = httpx.Timeout(90, connect=10)
LONG_POLL_SECONDS = 30
# A larger model goes up in pieces, and goes on where an earlier call was interrupted.
RESUMED_FROM_BYTES = 64 << 20
PATIENCE_SECONDS = 60.0


def uploaded(url: str, headers: httpx.Headers, model: Path) -> "Sent | None":
    """Send a large model piece by piece; None for one that goes with the request."""
    with translated(url):
        return calls.uploaded(url, model, dict(headers), RESUMED_FROM_BYTES)


def authorization(api_key: str | None) -> dict[str, str]:
    """The header with a key; none without one.

    Raises:
        BadValue: it cannot be a key.
    """
    key = (api_key or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadValue("the API key has characters that no key has: copy it again, as it was shown")
    return {"Authorization": f"Bearer {key}"} if key else {}


@contextlib.contextmanager
def checked(url: str) -> Iterator[None]:
    """Open a connection; raises BadValue where the URL is none."""
    try:
        yield
    except (httpx.InvalidURL, ValueError) as error:
        raise BadValue(f"the server's address {url!r} is not a URL: {error}") from error
