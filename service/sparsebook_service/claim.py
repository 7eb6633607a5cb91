"""Who may work in a data folder: one server, and as many workers as are started, each under its own name."""

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sparsebook_compressor.errors import BadValue


@contextmanager
def claim(data_dir: Path) -> Iterator[None]:
    """Make the data folder, and keep other servers out of it while the block runs: jobs would run twice.

    Raises:
        BadValue: the folder cannot be used, or another server works in it.
    """
    lock = _open(data_dir, "lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BadValue(
            f"another server works in the data folder {data_dir}; stop it, or choose another with --data-dir"
        ) from error
    finally:
        os.close(lock)


@contextmanager
def claim_worker(data_dir: Path, queue: str = "finetune") -> Iterator[str]:
    """Take the first free name of a worker on a queue while the block runs.

    So a worker that is started again has the name that the one had which died, and takes its work up.

    Raises:
        BadValue: the folder cannot be used.
    """
    for number in itertools.count(1):
        name = f"{queue}-{number}"
        lock = _open(data_dir, f"{name}.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield name
        finally:
            os.close(lock)
        return


@contextmanager
def opening(data_dir: Path) -> Iterator[None]:
    """Let one process at a time create and migrate tables."""
    lock = _open(data_dir, "opening.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _open(data_dir: Path, name: str) -> int:
    try:
        # Other users of the machine have no business with models; a folder that is there stays as it is.
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(data_dir / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadValue(
            f"the data folder {data_dir} cannot be used: {error.strerror}; choose another with --data-dir"
        ) from error
