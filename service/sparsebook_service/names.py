"""File names that came from outside.

A name is used as a path below a job's own folder, so it is checked before anything is opened: a plain relative path,
slashes only, no way up, no control characters, no more than a file system takes.
"""

import re

from sparsebook_compressor.errors import BadValue, ExternalDataOutside

MAX_SEGMENT_BYTES = 255  # NAME_MAX of Linux's file systems
MAX_PATH_BYTES = 1024

# ONNX Runtime takes external data under this name for an address in its own memory.
_MEMORY = "_ORT_MEM_ADDR_"
_DRIVE = re.compile(r"[A-Za-z]:/")
# obstore's local store keeps a half-written file under `<name>#<number>` and refuses such names.
_RESERVED = re.compile(r"#\d+\Z")


def fault(name: str) -> str | None:
    """Say what is wrong with a relative path, or None where nothing is.

    >>> fault("weights/onnx::MatMul_12")
    >>> fault("../secret")
    "leads out of the model's folder"
    """
    segments = name.split("/")
    faults = {
        "is empty": not name,
        "has control characters": not name.isprintable(),
        "has a backslash: use '/' between folders": "\\" in name,
        "is absolute": name.startswith("/") or _DRIVE.match(name) is not None,
        "leads out of the model's folder": ".." in segments,
        "is not plain: it has empty or '.' parts": "" in segments or "." in segments,
        "stands for an address in ONNX Runtime's memory": _MEMORY in segments,
        "is too long": len(name.encode(errors="replace")) > MAX_PATH_BYTES
        or any(len(segment.encode(errors="replace")) > MAX_SEGMENT_BYTES for segment in segments),
        "ends in '#' and a number, which is kept for half-written files": any(
            _RESERVED.search(segment) for segment in segments
        ),
    }
    return next((reason for reason, holds in faults.items() if holds), None)


def model_name(raw: str) -> str:
    """The file name of a model, without the folders a client may have sent along.

    Raises:
        BadValue: nothing usable is left.
    """
    name = raw.replace("\\", "/").rsplit("/", 1)[-1] or "model.onnx"
    reason = "is not a file name" if name in {".", ".."} else fault(name)
    if reason:
        raise BadValue(f"the model's file name {name[:80]!r} {reason}: give it another with ?name=")
    return name


def plain_name(raw: str | None, default: str) -> str:
    """The file name of a part whose name matters to people alone; `default` where it is not usable.

    >>> plain_name("data/digits.npz", "data.npz"), plain_name("..", "data.npz")
    ('digits.npz', 'data.npz')
    """
    name = (raw or "").replace("\\", "/").rsplit("/", 1)[-1]
    return default if name in {".", ".."} or fault(name) else name


class Tree:
    """The names of files that are to lie together in one folder."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add(self, name: str) -> None:
        """Check one more name.

        Raises:
            ExternalDataOutside: it is not plain, is there already, or is both a file and a folder.
        """
        reason = fault(name)
        if reason:
            raise ExternalDataOutside(f"the file name {name[:200]!r} {reason}")
        if name in self._files:
            raise ExternalDataOutside(f"the file name {name!r} is given twice")
        parts = name.split("/")
        folders = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        for both in (folders & self._files) | ({name} & self._folders):
            raise ExternalDataOutside(f"{both!r} is given both as a file and as a folder")
        self._files.add(name)
        self._folders |= folders
