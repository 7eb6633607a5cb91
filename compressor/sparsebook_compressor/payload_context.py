"""A payload of version 2: its contexts and its segments (docs/format.md, sections 7 to 10)."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.codecs import bitstream, context, context_fit, huffman
from sparsebook_compressor.codecs.context_model import (
    HISTORIES,
    Block,
    ContextModel,
    lanes_of,
    segment_count,
)
from sparsebook_compressor.errors import PayloadError
from sparsebook_compressor.payload_header import (
    Header,
    Reader,
    check_sizes,
    checksum,
    finish,
    take_codebook,
    take_sizes,
)
from sparsebook_compressor.payload_layout import (
    CONTEXT_HEAD_BYTES,
    CONTEXT_SEGMENT,
    HEAD_BYTES,
    MASK_GROUPS,
    MASK_NONE,
    MAX_CLASSES,
    MAX_CODE_CONTEXTS,
)

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

_HEAD = struct.Struct("<8B")


@dataclass(frozen=True, slots=True)
class _Head:
    """The eight bytes that say how large the sections behind them are."""

    split: int
    mask: int
    group_axis: int
    rows_by: int
    columns_by: int
    contexts: int

    def check(self, header: Header) -> None:
        """Refuse what section 8 does not allow."""
        rank = len(header.shape)
        _expect(self.split <= rank, f"split {self.split}; 0 to {rank} are allowed")
        _expect(self.mask <= MASK_GROUPS, f"mask {self.mask}; 0 to {MASK_GROUPS} are allowed")
        _expect(self.mask == MASK_NONE or header.centroids > 0, "a mask without centroids")
        groups = range(self.split, rank) if self.mask == MASK_GROUPS else (0,)
        _expect(self.group_axis in groups, f"groups from axis {self.group_axis}")
        for count in (self.rows_by, self.columns_by):
            _expect(1 <= count <= MAX_CLASSES, f"{count} classes; 1 to {MAX_CLASSES} are allowed")
        _expect(
            1 <= self.contexts <= MAX_CODE_CONTEXTS,
            f"{self.contexts} contexts of codes; 1 to {MAX_CODE_CONTEXTS} are allowed",
        )


@dataclass(frozen=True, eq=False, slots=True)
class Contexts:
    """A payload of version 2 taken apart.

    Attributes:
        header: of the payload.
        codebook: float32[centroids].
        model: the contexts.
        sizes: bytes of every segment, int64[segments].
        data: the segments.
    """

    header: Header
    codebook: npt.NDArray[np.float32]
    model: ContextModel
    sizes: I64
    data: bytes

    def decode(self) -> U8:
        """The codes, uint8[elements].

        Raises:
            PayloadError: `stream`.
        """
        codes = np.empty(self.header.elements, np.uint8)
        for block, piece in self.pieces():
            codes[block.first : block.end] = piece
        return codes

    def pieces(self) -> Iterator[tuple[Block, U8]]:
        """The codes, one stretch behind the other.

        Raises:
            PayloadError: `stream`.
        """
        found = context.decode(self.model, self.data, self.sizes, self.header.elements)
        for block, piece, wrong in found:
            if wrong is not None:
                raise PayloadError(
                    "stream",
                    f"segment {wrong}: it does not end in its first state at its last byte",
                )
            yield block, piece


def encode(header: Header, codebook: bytes, codes: U8) -> tuple[bytes, int]:
    """The payload of a weight, and how many of its bytes are segments.

    Args:
        header: as it will stand there.
        codebook: the centroids as they are stored.
        codes: uint8[elements], at least one.
    """
    model = context_fit.fit(codes, header.shape, header.centroids)
    data, sizes = context.encode(model, codes)
    head = _HEAD.pack(
        model.split,
        model.mask,
        model.group_axis,
        model.rows_by,
        model.columns_by,
        len(model.code_levels),
        0,
        0,
    )
    rows = _class_sections(model.row_classes, model.rows_by)
    columns = _class_sections(model.column_classes, model.columns_by)
    classes = [part for pair in zip(rows, columns, strict=True) for part in pair]
    cells = model.code_contexts.tobytes() if len(model.code_levels) > 1 else b""
    tables = [model.mask_levels.tobytes(), cells, model.code_levels.tobytes()]
    body = b"".join(
        [header.to_bytes(), codebook, head, *classes, *tables, sizes.astype("<u4").tobytes(), data]
    )
    return body + checksum(body), len(data)


def _class_sections(classes: U8, count: int) -> tuple[bytes, bytes, bytes]:
    """Code lengths, segment sizes and segments of the classes of rows or columns."""
    if count == 1:
        return b"", b"", b""
    lengths = huffman.code_lengths(np.bincount(classes, minlength=count).astype(np.int64))
    data, sizes = bitstream.pack(classes, huffman.code_words(lengths), lengths)
    return huffman.write_lengths(lengths), sizes.astype("<u2").tobytes(), data


def read(data: bytes, header: Header) -> Contexts:
    """Validate a payload of version 2 and take it apart; what is allocated is bounded by its bytes.

    Raises:
        PayloadError: with the rule of docs/format.md, section 10, that is broken.
    """
    reader = Reader(data, HEAD_BYTES + 4 * len(header.shape))
    codebook = take_codebook(reader, header)
    head = _take_head(reader, header)
    outer, inner = math.prod(header.shape[: head.split]), math.prod(header.shape[head.split :])
    axes = (("row classes", outer, head.rows_by), ("column classes", inner, head.columns_by))
    lengths = [_take_lengths(reader, name, count) for name, _, count in axes]
    stored = [
        take_sizes(reader, symbols, length, name)
        for (name, symbols, _), length in zip(axes, lengths, strict=True)
    ]
    for (name, *_), sizes in zip(axes, stored, strict=True):
        check_sizes(sizes, name)
    streams = [
        reader.take(int(sizes.sum()), f"the {name}")
        for (name, *_), sizes in zip(axes, stored, strict=True)
    ]
    cells = head.rows_by * head.columns_by
    histories = 0 if head.mask == MASK_NONE else HISTORIES[head.mask]
    mask = reader.take(cells * histories, "the mask's levels")
    contexts = reader.take(cells if head.contexts > 1 else 0, "the contexts of the cells")
    alphabet = header.centroids + (head.mask == MASK_NONE)
    levels = reader.take(head.contexts * alphabet, "the codes' levels")
    sizes = _take_segment_sizes(reader, header.elements)
    segments = reader.take(int(sizes.sum()), "the segments")
    finish(reader, codebook)
    model = ContextModel(
        shape=header.shape,
        split=head.split,
        mask=head.mask,
        group_axis=head.group_axis,
        row_classes=_classes(streams[0], stored[0], lengths[0], outer, "row classes"),
        column_classes=_classes(streams[1], stored[1], lengths[1], inner, "column classes"),
        rows_by=head.rows_by,
        columns_by=head.columns_by,
        mask_levels=np.frombuffer(mask, np.uint8),
        code_contexts=np.frombuffer(contexts or bytes(cells), np.uint8),
        code_levels=np.frombuffer(levels, np.uint8).reshape(head.contexts, alphabet),
    )
    _check_model(model)
    return Contexts(header, codebook.astype(np.float32), model, sizes, segments)


def _expect(holds: bool, detail: str) -> None:
    if not holds:
        raise PayloadError("contexts", detail)


def _take_head(reader: Reader, header: Header) -> _Head:
    *fields, first, second = _HEAD.unpack(reader.take(CONTEXT_HEAD_BYTES, "the contexts"))
    head = _Head(*fields)
    head.check(header)
    _expect(first == second == 0, "the last two bytes are not 0")
    return head


def _take_lengths(reader: Reader, name: str, count: int) -> U8 | None:
    """Code lengths of classes; None where there is one class, which takes no bytes."""
    if count == 1:
        return None
    lengths, reader.offset = huffman.read_lengths(reader.data, reader.offset, count, name)
    return lengths


def _take_segment_sizes(reader: Reader, elements: int) -> I64:
    stored = reader.take(4 * segment_count(elements), "the segment sizes")
    sizes = np.frombuffer(stored, "<u4").astype(np.int64)
    least = np.full(len(sizes), 4 * lanes_of(CONTEXT_SEGMENT))
    length = np.full(len(sizes), CONTEXT_SEGMENT)
    if elements % CONTEXT_SEGMENT:
        length[-1] = elements % CONTEXT_SEGMENT
        least[-1] = 4 * lanes_of(int(length[-1]))
    # A symbol takes at most one word of two bytes, and an element is two symbols.
    wrong = (sizes < least) | (sizes > least + 4 * length) | (sizes % 2 != 0)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise PayloadError(
            "segment-size",
            f"segment {at}: {sizes[at]} bytes; an even number from {least[at]} to {least[at] + 4 * length[at]} "
            "is allowed",
        )
    return sizes


def _classes(data: bytes, sizes: I64, lengths: U8 | None, count: int, name: str) -> U8:
    if lengths is None:
        return np.zeros(1, np.uint8)
    if np.count_nonzero(lengths) == 1:
        return np.full(count, np.argmax(lengths), np.uint8)
    classes, wrong = bitstream.unpack(data, sizes, count, *huffman.decoding_table(lengths))
    bitstream.check(wrong, name)
    return classes


def _check_model(model: ContextModel) -> None:
    """Refuse tables that no symbol can be read by."""
    if model.mask != MASK_NONE:
        model.shares()
    highest = int(model.code_contexts.max())
    if highest >= len(model.code_levels):
        raise PayloadError(
            "cells", f"context {highest}; 0 to {len(model.code_levels) - 1} are allowed"
        )
    model.frequencies()
