"""Signatures of bundles: Ed25519 over the hashes of the manifest, which has those of all other files, and of the report.

`signature.json` lies in the bundle beside what it signs. The text that is signed is the JSON of `signed`, keys sorted, without spaces.
The report has a hash of its own there because it tells of seconds and bytes of memory: the manifest is the same for the same request.
"""

import base64
import binascii
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sparsebook_compressor.bundle import REPORTS, sha256
from sparsebook_compressor.errors import BadValue

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

# Imported where it is used: 8 MB of memory, which a service without a key of its own spares.
# ruff: noqa: PLC0415

SIGNATURE = "signature.json"
SIGNED = ("manifest.json", *REPORTS)
# No key and no signature file comes near it.
MOST_BYTES = 64 * 1024


class Signature(BaseModel):
    """What `signature.json` holds. `key` is the raw public key, `signature` the raw signature, both in base64."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    algorithm: Literal["ed25519"] = "ed25519"
    key: str
    signed: dict[str, str]
    signature: str

    @classmethod
    def read(cls, path: Path) -> "Signature":
        """Read a file.

        Raises:
            ValueError: it is no signature.
        """
        with path.open("rb") as file:
            text = file.read(MOST_BYTES)
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"]) from error

    def check(self, key: "Ed25519PublicKey | None") -> "Ed25519PublicKey":
        """The key that the signature is of.

        Args:
            key: whose it must be; None takes the one that came with it, which proves that nothing was changed by accident and no more.

        Raises:
            ValueError: it is another's, or of other hashes.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            found = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.key, validate=True))
            if key is not None and _raw(key) != _raw(found):
                raise ValueError(f"signed with another key, {fingerprint(found)}")
            found.verify(base64.b64decode(self.signature, validate=True), _text(self.signed))
        except InvalidSignature as error:
            raise ValueError("not a signature of these hashes") from error
        except binascii.Error as error:
            raise ValueError("no base64") from error
        return found


def sign(bundle: Path, key: "Ed25519PrivateKey") -> Path:
    """Sign a bundle folder that has its manifest and its report; the new file in it."""
    signed = {name: sha256(bundle / name) for name in SIGNED}
    signature = Signature(
        key=base64.b64encode(_raw(key.public_key())).decode(),
        signed=signed,
        signature=base64.b64encode(key.sign(_text(signed))).decode(),
    )
    path = bundle / SIGNATURE
    path.write_text(signature.model_dump_json(indent=1) + "\n")
    return path


def fingerprint(key: "Ed25519PublicKey") -> str:
    """A short name of a public key: the first 16 hexadecimal digits of its sha-256."""
    return hashlib.sha256(_raw(key)).hexdigest()[:16]


def private_key(path: Path) -> "Ed25519PrivateKey":
    """Read a signing key, as `openssl genpkey -algorithm ed25519` writes it.

    Raises:
        ValueError: there is none in the file.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(_content(path), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"no private key can be read from {path}: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(
            f"{path} is no Ed25519 key; `openssl genpkey -algorithm ed25519` makes one"
        )
    return key


def public_key(path: Path) -> "Ed25519PublicKey":
    """Read a public key, as `openssl pkey -pubout` writes it.

    Raises:
        BadValue: there is none in the file.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_pem_public_key(_content(path))
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise BadValue(f"--key {path}: no public key can be read from it: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadValue(
            f"--key {path}: no Ed25519 key; `openssl pkey -pubout` writes that of a service"
        )
    return key


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES)


def _text(signed: dict[str, str]) -> bytes:
    return json.dumps(signed, sort_keys=True, separators=(",", ":")).encode()


def _raw(key: "Ed25519PublicKey") -> bytes:
    return key.public_bytes_raw()
