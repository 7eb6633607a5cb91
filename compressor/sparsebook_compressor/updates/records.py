"""The bytes of an update: a head, and one deflated stream of steps (docs/updates.md, section 2)."""

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from sparsebook_compressor.errors import DeltaError

UPDATE_NAME = "update.sbku"
MAGIC = b"SBKU"
VERSION = 1
LITERAL, COPY, PATCH, END, PATCH_CONTEXT = 0, 1, 2, 3, 4
MOST_FILES = 2
_HEAD = struct.Struct("<4s4B")
_FILE = struct.Struct("<Q32s")
_STEP = struct.Struct("<BBQQQ")
BLOCK = 1 << 20
_MOST_MAKER = 40
_MOST_TRAILER = 64


@dataclass(frozen=True, slots=True)
class FileHead:
    """Length in bytes and SHA-256 of one file of an artifact."""

    length: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The files of the old artifact and of the new one, and the version that wrote the update."""

    old: tuple[FileHead, ...]
    new: tuple[FileHead, ...]
    maker: str

    def write(self, file: BinaryIO) -> None:
        """Write it."""
        maker = self.maker.encode("ascii")[:_MOST_MAKER]
        file.write(_HEAD.pack(MAGIC, VERSION, len(self.old), len(self.new), len(maker)) + maker)
        for each in (*self.old, *self.new):
            file.write(_FILE.pack(each.length, each.sha256))

    @classmethod
    def read(cls, file: BinaryIO) -> "Head":
        """Read and check it.

        Raises:
            DeltaError: no update, one of another version, or a damaged one.
        """
        magic, version, old, new, length = _HEAD.unpack(_exactly(file, _HEAD.size))
        if magic != MAGIC:
            raise DeltaError("not an update: it does not begin with SBKU")
        if version != VERSION:
            raise DeltaError(f"an update of version {version}; this Sparsebook reads {VERSION}")
        if not (1 <= old <= MOST_FILES and 1 <= new <= MOST_FILES) or length > _MOST_MAKER:
            raise DeltaError(f"an update of {old} and {new} files; 1 and 2 are allowed")
        maker = _exactly(file, length).decode("ascii", errors="replace")
        heads = [FileHead(*_FILE.unpack(_exactly(file, _FILE.size))) for _ in range(old + new)]
        return cls(tuple(heads[:old]), tuple(heads[old:]), maker)


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next in the new files.

    Attributes:
        kind: `LITERAL`, bytes of the update; `COPY`, bytes of the old files; `PATCH`, a payload of the old files patched, `PATCH_CONTEXT` into one of version 2;
            `END` of a file.
        file, offset, length: of the old artifact's bytes; of a literal's, the length.
        size: bytes of the patch.
    """

    kind: int
    file: int = 0
    offset: int = 0
    length: int = 0
    size: int = 0

    def follows(self, other: "Step") -> bool:
        """Whether both copy, and this one what lies behind the other's bytes."""
        both = self.kind == other.kind == COPY and self.file == other.file
        return both and other.offset + other.length == self.offset


class StepWriter:
    """Writes steps, copies that follow each other as one."""

    def __init__(self, file: BinaryIO) -> None:
        """Write into a file behind its head."""
        self._file, self._deflate = file, zlib.compressobj(9)
        self._held: Step | None = None

    def add(self, step: Step, body: bytes | memoryview = b"") -> None:
        """A step, and the bytes that it brings."""
        if self._held is not None and step.follows(self._held):
            held = self._held
            self._held = Step(COPY, held.file, held.offset, held.length + step.length)
            return
        self._flush()
        if step.kind == COPY:
            self._held = step
            return
        self._write(step)
        for start in range(0, len(body), BLOCK):
            self._file.write(self._deflate.compress(body[start : start + BLOCK]))

    def close(self) -> None:
        """Write what is held back."""
        self._flush()
        self._file.write(self._deflate.flush())

    def _flush(self) -> None:
        if self._held is not None:
            self._write(self._held)
            self._held = None

    def _write(self, step: Step) -> None:
        values = (step.kind, step.file, step.offset, step.length, step.size)
        self._file.write(self._deflate.compress(_STEP.pack(*values)))


class StepReader:
    """Reads steps and the bytes they bring, never more of them than is asked for."""

    def __init__(self, file: BinaryIO) -> None:
        """Read from behind the head."""
        self._file, self._inflate = file, zlib.decompressobj()
        self._waiting = b""

    def step(self) -> Step:
        """The next step.

        Raises:
            DeltaError: cut short, damaged, or an unknown kind.
        """
        step = Step(*_STEP.unpack(self.take(_STEP.size)))
        if step.kind > PATCH_CONTEXT:
            raise DeltaError(f"a step of kind {step.kind}; 0 to {PATCH_CONTEXT} are allowed")
        return step

    def take(self, count: int) -> bytes:
        """So many bytes; the caller has bounded them.

        Raises:
            DeltaError: the update is cut short or damaged.
        """
        parts: list[bytes] = []
        while count:
            if not self._waiting:
                self._waiting = self._file.read(BLOCK)
            try:
                part = self._inflate.decompress(self._waiting, count)
            except zlib.error as error:
                raise DeltaError(f"the update is damaged: {error}") from error
            ended = self._inflate.eof or (not self._waiting and not part)
            self._waiting = self._inflate.unconsumed_tail
            if not part and ended:
                raise DeltaError("the update is cut short")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def finish(self) -> None:
        """Refuse what comes behind the last step.

        Raises:
            DeltaError: something does.
        """
        # What is left is the end of the last block and a checksum.
        rest = self._waiting + self._file.read(_MOST_TRAILER)
        try:
            more = self._inflate.decompress(rest, 1)
        except zlib.error as error:
            raise DeltaError(f"the update is damaged: {error}") from error
        if more or not self._inflate.eof or self._inflate.unused_data or self._file.read(1):
            raise DeltaError("the update is damaged: it does not end where its steps do")


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise DeltaError("the update is cut short")
    return data
