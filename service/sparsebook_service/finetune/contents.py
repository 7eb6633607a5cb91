"""Folders known by what is in them.

A training's id is a digest of its order and dataset, every byte of them. So a job that runs again asks for the same
training and finds its result, and two jobs with the same order share one. Hashing reads each file once, at about the
speed of the copy into the storage that follows.
"""

import hashlib
import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sparsebook_compressor.errors import InternalError

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class File:
    """A file of a folder; `name` is its path in it, `/` between folders."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    """All files of a folder, by name."""

    files: tuple[File, ...]

    @property
    def identity(self) -> str:
        """The same for the same names and bytes."""
        return _digest([[file.name, file.bytes, file.sha256] for file in self.files])


def training_id(order: Contents, dataset_id: str) -> str:
    """The id of the training that carries `order` out on a dataset."""
    return _digest([order.identity, dataset_id])


def read(folder: Path, check: Callable[[], None]) -> Contents:
    """Hash a folder.

    Args:
        folder: of plain files, in folders or not.
        check: is called before each file and after every megabyte; what it raises ends the reading.

    Raises:
        InternalError: something in it is no plain file. A job's process wrote it, and that may have been led astray by
            what was uploaded: a link could point at a file that is not its own.
    """
    return Contents(tuple(_file(folder, name, check) for name in names(folder)))


def names(folder: Path) -> list[str]:
    """The names of everything in a folder that is no folder itself, sorted."""
    found = [
        str((Path(where) / name).relative_to(folder))
        for where, folders, files in os.walk(folder)
        for name in (*files, *(name for name in folders if (Path(where) / name).is_symlink()))
    ]
    return sorted(found)


def _file(folder: Path, name: str, check: Callable[[], None]) -> File:
    check()
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise InternalError(f"{folder.name}/{name}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise InternalError(f"{folder.name}/{name}: not a plain file")
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            check()
        return File(name, facts.st_size, digest.hexdigest())


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
