"""A third decoder, written from docs/format.md alone: one character a bit, one loop a symbol, no speed at all."""

import math
import struct
import zlib

from tests.unit.compressor import plain_context
from tests.unit.compressor.plain_huffman import Plain, sizes, stream, words


def decode(data: bytes) -> Plain:
    """Decode a well-formed payload; anything else fails one of the assertions."""
    assert data[:4] == b"SBKP"
    if data[4] == 2:
        return plain_context.decode(data)
    version, dtype, rank, layout, bits, gap_bits, half, code_codec, gap_codec, zero = data[4:14]
    assert (version, zero) == (1, 0)
    (centroids,) = struct.unpack_from("<H", data, 14)
    (symbols,) = struct.unpack_from("<Q", data, 16)
    shape = struct.unpack_from(f"<{rank}I", data, 24)
    at = 24 + 4 * rank
    codebook = struct.unpack_from(f"<{centroids}{'f' if half == 1 else 'e'}", data, at)
    at += centroids * (4 if half == 1 else 2)
    code_words, at = words(data, at, code_codec, centroids + 1, bits)
    gap_words: dict[str, int] = {"": 0}
    if layout == 1:
        gap_words, at = words(data, at, gap_codec, 1 << gap_bits, gap_bits)
    segments = math.ceil(symbols / 4096)
    code_sizes, at = sizes(data, at, segments, code_codec, code_words)
    gap_sizes, at = sizes(data, at, segments, gap_codec, gap_words)
    codes, at = stream(data, at, symbols, code_words, code_sizes)
    gaps, at = stream(data, at, symbols, gap_words, gap_sizes)
    assert struct.pack("<I", zlib.crc32(data[:at])) == data[at:]
    if layout == 1:
        elements = bytearray(math.prod(shape))
        position = -1
        for gap, code in zip(gaps, codes, strict=True):
            position += gap + 1
            elements[position] = code
        codes = bytes(elements)
    assert len(codes) == math.prod(shape)
    return Plain(shape, dtype, layout, bits, codebook, codes)
