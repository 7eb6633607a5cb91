"""Tensors of a model under the knife that wait in a scratch file, so that what weights become is in memory one at a time.

Such a tensor refers to its bytes as external data does. Its location names the scratch file behind a word that no model can
know, so no file that is read can make one.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from onnx import TensorProto

from sparsebook_compressor.wire import LARGE

_WORD: Final = f"\0spool {secrets.token_hex(16)} "


class Spool:
    """A scratch file that takes the bytes of tensors."""

    def __init__(self, path: Path) -> None:
        """Begin with an empty file; whoever gives the path removes it once the model is written."""
        self._path = path
        path.touch(mode=0o600)

    def take(self, tensor: TensorProto) -> None:
        """Move raw data of at least 64 KiB out of a tensor.

        Raises:
            OSError: the disk is full.
        """
        length = len(tensor.raw_data)
        if length < LARGE:
            return
        with self._path.open("ab") as file:
            offset = file.tell()
            file.write(tensor.raw_data)
        tensor.ClearField("raw_data")
        refer(tensor, _WORD + os.fsencode(self._path).hex(), offset, length)


def refer(tensor: TensorProto, location: str, offset: int, length: int) -> None:
    """Make a tensor one of external data."""
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)


def spooled(location: str) -> Path | None:
    """The scratch file that a location stands for, if any."""
    if not location.startswith(_WORD):
        return None
    return Path(os.fsdecode(bytes.fromhex(location.removeprefix(_WORD))))


def first_bytes(tensor: TensorProto, count: int) -> bytes:
    """The first bytes of raw data that is in the tensor or spooled; none of other external data."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return tensor.raw_data[:count]
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = spooled(entries.get("location", ""))
    if path is None:
        return b""
    with path.open("rb") as file:
        file.seek(int(entries["offset"]))
        return file.read(min(count, int(entries["length"])))
