"""Reading an .npz in blocks of samples, so that an array larger than memory can pass through.

`numpy.load` decompresses a member whole. Here the header of every member is read and held against what the archive
declares before any value is; then values come block by block, and the checksum of the member is verified at its end.
"""

import math
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import shown

Array = npt.NDArray[Any]

BLOCK_BYTES = 1 << 23
MOST_MEMBERS = 4096
# A split holds 8 bytes a sample in memory.
MOST_SAMPLES = 1 << 26
# Beyond every sample of any model tried; a sample is held in memory whole.
MOST_SAMPLE_BYTES = 1 << 30
# Deflate reaches 1032:1 on constant bytes; images and token ids saved by numpy.savez_compressed stay below 50:1.
MOST_RATIO = 200
_HARMLESS_BYTES = 1 << 30
_EXTENSION = ".npy"
_ENCRYPTED = 1  # of a member's general purpose flags (APPNOTE.TXT, section 4.4.4)
_LONGEST_NAME = 60
# What NumPy, zipfile and zlib raise for files that are damaged, encrypted, pickled, of another kind or larger than memory.
_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    RuntimeError,
    MemoryError,
    # A header is a Python literal, which is parsed twice: as it is, then without the suffixes of Python 2's integers.
    SyntaxError,
    TypeError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Member:
    """The header of one array.

    Attributes:
        name: the array's, without ".npy".
        fortran: the first axis is the fastest in the file.
        size: bytes of the member, unpacked, header and all.
    """

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    fortran: bool
    size: int


class Archive:
    """One .npz file.

    Raises:
        BadData: not an .npz, or one that is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        try:
            _refuse_single_array(path)
            with zipfile.ZipFile(path) as file:
                infos = file.infolist()
        except _UNREADABLE as error:
            raise self._unreadable(error) from error
        if len(infos) > MOST_MEMBERS:
            raise BadData(f"{self.name}: {len(infos)} members; at most {MOST_MEMBERS} arrays")
        names = [info.filename for info in infos]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise BadData(f"{self.name}: {shortened(twice)} is in it twice; save it anew")
        self.names = tuple(
            name.removesuffix(_EXTENSION) for name in names if name.endswith(_EXTENSION)
        )

    def member(self, name: str) -> Member:
        """The header of an array, checked.

        Raises:
            BadData: damaged; Python objects; no samples; a size that the bytes do not have.
        """
        with zipfile.ZipFile(self.path) as file:
            info = file.getinfo(name + _EXTENSION)
            if info.flag_bits & _ENCRYPTED:
                raise BadData(
                    f"{self.name}: array {name!r} is encrypted; save it without a password"
                )
            try:
                with file.open(info) as stream:
                    shape, fortran, dtype = _header(stream)
                    length = stream.tell()
            except _UNREADABLE as error:
                raise self._unreadable(error, name) from error
        where = f"{self.name}: array {name!r}"
        if dtype.hasobject:
            raise BadData(f"{where} holds Python objects (pickled); save numbers")
        if not shape:
            raise BadData(f"{where} is a single number; samples go on the first axis: give it one")
        if min(shape) < 0:
            raise BadData(f"{where} has shape {shown(shape)}, which no array has; save it again")
        if shape[0] == 0 or math.prod(shape) == 0:
            raise BadData(f"{where} is empty: its shape is {shown(shape)}; fill it or leave it out")
        declared = math.prod(shape) * dtype.itemsize + length
        if declared != info.file_size:
            raise BadData(
                f"{where}: {dtype} {shown(shape)} takes {declared} bytes, the archive holds {info.file_size}; "
                "save it again"
            )
        if shape[0] > MOST_SAMPLES or declared // shape[0] > MOST_SAMPLE_BYTES:
            raise BadData(
                f"{where} has shape {shown(shape)}; at most {MOST_SAMPLES} samples of {MOST_SAMPLE_BYTES} bytes each in a file"
            )
        return Member(name, dtype, shape, fortran, info.file_size)

    def check_proportion(self, members: list[Member]) -> None:
        """Refuse an archive that is made to fill the disk.

        Raises:
            BadData: the arrays take over `MOST_RATIO` times the bytes of the file, and over 1 GiB.
        """
        total = sum(member.size for member in members)
        held = self.path.stat().st_size
        if total > max(_HARMLESS_BYTES, MOST_RATIO * held):
            raise BadData(
                f"{self.name}: {held} bytes that unpack to {total}; if that is meant, save it with numpy.savez, unpacked"
            )

    def blocks(self, member: Member, scratch: Path) -> Iterator[Array]:
        """The array's samples in order, in blocks of about `BLOCK_BYTES`.

        Args:
            member: of this archive.
            scratch: a folder for the bytes of an array whose first axis is the fastest.

        Raises:
            BadData: damaged.
        """
        row_bytes = math.prod(member.shape[1:]) * member.dtype.itemsize
        rows = max(1, BLOCK_BYTES // row_bytes)
        if member.fortran:
            yield from self._turned(member, rows, scratch)
            return
        for data in self._bytes(member, rows * row_bytes):
            values = np.frombuffer(data, member.dtype)
            yield values.reshape((-1, *member.shape[1:]))

    def _turned(self, member: Member, rows: int, scratch: Path) -> Iterator[Array]:
        with tempfile.TemporaryFile(dir=scratch) as file:
            for data in self._bytes(member, BLOCK_BYTES):
                file.write(data)
            file.flush()
            whole = np.memmap(file, member.dtype, "r", shape=member.shape, order="F")
            for first in range(0, len(whole), rows):
                yield np.ascontiguousarray(whole[first : first + rows])

    def _bytes(self, member: Member, size: int) -> Iterator[bytes]:
        """What follows the header, in pieces of `size` bytes; the last may be shorter."""
        with zipfile.ZipFile(self.path) as file:
            try:
                stream = file.open(member.name + _EXTENSION)
                _header(stream)
            except _UNREADABLE as error:
                raise self._unreadable(error, member.name) from error
            with stream:
                left = math.prod(member.shape) * member.dtype.itemsize
                while left:
                    data = self._read(stream, min(size, left))
                    left -= len(data)
                    yield data
                # The end of the member is where its checksum is compared.
                if self._read(stream, 1, exactly=False):
                    raise BadData(f"{self.name}: array {member.name!r} goes on past its end")

    def _read(self, stream: IO[bytes], size: int, *, exactly: bool = True) -> bytes:
        try:
            data = stream.read(size)
        except _UNREADABLE as error:
            raise self._unreadable(error) from error
        if exactly and len(data) != size:
            raise self._unreadable(EOFError("cut short"))
        return data

    def _unreadable(self, error: BaseException, array: str | None = None) -> BadData:
        # A parser's error comes with its place in what it parsed.
        said = error.args[0] if error.args and isinstance(error.args[0], str) else error
        what = "not a readable .npz" if array is None else f"array {array!r} cannot be read"
        return BadData(
            f"{self.name}: {what}: {str(said) or type(error).__name__}; save it anew with numpy.savez"
        )


def shortened(name: str) -> str:
    """A name that may hold anything, for messages: quoted, without control characters, not longer than a line."""
    quoted = repr(name)
    return quoted if len(quoted) <= _LONGEST_NAME else f"{quoted[:_LONGEST_NAME]}…"


def _refuse_single_array(path: Path) -> None:
    # Whoever opens a pipe waits for its other end.
    if not path.is_file():
        raise ValueError("it is not a file" if path.exists() else "it does not exist")
    with path.open("rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
            raise ValueError("it is a single array without a name")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"an array of .npy version {version}, which only named fields need")
