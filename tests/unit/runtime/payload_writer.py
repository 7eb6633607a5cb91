"""A payload writer of its own, made from docs/format.md alone: what is tested must not depend on the compressor."""

import heapq
import itertools
import math
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SEGMENT = 4096
FLOAT32 = 1
FLOAT16 = 10


@dataclass(frozen=True)
class Options:
    """How a payload is written; the defaults are the compressor's usual choice."""

    layout: str = "gaps"
    gap_bits: int = 8
    codec: str = "huffman"
    codebook_dtype: int = FLOAT32
    dtype: int = FLOAT32


def write(codes: NDArray[np.uint8], codebook: NDArray[np.float32], options: Options) -> bytes:
    """Encode the weight whose element i is 0 where code i is 0, else `codebook[code - 1]`."""
    bits = max(1, len(codebook).bit_length())
    if options.layout == "dense":
        gaps, symbols = [], codes.ravel().tolist()
    else:
        gaps, symbols = _pairs(codes.ravel(), options.gap_bits)
    huffman = options.codec == "huffman" and len(symbols) > 0
    code_section, code_sizes, code_stream = _stream(symbols, bits, len(codebook) + 1, huffman)
    gap_section, gap_sizes, gap_stream = b"", b"", b""
    if options.layout == "gaps":
        gap_section, gap_sizes, gap_stream = _stream(
            gaps, options.gap_bits, 1 << options.gap_bits, huffman
        )
    head = b"SBKP" + struct.pack(
        "<10B H Q",
        1,
        options.dtype,
        codes.ndim,
        int(options.layout == "gaps"),
        bits,
        options.gap_bits if options.layout == "gaps" else 0,
        options.codebook_dtype,
        int(huffman),
        int(huffman and options.layout == "gaps"),
        0,
        len(codebook),
        len(symbols),
    )
    values = codebook.astype("<f4" if options.codebook_dtype == FLOAT32 else "<f2").tobytes()
    shape = struct.pack(f"<{codes.ndim}I", *codes.shape)
    body = b"".join(
        [
            head,
            shape,
            values,
            code_section,
            gap_section,
            code_sizes,
            gap_sizes,
            code_stream,
            gap_stream,
        ]
    )
    return body + struct.pack("<I", zlib.crc32(body))


def _pairs(codes: NDArray[np.uint8], gap_bits: int) -> tuple[list[int], list[int]]:
    """Gap and code of every non-zero, with fillers."""
    widest = (1 << gap_bits) - 1
    gaps: list[int] = []
    symbols: list[int] = []
    previous = -1
    for position in np.flatnonzero(codes).tolist():
        gap = position - previous - 1
        while gap > widest:
            gaps.append(widest)
            symbols.append(0)
            gap -= widest + 1
        gaps.append(gap)
        symbols.append(int(codes[position]))
        previous = position
    return gaps, symbols


def _stream(
    symbols: Sequence[int], width: int, alphabet: int, huffman: bool
) -> tuple[bytes, bytes, bytes]:
    """The code lengths, segment sizes and segments of one stream."""
    if not huffman:
        words = {symbol: (symbol, width) for symbol in range(alphabet)}
        return b"", b"", b"".join(_segments(symbols, words))
    lengths = code_lengths(Counter(symbols), alphabet)
    section = pack_nibbles(length_nibbles(lengths))
    if sum(length > 0 for length in lengths) == 1:
        return section, b"", b""
    segments = _segments(symbols, canonical(lengths))
    return section, struct.pack(f"<{len(segments)}H", *map(len, segments)), b"".join(segments)


def _segments(symbols: Sequence[int], words: dict[int, tuple[int, int]]) -> list[bytes]:
    segments = []
    for start in range(0, len(symbols), SEGMENT):
        bits = "".join(
            format(word, f"0{length}b")
            for word, length in map(words.__getitem__, symbols[start : start + SEGMENT])
        )
        size = math.ceil(len(bits) / 8)
        segments.append(int(bits.ljust(8 * size, "0"), 2).to_bytes(size, "big"))
    return segments


def code_lengths(counts: Counter[int], alphabet: int) -> list[int]:
    """Huffman code lengths of at most 12, found by flattening the counts until they fit."""
    weights = dict(counts)
    while True:
        lengths = [0] * alphabet
        order = itertools.count()
        heap = [(weight, next(order), [symbol]) for symbol, weight in sorted(weights.items())]
        heapq.heapify(heap)
        if len(heap) == 1:
            lengths[heap[0][2][0]] = 1
        while len(heap) > 1:
            low, _, left = heapq.heappop(heap)
            high, _, right = heapq.heappop(heap)
            for symbol in left + right:
                lengths[symbol] += 1
            heapq.heappush(heap, (low + high, next(order), left + right))
        if max(lengths) <= 12:
            return lengths
        weights = {symbol: weight // 2 + 1 for symbol, weight in weights.items()}


def canonical(lengths: Sequence[int]) -> dict[int, tuple[int, int]]:
    """RFC 1951, section 3.2.2: the code word and its length, by symbol."""
    words = {}
    word = 0
    for length in range(1, 13):
        for symbol in (s for s, at in enumerate(lengths) if at == length):
            words[symbol] = (word, length)
            word += 1
        word <<= 1
    return words


def length_nibbles(lengths: Sequence[int]) -> list[int]:
    """The code lengths as nibbles, runs taken where there are any."""
    nibbles: list[int] = []
    previous = -1
    for length, group in itertools.groupby(lengths):
        left = len(list(group))
        while left:
            if length == 0 and left >= 2:
                run = min(left, 17)
                nibbles += [13, run - 2]
            elif length == previous and left >= 2:
                run = min(left, 17)
                nibbles += [14, run - 2]
            else:
                run = 1
                nibbles.append(length)
            previous = length
            left -= run
    return nibbles


def pack_nibbles(nibbles: Sequence[int]) -> bytes:
    padded = [*nibbles, 0] if len(nibbles) % 2 else list(nibbles)
    return bytes(high << 4 | low for high, low in zip(padded[::2], padded[1::2], strict=True))


def sparse_weight(
    shape: Sequence[int], density: float, centroids: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Random codes and codebook, and the dense weight they stand for."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(1, centroids + 1, size=tuple(shape), dtype=np.uint16)
    codes[rng.random(tuple(shape)) >= density] = 0
    codebook = rng.normal(size=centroids).astype(np.float16).astype(np.float32)
    return (
        codes.astype(np.uint8),
        codebook,
        np.concatenate([[0], codebook]).astype(np.float32)[codes],
    )


def edited(payload: bytes, edit: Callable[[bytearray], None]) -> bytes:
    """The payload with its body edited and its checksum made right again."""
    body = bytearray(payload[:-4])
    edit(body)
    return bytes(body) + struct.pack("<I", zlib.crc32(body))
