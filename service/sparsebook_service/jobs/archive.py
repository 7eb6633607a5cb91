"""ZIP in and out: a model with its external data comes as one, the bundle goes as one.

Reading is strict, because the file comes from outside: everything the directory declares is checked before the first
byte is unpacked, and what is unpacked is counted against what was declared.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from sparsebook_compressor.errors import ExternalDataOutside, NotOnnx, TooLarge
from sparsebook_service.names import Tree

MAX_MEMBERS = 10_000
# Deflate reaches 1032:1. Small archives of mostly zero weights are let through, bombs are not.
RATIO_FREE_BYTES = 16 << 20
CHUNK_BYTES = 1 << 20
_ENCRYPTED = 0x1
_EPOCH = (1980, 1, 1, 0, 0, 0)


def looks_like_zip(path: Path) -> bool:
    """Whether the file is meant to be a ZIP archive, by its name or its first bytes."""
    if path.suffix.lower() == ".zip":
        return True
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def unpack_model(archive: Path, into: Path, *, max_bytes: int, max_ratio: int) -> Path:
    """Unpack a model with its external data.

    Args:
        archive: the .zip file.
        into: the folder to fill; it is created.
        max_bytes: the most that may come out.
        max_ratio: the most that may come out for a byte of the archive, where more than 16 MiB come out.

    Returns:
        The one .onnx file.

    Raises:
        NotOnnx: no ZIP archive, a damaged or encrypted one, or not exactly one .onnx file in it.
        ExternalDataOutside: a member with a bad name or one given twice, or a link.
        TooLarge: more members or bytes than allowed.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            model = _check(archive.name, members, archive.stat().st_size, max_bytes, max_ratio)
            into.mkdir(parents=True)
            for member in members:
                _unpack(opened, member, into)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise NotOnnx(f"{archive.name}: not a usable ZIP archive: {error}") from error
    return into / model


def _check(
    archive: str, members: list[zipfile.ZipInfo], size: int, max_bytes: int, max_ratio: int
) -> str:
    if len(members) > MAX_MEMBERS:
        raise TooLarge(f"{archive}: {len(members)} files; at most {MAX_MEMBERS} are accepted")
    tree = Tree()
    for member in members:
        tree.add(member.orig_filename)  # what the archive says; `filename` ends at the first NUL
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
            raise ExternalDataOutside(
                f"{archive}: {member.filename!r} is a link or a device; pack the files themselves"
            )
        if member.flag_bits & _ENCRYPTED:
            raise NotOnnx(
                f"{archive}: {member.filename!r} is encrypted; pack it without a password"
            )
    total = sum(member.file_size for member in members)
    if total > max_bytes:
        raise TooLarge(f"{archive}: unpacks to {total} bytes; at most {max_bytes} are accepted")
    if total > RATIO_FREE_BYTES and total > size * max_ratio:
        raise TooLarge(
            f"{archive}: unpacks to {total / size:.0f} times its size; at most {max_ratio} times are accepted"
        )
    models = [member.filename for member in members if member.filename.lower().endswith(".onnx")]
    if len(models) != 1:
        found = "no .onnx file" if not models else f"{len(models)} .onnx files"
        raise NotOnnx(f"{archive}: holds {found}; pack one model with its external data")
    return models[0]


def _unpack(opened: zipfile.ZipFile, member: zipfile.ZipInfo, into: Path) -> None:
    target = into / member.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    left = member.file_size
    with opened.open(member) as source, target.open("xb") as file:
        while chunk := source.read(CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise TooLarge(
                    f"{member.filename!r} unpacks to more bytes than the archive declares"
                )
            file.write(chunk)
    if left:
        raise NotOnnx(f"{member.filename!r} unpacks to fewer bytes than the archive declares")


def pack(folder: Path, names: Iterable[str], target: Path) -> None:
    """Write a ZIP archive of files, stored as they are: the artifact is compressed already.

    The same files give the same bytes: sorted names, one date, one set of permissions.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(names):
            member = zipfile.ZipInfo(name, _EPOCH)
            member.create_system = 3  # Unix, so that the permissions below are read
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            member.file_size = (folder / name).stat().st_size
            with (folder / name).open("rb") as source, archive.open(member, "w") as out:
                while chunk := source.read(CHUNK_BYTES):
                    out.write(chunk)
