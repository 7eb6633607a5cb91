"""A new artifact made of an old one and an update."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sparsebook_compressor import pack
from sparsebook_compressor.errors import DeltaError, PayloadError
from sparsebook_compressor.payload import decode, encode
from sparsebook_compressor.payload_header import read_header
from sparsebook_compressor.report import FileFacts
from sparsebook_compressor.updates import patch
from sparsebook_compressor.updates.pieces import Files
from sparsebook_compressor.updates.records import (
    BLOCK,
    COPY,
    END,
    LITERAL,
    PATCH_CONTEXT,
    FileHead,
    Head,
    Step,
    StepReader,
)

# A patch codes every element once, in at most a byte, and has tables and codebooks besides.
# As operators take them: what a gap symbol of one bit stands for, and what streams without bytes may.
_MOST_ELEMENTS_A_BYTE, _MOST_ELEMENTS = 2048, 1 << 28
_PATCH_BYTES_AN_ELEMENT, _PATCH_BYTES = 2, 1 << 16


def apply_update(base: Path, update: Path, out: Path) -> FileFacts:
    """Write the artifact that an update makes of its base; it is there whole and right, or not at all.

    Args:
        base: the artifact that the update was made for; its data file lies beside it.
        update: as `compress` with a base writes it.
        out: the new artifact's file; a data file goes beside it.

    Raises:
        DeltaError: the update is damaged, or belongs to another artifact.
        BadValue: `out` cannot be written.
        StorageFull: no room left.
    """
    files = Files(base)
    try:
        with update.open("rb") as file:
            head = Head.read(file)
            _check_base(head, files, base)
            with pack.folder_beside(out) as folder, pack.translate_errors(out):
                _Applying(files, StepReader(file), head).run(folder, out)
    finally:
        files.close()
    return pack.facts(out.parent, out.name)


def _check_base(head: Head, files: Files, base: Path) -> None:
    found = tuple(
        FileHead(path.stat().st_size, bytes.fromhex(pack.sha256(path))) for path in files.paths
    )
    if found[: len(head.old)] != head.old:
        raise DeltaError(
            f"{base.name} is not the artifact that this update was made for: that one has SHA-256 {head.old[0].sha256.hex()}"
        )


class _Applying:
    def __init__(self, files: Files, reader: StepReader, head: Head) -> None:
        self._files, self._reader, self._head = files, reader, head

    def run(self, folder: Path, out: Path) -> None:
        """Make every file in a folder, and move them to their places once all are right."""
        names = (out.name, out.name + pack.DATA_SUFFIX)[: len(self._head.new)]
        for name, expected in zip(names, self._head.new, strict=True):
            with (folder / name).open("wb") as file:
                self._fill(file, expected)
        self._reader.finish()
        with pack.usable(out):
            for name in reversed(names):
                (folder / name).replace(out.with_name(name))

    def _fill(self, file: BinaryIO, expected: FileHead) -> None:
        digest, left = hashlib.sha256(), expected.length
        while (step := self._reader.step()).kind != END:
            for block in self._made(step, left):
                left -= len(block)
                if left < 0:
                    raise DeltaError(
                        f"the update makes more than the {expected.length} bytes that it announces"
                    )
                digest.update(block)
                file.write(block)
        if left or digest.digest() != expected.sha256:
            raise DeltaError(
                f"what the update makes is not the artifact that it announces; it was made by version {self._head.maker}, whose "
                "payloads may be coded otherwise: ask for the whole artifact"
            )

    def _made(self, step: Step, left: int) -> Iterator[bytes]:
        if step.kind == LITERAL:
            if step.length > left:
                raise DeltaError("the update brings more bytes than it announces")
            for start in range(0, step.length, BLOCK):
                yield self._reader.take(min(BLOCK, step.length - start))
            return
        if step.file >= len(self._files.bytes):
            raise DeltaError(f"a step takes file {step.file} of the base")
        data = self._files.bytes[step.file]
        if step.offset + step.length > len(data):
            raise DeltaError(f"a step takes bytes behind the end of the base's file {step.file}")
        if step.kind == COPY:
            for start in range(step.offset, step.offset + step.length, BLOCK):
                yield data[start : min(start + BLOCK, step.offset + step.length)]
            return
        try:
            payload = data[step.offset : step.offset + step.length]
            elements = read_header(payload).elements
            if elements > max(_MOST_ELEMENTS, _MOST_ELEMENTS_A_BYTE * step.length):
                raise DeltaError(
                    f"a step patches {step.length} bytes that claim {elements} elements"
                )
            old = decode(payload)
        except PayloadError as error:
            raise DeltaError(f"a step patches what is no payload: {error}") from error
        if step.size > _PATCH_BYTES_AN_ELEMENT * len(old.codes) + _PATCH_BYTES:
            raise DeltaError(f"a patch of {step.size} bytes for {len(old.codes)} elements")
        _, codec = patch.FORMS[step.kind == PATCH_CONTEXT]
        yield encode(patch.apply(old, self._reader.take(step.size)), codec)[0]
