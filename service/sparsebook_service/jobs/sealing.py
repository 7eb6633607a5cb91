"""Signs what a job's process has made. Here, because that process reads untrusted files and must not know the key."""

from pathlib import Path
from typing import TYPE_CHECKING

from sparsebook_compressor.bundle import sha256
from sparsebook_service import signing
from sparsebook_service.jobs import archive
from sparsebook_service.jobs.protocol import Made, MadeFile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def signed(made: Made, work: Path, key: "Ed25519PrivateKey") -> Made:
    """The bundle in `<work>/bundle` with its signature, and `<work>/bundle.zip` made again."""
    bundle, packed = work / "bundle", work / made.bundle.name
    signature = signing.sign(bundle, key)
    files = sorted((*made.files, _made(signature, signature.name)), key=lambda file: file.name)
    archive.pack(bundle, [file.name for file in files], packed)
    return Made(files=tuple(files), bundle=_made(packed, packed.name))


def _made(path: Path, name: str) -> MadeFile:
    return MadeFile(name=name, bytes=path.stat().st_size, sha256=sha256(path))
