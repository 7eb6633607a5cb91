"""Whether a bundle is what its manifest says, its payloads are whole, and whose signature it bears."""

import contextlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel

from sparsebook_compressor import admit
from sparsebook_compressor.artifact import payloads
from sparsebook_compressor.errors import BadValue, InputError
from sparsebook_compressor.pack import MODEL_NAME, sha256
from sparsebook_service import names
from sparsebook_service.signing import SIGNATURE, SIGNED, Signature, fingerprint

MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20


class Verdict(BaseModel):
    """What was found.

    Attributes:
        bundle: what was looked at.
        files: whose hashes were compared.
        payloads: that were decoded; each has a checksum of its own.
        signed_by: the fingerprint of the key, where there is a good signature.
        trusted: whether that is the key that was given.
        faults: what is wrong; nothing where the bundle is right.
    """

    bundle: str
    files: int
    payloads: int
    signed_by: str | None
    trusted: bool
    faults: list[str]

    @property
    def right(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def verify(bundle: Path, key: Ed25519PublicKey | None = None) -> Verdict:
    """Check a bundle, a folder or a .zip.

    Args:
        bundle: as `sparsebook compress` writes it, or `GET /jobs/{id}/artifact` gives it.
        key: whose signature it must bear; None accepts any, and none.

    Raises:
        BadValue: it is no bundle.
    """
    with _opened(bundle) as folder:
        files, faults = _compare(_manifest(folder, bundle), folder)
        decoded, broken = _decode(folder)
        signer, unsigned = _signature(folder, key)
    return Verdict(
        bundle=str(bundle),
        files=files,
        payloads=decoded,
        signed_by=None if signer is None else fingerprint(signer),
        trusted=signer is not None and key is not None,
        faults=[*faults, *broken, *unsigned],
    )


@contextlib.contextmanager
def _opened(bundle: Path) -> Iterator[Path]:
    if bundle.is_dir():
        yield bundle
        return
    with tempfile.TemporaryDirectory(prefix="sparsebook-") as folder:
        try:
            with zipfile.ZipFile(bundle) as archive:
                _unpack(archive, Path(folder))
        except (
            OSError,
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise BadValue(
                f"{bundle}: neither a folder nor a .zip that can be read: {error}; give the bundle, which is the folder that `sparsebook compress -o` wrote"
            ) from error
        yield Path(folder)


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    tree = names.Tree()
    for member in archive.infolist():
        if member.is_dir():
            continue
        tree.add(member.orig_filename)
        target = folder / member.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, target.open("xb") as file:
            while chunk := source.read(_CHUNK_BYTES):
                file.write(chunk)


def _manifest(folder: Path, bundle: Path) -> dict[str, Any]:
    try:
        manifest: Any = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise BadValue(f"{bundle}: no {MANIFEST} that can be read: this is no bundle") from error
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not all(isinstance(each, dict) for each in files.values()):
        raise BadValue(f"{bundle}: its {MANIFEST} lists no files")
    return files


def _compare(files: dict[str, Any], folder: Path) -> tuple[int, list[str]]:
    """How many files are what the manifest says, and what is wrong with the others."""
    faults = []
    present = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }
    for name, facts in sorted(files.items()):
        path = present.pop(name, None)
        if path is None:
            faults.append(f"{name} is missing")
        elif path.is_symlink() or not path.is_file():
            faults.append(f"{name} is a link or no file")
        elif facts.get("bytes") != path.stat().st_size or facts.get("sha256") != sha256(path):
            faults.append(f"{name} is not the file that the manifest names")
    faults += [f"{name} is not in the manifest" for name in present if name not in _PAPERS]
    return len(files), faults


_PAPERS = frozenset({*SIGNED, SIGNATURE})


def _decode(folder: Path) -> tuple[int, list[str]]:
    """How many payloads were decoded, and what is wrong with the model."""
    path, decoded = folder / MODEL_NAME, 0
    if not path.is_file():
        return 0, []  # said already, where the manifest has it
    try:
        for payload in payloads(admit.load(path), path):
            payload.decode()
            decoded += 1
    except InputError as error:
        return decoded, [str(error)]
    return decoded, []


def _signature(
    folder: Path, key: Ed25519PublicKey | None
) -> tuple[Ed25519PublicKey | None, list[str]]:
    path = folder / SIGNATURE
    if not path.is_file():
        return None, [] if key is None else ["it is not signed"]
    try:
        signature = Signature.read(path)
        signer = signature.check(key)
    except ValueError as error:
        return None, [f"{SIGNATURE}: {error}"]
    faults = []
    for name in SIGNED:
        file = folder / name
        if not file.is_file() or signature.signed.get(name) != sha256(file):
            faults.append(f"{name} is not the file that was signed")
    return (None if faults else signer), faults
