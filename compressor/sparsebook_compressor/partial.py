"""Half-made folders beside what they are to become: theirs alone while they are filled, and swept when nobody fills them."""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

# A part of the target's name that leaves room for the rest within the 255 bytes of a file name.
_NAME_CHARACTERS = 50


@contextlib.contextmanager
def partial_folder(target: Path) -> Iterator[Path]:
    """A new folder in the folder of `target`, gone when the block ends.

    It is locked while the block runs. The system lets go of the lock however the process ends, `kill -9` among it, so a
    folder of the same target that is not locked is nobody's: those are removed first.

    Raises:
        OSError: no folder can be made there.
    """
    prefix = f".{target.name[:_NAME_CHARACTERS]}.partial-"
    _sweep(target.parent, prefix)
    folder = target.parent / f"{prefix}{secrets.token_hex(8)}"
    lock: int | None = None
    try:
        lock = _make(folder)
        yield folder
    finally:
        _remove(folder)
        if lock is not None:
            os.close(lock)


def _make(folder: Path) -> int:
    """Make a folder and lock it, as often as somebody sweeps it away in between; the lock."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            # A file system without locks is possible; nothing is swept there either.
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists() and os.path.samestat(os.fstat(lock), folder.stat()):
                return lock
            os.close(lock)


def _sweep(parent: Path, prefix: str) -> None:
    """Remove what killed processes have left."""
    for folder in [path for path in parent.iterdir() if path.name.startswith(prefix)]:
        with contextlib.suppress(OSError):  # not ours to remove, or gone meanwhile
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def _remove(folder: Path) -> None:
    """Remove the folder whole, also where the user interrupts that very moment."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise
