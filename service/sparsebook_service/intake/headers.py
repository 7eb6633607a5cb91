"""What the headers of a submission say."""

import base64
import binascii
import re
from collections.abc import Sequence

from starlette.requests import Request

from sparsebook_compressor.errors import BadValue
from sparsebook_service.errors import UnsupportedMediaType


def announced_bytes(request: Request) -> int:
    """The length of the body that the client announces; 0 where it does not."""
    # More than digits it cannot be: h11 has refused that.
    return int(request.headers.get("content-length", "0"))


def refuse_encoded(request: Request) -> None:
    """Kept as it came, a compressed body would be no model; unpacked, it would have a size that nobody announced (RFC 9110, 15.5.16).

    Raises:
        UnsupportedMediaType: the body is compressed.
    """
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise UnsupportedMediaType(
            f"the Content-Encoding is {coding[:80]!r}: send the body as it is, or a model with its files as application/zip"
        )


_DIGEST = re.compile(r"\s*([a-z0-9*_.-]+)\s*=\s*:([A-Za-z0-9+/=]*):\s*")


def announced_digest(lines: Sequence[str]) -> bytes | None:
    """The sha-256 of the Content-Digest headers (RFC 9530); None where there is none. Other algorithms are left aside.

    Args:
        lines: one a header; they are one list together.

    Raises:
        BadValue: they cannot be read, or name two digests.
    """
    if not lines:
        return None
    found: bytes | None = None
    for member in ",".join(lines).split(","):
        match = _DIGEST.fullmatch(member)
        if match is None:
            raise BadValue("Content-Digest: cannot be read; the form is sha-256=:<base64>:")
        if match[1] == "sha-256":
            try:
                digest = base64.b64decode(match[2], validate=True)
            except binascii.Error as error:
                raise BadValue(f"Content-Digest: {error}") from error
            if found not in (None, digest):
                raise BadValue("Content-Digest: two sha-256, and they differ: send one")
            found = digest
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
