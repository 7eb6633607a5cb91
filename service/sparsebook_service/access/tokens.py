"""The text of an API key, and what is kept of it.

`sparsebook_<id>_<secret>`: the id finds the row, the secret has 256 random bits. No such secret can be guessed, so one
round of SHA-256 hides it as well as a slow password hash would, at a price that every request can pay.
"""

import hashlib
import hmac
import re
import secrets

PREFIX = "sparsebook_"
_ID_BYTES, _SECRET_BYTES = 6, 32
_TOKEN = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * _ID_BYTES}}})_[0-9a-f]{{{2 * _SECRET_BYTES}}}")


def new_id() -> str:
    """The public part of a new key."""
    return secrets.token_hex(_ID_BYTES)


def mint(key_id: str) -> str:
    """A new key with this id."""
    return f"{PREFIX}{key_id}_{secrets.token_hex(_SECRET_BYTES)}"


def id_of(token: str) -> str | None:
    """The id within a key; None where the text is not one.

    >>> id_of(mint("0123456789ab"))
    '0123456789ab'
    """
    match = _TOKEN.fullmatch(token)
    return match[1] if match else None


def digest(token: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(token.encode()).hexdigest()


def fits(token: str, kept: str) -> bool:
    """Whether a key is the one of which a digest was kept; takes the same time whatever differs."""
    return hmac.compare_digest(digest(token), kept)
