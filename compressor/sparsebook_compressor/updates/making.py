"""The update that makes one artifact of another: what both have in common is copied, payloads are patched, the rest is brought."""

import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from sparsebook_compressor import pack
from sparsebook_compressor.payload import encode
from sparsebook_compressor.report import Update
from sparsebook_compressor.updates import patch
from sparsebook_compressor.updates.pieces import Files, Piece, found_payloads, pieces
from sparsebook_compressor.updates.records import (
    BLOCK,
    COPY,
    END,
    LITERAL,
    PATCH,
    PATCH_CONTEXT,
    FileHead,
    Head,
    Step,
    StepWriter,
)


def make_update(base: Path, new: Path, out: Path) -> Update:
    """Write the update from one artifact to another.

    Args:
        base: what receivers have, a model file; its data file lies beside it.
        new: what they are to get.
        out: the update's file.

    Raises:
        InputError: one of the two is no model, or a payload is damaged.
        StorageFull: no room left.
    """
    old_files, new_files = Files(base), Files(new)
    try:
        making = _Making(old_files, new_files)
        with pack.translate_errors(out), out.open("wb") as file:
            maker = importlib.metadata.version("sparsebook-compressor")
            Head(_heads(old_files), _heads(new_files), maker).write(file)
            making.run(StepWriter(file))
        full = sum(path.stat().st_size for path in new_files.paths)
        sha = pack.sha256(base)
        return Update(out.name, out.stat().st_size, full, sha, *making.told())
    finally:
        old_files.close()
        new_files.close()


def _heads(files: Files) -> tuple[FileHead, ...]:
    return tuple(
        FileHead(path.stat().st_size, bytes.fromhex(pack.sha256(path))) for path in files.paths
    )


@dataclass(eq=False)
class _Making:
    old: Files
    new: Files

    def __post_init__(self) -> None:
        self._old_payloads, old_places = found_payloads(self.old)
        self._new_payloads, self._new_places = found_payloads(self.new)
        self._place_of = {place.payload: place for place in old_places}
        self._known = {_digest(self.old, piece): piece for piece in pieces(self.old, old_places)}
        self._counts = {COPY: 0, PATCH: 0, PATCH_CONTEXT: 0, LITERAL: 0}

    def told(self) -> tuple[int, int, int]:
        """How many payloads are unchanged, patched and brought whole."""
        counts = self._counts
        return counts[COPY], counts[PATCH] + counts[PATCH_CONTEXT], counts[LITERAL]

    def run(self, writer: StepWriter) -> None:
        """Write the steps of all files."""
        file = 0
        for piece in pieces(self.new, self._new_places):
            if piece.file != file:
                writer.add(Step(END))
                file = piece.file
            step, body = self._step(piece)
            if piece.payload is not None:
                self._counts[step.kind] += 1
            writer.add(step, body)
        writer.add(Step(END))
        writer.close()

    def _step(self, piece: Piece) -> tuple[Step, bytes]:
        same = self._known.get(_digest(self.new, piece))
        if same is not None:
            return Step(COPY, same.file, same.start, same.end - same.start), b""
        patched = self._patch(piece)
        if patched is not None:
            return patched
        data = self.new.bytes[piece.file][piece.start : piece.end]
        return Step(LITERAL, length=len(data)), data

    def _patch(self, piece: Piece) -> tuple[Step, bytes] | None:
        """A payload by its base, where that takes less and gives the very bytes."""
        name = piece.payload
        place = self._place_of.get(name)
        if name is None or place is None:
            return None
        before, after = self._old_payloads[name], self._new_payloads[name]
        if before.header().shape != after.header().shape:
            return None
        old = before.decode()
        body = patch.make(old, after.decode())
        if body is None or len(body) >= piece.end - piece.start:
            return None
        kind, codec = patch.FORMS[after.header().is_context]
        if encode(patch.apply(old, body), codec)[0] != after.data:
            return None
        step = Step(kind, place.file, place.start, place.end - place.start, len(body))
        return step, body


def _digest(files: Files, piece: Piece) -> bytes:
    digest = hashlib.blake2b(digest_size=20)
    for start in range(piece.start, piece.end, BLOCK):
        digest.update(files.bytes[piece.file][start : min(start + BLOCK, piece.end)])
    return digest.digest()
