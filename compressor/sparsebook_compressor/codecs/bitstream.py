"""Segmented bit streams: variable-length code words in, bytes out, and back (docs/format.md, section 4).

Both directions are vectorised. Packing adds every code word into the 16-bit units that it touches: code words do not
overlap, so adding is OR. Unpacking walks all segments in lockstep, one symbol of each at a time.
"""

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import PayloadError
from sparsebook_compressor.payload_layout import SEGMENT_SYMBOLS

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

# Segments packed at a time: 256 x 4096 symbols need about 30 MB of temporaries.
_PACK_SEGMENTS = 256
# Segments unpacked side by side: enough to hide NumPy's cost a call, 48 MB at the widest.
_UNPACK_SEGMENTS = 8192


def segment_count(symbols: int) -> int:
    """Segments that a stream of `symbols` symbols is cut into."""
    return -(-symbols // SEGMENT_SYMBOLS)


def fixed_stream_bytes(symbols: int, width: int) -> int:
    """Bytes of a fixed-width stream: whole segments end on a byte, so only the last one is rounded up."""
    return -(-symbols * width // 8)


def fixed_segment_sizes(symbols: int, width: int) -> I64:
    """Bytes of every segment of a fixed-width stream, int64[segments]."""
    counts = _segment_lengths(symbols)
    return (counts * width + 7) // 8


def pack(symbols: U8, words: U16, lengths: U8) -> tuple[bytes, I64]:
    """Write the code word of every symbol, most significant bit first.

    Args:
        symbols: uint8[n].
        words: uint16[alphabet], the code word of each symbol, right-aligned.
        lengths: uint8[alphabet], its bits, 1 to 12 for every symbol that occurs.

    Returns:
        The bytes, and the bytes of every segment, int64[segments].
    """
    parts: list[bytes] = []
    sizes: list[I64] = []
    step = _PACK_SEGMENTS * SEGMENT_SYMBOLS
    pairs = _of_pairs(words, lengths)
    for start in range(0, len(symbols), step):
        data, size = _pack_block(symbols[start : start + step], words, lengths, *pairs)
        parts.append(data)
        sizes.append(size)
    return b"".join(parts), np.concatenate(sizes) if sizes else np.zeros(0, np.int64)


def _pack_block(
    symbols: U8, words: U16, lengths: U8, pair_words: U64, pair_lengths: U8
) -> tuple[bytes, I64]:
    """Two symbols at a time: of the segments only the last may have an odd number of them."""
    odd = len(symbols) % 2
    index = (np.append(symbols, symbols[:1]) if odd else symbols).view("<u2")
    bits, word = pair_lengths[index].astype(np.int64), pair_words[index]
    if odd:
        bits[-1], word[-1] = lengths[symbols[-1]], words[symbols[-1]]
    ends = np.cumsum(bits)
    first = np.arange(0, len(bits), SEGMENT_SYMBOLS // 2)
    bits_before = np.concatenate([[0], ends])[first]
    bits_of = np.diff(np.append(bits_before, ends[-1]))
    sizes = (bits_of + 7) // 8
    byte_before = np.concatenate([[0], np.cumsum(sizes)])
    # Where each pair of code words begins, in bits: inside its segment plus the segment's byte-aligned start.
    shift = byte_before[:-1] * 8 - bits_before
    at = ends - bits + np.repeat(shift, (_segment_lengths(len(symbols)) + 1) // 2)
    # At most 24 bits that start within a 32-bit unit lie within that unit and the next one.
    window = word << (64 - bits - (at & 31)).astype(np.uint64)
    # The last word starts before the last bit, so units 0 to bytes / 4 + 1 are all that is touched.
    units = int(byte_before[-1]) // 4 + 2
    unit = at >> 5
    # Sums of bits that do not overlap stay below 2^32, which a float64 holds exactly.
    packed = np.bincount(unit, weights=window >> np.uint64(32), minlength=units)
    packed += np.bincount(unit + 1, weights=window & np.uint64(0xFFFFFFFF), minlength=units)
    return packed.astype(">u4").tobytes()[: int(byte_before[-1])], sizes


def _of_pairs(words: U16, lengths: U8) -> tuple[U64, U8]:
    """The words of two symbols behind each other and their bits, by first + 256 x second."""
    word, bits = np.zeros(256, np.uint64), np.zeros(256, np.uint8)
    word[: len(words)], bits[: len(lengths)] = words, lengths
    second = slice(0, len(words))
    joined = (word[None, :] << bits[second, None].astype(np.uint64)) | word[second, None]
    return joined.reshape(-1), (bits[None, :] + bits[second, None]).reshape(-1)


def unpack(
    data: bytes, sizes: I64, symbols: int, table_symbol: U8, table_length: U8
) -> tuple[U8, int | None]:
    """Read `symbols` symbols back by table lookup.

    Args:
        data: the stream, exactly the sum of `sizes` bytes.
        sizes: bytes of every segment, int64[segments].
        symbols: how many symbols there are.
        table_symbol: uint8[4096], the symbol whose code word begins the 12-bit window.
        table_length: uint8[4096], that code word's bits; never 0.

    Returns:
        The symbols, and the first segment whose code words do not end in its last byte, or whose spare bits are set; None
        where all is well.
    """
    out = np.empty(symbols, np.uint8)
    wrong: int | None = None
    starts = np.concatenate([[0], np.cumsum(sizes)])
    for begin in range(0, len(sizes), _UNPACK_SEGMENTS):
        end = min(begin + _UNPACK_SEGMENTS, len(sizes))
        block = out[begin * SEGMENT_SYMBOLS : end * SEGMENT_SYMBOLS]
        piece = np.frombuffer(data, np.uint8, int(starts[end] - starts[begin]), int(starts[begin]))
        found = _unpack_block(piece, sizes[begin:end], block, table_symbol, table_length)
        if wrong is None and found is not None:
            wrong = begin + found
    return out, wrong


def check(wrong: int | None, stream: str) -> None:
    """Refuse a stream in which `unpack` found something wrong.

    Raises:
        PayloadError: `stream`, naming the segment.
    """
    if wrong is not None:
        raise PayloadError(
            "stream", f"{stream}, segment {wrong}: its code words do not fill its bytes"
        )


def _unpack_block(data: U8, sizes: I64, out: U8, table_symbol: U8, table_length: U8) -> int | None:
    counts = _segment_lengths(len(out))
    ends = np.cumsum(sizes) * 8
    position = ends - sizes * 8
    windows = _windows(data)
    limit = len(windows) - 1
    lanes = len(sizes)
    full = int(counts[-1]) if lanes else 0
    rows = np.empty((int(counts.max(initial=0)), lanes), np.uint8)
    for step in range(len(rows)):
        if step == full:  # the last segment is the only one that may be shorter
            lanes -= 1
            if lanes == 0:
                break
        at = position[:lanes]
        # A damaged segment may run past the data; clamping keeps the read inside, the check below refuses it.
        word = windows[np.minimum(at >> 3, limit)]
        index = (word >> (12 - (at & 7)).astype(np.uint32)) & 0xFFF
        rows[step, :lanes] = table_symbol[index]
        at += table_length[index]
    for lane in range(len(sizes)):
        begin = lane * SEGMENT_SYMBOLS
        out[begin : begin + int(counts[lane])] = rows[: int(counts[lane]), lane]
    spare = ends - position
    wrong = (spare < 0) | (spare > 7)
    last = data[ends // 8 - 1].astype(np.int64)
    wrong |= (last & ((1 << np.clip(spare, 0, 7)) - 1)) != 0
    return int(np.argmax(wrong)) if wrong.any() else None


def _windows(data: U8) -> npt.NDArray[np.uint32]:
    """The 24 bits that begin at every byte, zeros behind the end, uint32[bytes + 1], in the low bits."""
    padded = np.zeros(len(data) + 3, np.uint32)
    padded[: len(data)] = data
    eight, sixteen = np.uint32(8), np.uint32(16)
    return (padded[:-2] << sixteen) | (padded[1:-1] << eight) | padded[2:]


def _segment_lengths(symbols: int) -> I64:
    counts = np.full(segment_count(symbols), SEGMENT_SYMBOLS, np.int64)
    if symbols % SEGMENT_SYMBOLS:
        counts[-1] = symbols % SEGMENT_SYMBOLS
    return counts
