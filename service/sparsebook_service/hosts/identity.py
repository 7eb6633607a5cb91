"""The names of the processes that take work."""

import re
import socket
import uuid
from pathlib import Path

_FILE = "host-id"


def executor(data_dir: Path, name: str, *, shared: bool) -> str:
    """The name of a process, the same after every start in its data folder.

    Args:
        data_dir: of the process; it exists.
        name: of the process among those of the data folder.
        shared: whether processes in other data folders work on the same database.
    """
    return f"{_host(data_dir)}.{name}" if shared else name


def _host(data_dir: Path) -> str:
    """The name of a data folder, drawn once: hosts may have the same name, and a host several folders."""
    file = data_dir / _FILE
    if not file.exists():
        plain = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40]
        drawn = file.with_name(f"{_FILE}.{uuid.uuid4().hex}")
        drawn.write_text(f"{plain}-{uuid.uuid4().hex[:8]}")
        try:
            file.hardlink_to(drawn)
        except FileExistsError:  # another process was faster
            pass
        finally:
            drawn.unlink()
    return file.read_text().strip()
