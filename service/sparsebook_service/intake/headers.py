"""What the headers of a submission say."""

import base64
import binascii
import re

from starlette.requests import Request

from sparsebook_compressor.errors import BadValue


def announced_bytes(request: Request) -> int:
    """The length of the body that the client announces; 0 where it does not."""
    length = request.headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


_DIGEST = re.compile(r"\s*([a-z0-9*_.-]+)\s*=\s*:([A-Za-z0-9+/=]*):\s*")


def announced_digest(header: str | None) -> bytes | None:
    """The sha-256 of a Content-Digest header (RFC 9530); None where there is none. Other algorithms are left aside.

    Raises:
        BadValue: the header cannot be read.
    """
    if header is None:
        return None
    found: bytes | None = None
    for member in header.split(","):
        match = _DIGEST.fullmatch(member)
        if match is None:
            raise BadValue("Content-Digest: cannot be read; the form is sha-256=:<base64>:")
        if match[1] == "sha-256":
            try:
                found = base64.b64decode(match[2], validate=True)
            except binascii.Error as error:
                raise BadValue(f"Content-Digest: {error}") from error
    return found


_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def idempotency_key(header: str | None) -> str | None:
    """The key of an Idempotency-Key header, quoted or bare.

    Raises:
        BadValue: empty, too long, or with other than printable ASCII characters.
    """
    if header is None:
        return None
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not _KEY.fullmatch(key):
        raise BadValue("Idempotency-Key: 1 to 255 printable ASCII characters without spaces")
    return key
