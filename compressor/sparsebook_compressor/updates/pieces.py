"""The files of an artifact in pieces that a new release may have in common with an old one: nodes, tensors, payloads."""

import mmap
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sparsebook_compressor import admit
from sparsebook_compressor.artifact import Place, Stored, payloads
from sparsebook_compressor.graph.tensors import external_file, external_length
from sparsebook_compressor.pack import DATA_SUFFIX, external_files
from sparsebook_compressor.wire import spans

GRAPH_FILE, DATA_FILE = 0, 1


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes [start, end) of one file of an artifact; `payload` names the one that they are."""

    file: int
    start: int
    end: int
    payload: str | None = None


class Files:
    """The files of an artifact, mapped: its graph and, where it has one, its data file."""

    def __init__(self, artifact: Path) -> None:
        """Map them; they are closed by `close`.

        Raises:
            InputError: it is no model.
        """
        self.paths = [artifact]
        data = artifact.with_name(artifact.name + DATA_SUFFIX)
        if data.name in external_files(admit.load(artifact)) and data.is_file():
            self.paths.append(data)
        self._stack = ExitStack()
        self.bytes = [self._mapped(path) for path in self.paths]

    def _mapped(self, path: Path) -> mmap.mmap | bytes:
        if path.stat().st_size == 0:
            return b""
        file = self._stack.enter_context(path.open("rb"))
        return self._stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def close(self) -> None:
        """Let go of them."""
        self._stack.close()


def found_payloads(files: Files) -> tuple[dict[str, Stored], list[Piece]]:
    """An artifact's payloads that lie whole in one of its files, by name, and where.

    Raises:
        InputError: it is no artifact.
    """
    artifact = files.paths[0]
    stored = {each.name: each for each in payloads(admit.load(artifact), artifact)}
    raw = spans(artifact)[1]
    places = []
    for name, each in stored.items():
        if each.scope.parent is not None or each.scope.graph is None or each.node is not None:
            continue  # one in a subgraph or a Constant node is part of a larger piece
        if name in raw:
            places.append(Piece(GRAPH_FILE, *raw[name], name))
        elif isinstance(each.place, Place):
            path, offset, _ = external_file(each.place.tensor, artifact)
            if path == files.paths[-1]:
                length = external_length(each.place.tensor, artifact)
                places.append(Piece(DATA_FILE, offset, offset + length, name))
    return stored, places


def pieces(files: Files, known: list[Piece]) -> Iterator[Piece]:
    """All bytes of an artifact's files, in order, in pieces; those of its payloads are pieces of their own."""
    for file, data in enumerate(files.bytes):
        edges = {0, len(data)}
        if file == GRAPH_FILE:
            edges.update(spans(files.paths[file])[0])
        inside = {piece.start: piece for piece in known if piece.file == file}
        for piece in inside.values():
            edges.update((piece.start, piece.end))
        ordered = sorted(edges)
        at = 0
        for edge in ordered[1:]:
            if at in inside:
                yield inside[at]
                at = inside[at].end
            elif edge > at:
                yield Piece(file, at, edge)
                at = edge
