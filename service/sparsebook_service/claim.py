"""One server a data folder."""

import fcntl
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
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadValue(
            f"the data folder {data_dir} cannot be used: {error.strerror}; choose another with --data-dir"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BadValue(
            f"another server works in the data folder {data_dir}; stop it, or choose another with --data-dir"
        ) from error
    finally:
        os.close(lock)
