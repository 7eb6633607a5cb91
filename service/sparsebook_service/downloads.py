"""Serves a file: whole or a range of it (RFC 9110), with its digest as validator (RFC 9530)."""

import base64
import re
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sparsebook_service.errors import RangeNotSatisfiable
from sparsebook_service.heads import is_head

# Eighteen digits hold every offset a file can have.
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_ETAG = re.compile(r'(?:W/)?("[^"]*")')


def requested_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The bytes [start, end) that a Range header asks for, or None for the whole file.

    Several ranges, other units and what cannot be read are answered with the whole file, as RFC 9110 allows.

    Raises:
        RangeNotSatisfiable: the range starts at or after the end.

    >>> requested_range("bytes=0-9", 100), requested_range("bytes=-10", 100)
    ((0, 10), (90, 100))
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    else:
        start, end = max(size - int(match[2]), 0), size
    if start >= end:
        raise RangeNotSatisfiable(f"the range starts at byte {start} of {size}", size)
    return start, end


def digest_field(sha256: str) -> str:
    """The value of a Content-Digest or Repr-Digest header."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def disposition(name: str) -> str:
    """The Content-Disposition of a download under a name, whatever characters it has."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "file"  # no hidden file
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def serve(
    request: Request,
    stream: Callable[[int, int], AsyncIterator[bytes]],
    *,
    size: int,
    sha256: str,
    name: str,
    media_type: str = "application/octet-stream",
) -> Response:
    """Answer with a file, or to HEAD with its headers alone.

    Args:
        request: its Range, If-Range and If-None-Match are honoured; HEAD knows no ranges.
        stream: gives the bytes [start, end) of the file.
        size: bytes of the file.
        sha256: of the file, hexadecimal.
        name: for the client to save it under.
        media_type: of the file.

    Raises:
        RangeNotSatisfiable: the range starts at or after the end.
    """
    etag = f'"{sha256}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Accept-Ranges": "bytes"}
    none_match = request.headers.get("if-none-match")
    if none_match is not None and (none_match.strip() == "*" or etag in _ETAG.findall(none_match)):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = disposition(name)
    headers["Repr-Digest"] = digest_field(sha256)
    wanted = None
    if request.headers.get("if-range", etag) == etag and not is_head(request):
        wanted = requested_range(request.headers.get("range"), size)
    if wanted is None:
        start, end, status = 0, size, 200
        headers["Content-Digest"] = headers["Repr-Digest"]
    else:
        start, end = wanted
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    if start == end or is_head(request):
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(stream(start, end), status, headers=headers, media_type=media_type)
