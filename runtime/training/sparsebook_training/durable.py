"""Folders that are there whole or not at all, whenever the process or the machine dies."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PARTIAL = ".partial"


@contextmanager
def folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `target` when the block ends, on the disk by then.

    Whatever goes wrong, nothing of it stays behind.

    Args:
        target: does not exist.
    """
    partial = _partial(target)
    partial.mkdir()
    try:
        yield partial
        for path in partial.rglob("*"):
            _flush(path)
        _flush(partial)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _flush(target.parent)


def write(target: Path, text: str) -> None:
    """Write a text file, or replace it."""
    partial = _partial(target)
    partial.write_text(text, "utf-8")
    _flush(partial)
    partial.rename(target)
    _flush(target.parent)


def remove(target: Path) -> None:
    """Remove a folder, at once for everyone who looks for its name."""
    target.rename(_partial(target))
    shutil.rmtree(_partial(target))


def sweep(parent: Path) -> None:
    """Remove what a process that died left half-written or half-removed."""
    for path in parent.glob(f"*{_PARTIAL}"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _partial(target: Path) -> Path:
    return target.with_name(target.name + _PARTIAL)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
