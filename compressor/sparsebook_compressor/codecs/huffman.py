"""Canonical, length-limited Huffman codes (docs/format.md, section 3).

Lengths come from Huffman's algorithm and, where that passes the limit, from package-merge (Larmore and Hirschberg,
JACM 37(3), 1990), which is optimal under it; code words are canonical (RFC 1951, section 3.2.2), so that the lengths
alone describe the code.
"""

import heapq

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import PayloadError
from sparsebook_compressor.payload_layout import (
    MAX_CODE_LENGTH,
    MAX_RUN,
    MIN_RUN,
    NIBBLE_REPEAT_RUN,
    NIBBLE_ZERO_RUN,
)

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
I64 = npt.NDArray[np.int64]


def code_lengths(counts: I64, limit: int = MAX_CODE_LENGTH) -> U8:
    """Optimal code lengths under a limit.

    Args:
        counts: int64[alphabet], how often each symbol occurs.
        limit: longest code word in bits; 2^limit must reach the symbols that occur.

    Returns:
        uint8[alphabet]; 0 where the count is 0, and 1 for a symbol that is alone.
    """
    used = np.flatnonzero(counts)
    lengths = np.zeros(len(counts), np.uint8)
    if len(used) == 1:
        lengths[used] = 1
    if len(used) <= 1:
        return lengths
    lengths[used] = _huffman(counts[used])
    if lengths.max() > limit:
        lengths[used] = _package_merge(counts[used], limit)
    return lengths


def _huffman(counts: I64) -> U8:
    """Unlimited lengths of at least two symbols; ties go by the order of creation, so the result is unique."""
    alphabet = len(counts)
    heap = [(int(count), symbol) for symbol, count in enumerate(counts)]
    heapq.heapify(heap)
    parent = [0] * (2 * alphabet - 1)
    for node in range(alphabet, 2 * alphabet - 1):
        first = heapq.heappop(heap)
        second = heapq.heappop(heap)
        parent[first[1]] = parent[second[1]] = node
        heapq.heappush(heap, (first[0] + second[0], node))
    depth = [0] * (2 * alphabet - 1)
    for node in range(2 * alphabet - 3, -1, -1):
        depth[node] = depth[parent[node]] + 1
    # A Huffman tree over counts that sum below 2^63 is at most 90 deep (Fibonacci), so uint8 holds it.
    return np.array(depth[:alphabet], np.uint8)


def _package_merge(counts: I64, limit: int) -> U8:
    leaves = sorted((int(count), (symbol,)) for symbol, count in enumerate(counts))
    packages: list[tuple[int, tuple[int, ...]]] = []
    for _ in range(limit):
        merged = sorted([*leaves, *packages], key=lambda item: item[0])
        packages = [
            (first[0] + second[0], first[1] + second[1])
            for first, second in zip(merged[0::2], merged[1::2], strict=False)
        ]
    lengths = np.zeros(len(counts), np.uint8)
    for _, symbols in packages[: len(counts) - 1]:
        for symbol in symbols:
            lengths[symbol] += 1
    return lengths


def code_words(lengths: U8) -> U16:
    """Canonical code words, right-aligned, uint16[alphabet]; 0 where the length is 0."""
    words = np.zeros(len(lengths), np.uint16)
    word = 0
    for length in range(1, MAX_CODE_LENGTH + 1):
        for symbol in np.flatnonzero(lengths == length):
            words[symbol] = word
            word += 1
        word <<= 1
    return words


def decoding_table(lengths: U8) -> tuple[U8, U8]:
    """Symbol and code length for every 12-bit window, uint8[4096] each. The code must be complete."""
    order = np.lexsort((np.arange(len(lengths)), lengths))
    order = order[lengths[order] > 0]
    span = 1 << (MAX_CODE_LENGTH - lengths[order].astype(np.int64))
    return np.repeat(order, span).astype(np.uint8), np.repeat(lengths[order], span)


def write_lengths(lengths: U8) -> bytes:
    """Serialise code lengths as nibbles with runs."""
    nibbles: list[int] = []
    at = 0
    while at < len(lengths):
        value = int(lengths[at])
        run = 1
        while at + run < len(lengths) and lengths[at + run] == value:
            run += 1
        at += run
        if value:
            nibbles.append(value)
            run -= 1
        marker = NIBBLE_REPEAT_RUN if value else NIBBLE_ZERO_RUN
        while run > MIN_RUN:  # a run of two costs as much as two literals
            piece = min(run, MAX_RUN)
            nibbles += [marker, piece - MIN_RUN]
            run -= piece
        nibbles += [value] * run
    if len(nibbles) % 2:
        nibbles.append(0)
    pairs = np.array(nibbles, np.uint8).reshape(-1, 2)
    return (pairs[:, 0] << 4 | pairs[:, 1]).tobytes()


def read_lengths(data: bytes, offset: int, alphabet: int, stream: str) -> tuple[U8, int]:
    """Read what `write_lengths` wrote.

    Returns:
        The lengths, uint8[alphabet], and the offset behind them.

    Raises:
        PayloadError: `truncated`, or `code-lengths` where the table breaks section 3.
    """
    lengths = np.zeros(alphabet, np.uint8)
    at = 0
    nibble = offset * 2

    def take() -> int:
        nonlocal nibble
        if nibble // 2 >= len(data):
            raise PayloadError(
                "truncated", f"{stream}: the code lengths end after {len(data)} bytes"
            )
        byte = data[nibble // 2]
        value = byte & 15 if nibble % 2 else byte >> 4
        nibble += 1
        return value

    while at < alphabet:
        value = take()
        if value <= MAX_CODE_LENGTH:
            lengths[at] = value
            at += 1
            continue
        if value not in (NIBBLE_ZERO_RUN, NIBBLE_REPEAT_RUN):
            raise PayloadError("code-lengths", f"{stream}: nibble {value}; 0 to 14 are allowed")
        run = take() + MIN_RUN
        if value == NIBBLE_REPEAT_RUN and at == 0:
            raise PayloadError("code-lengths", f"{stream}: a repeat before the first symbol")
        if at + run > alphabet:
            raise PayloadError("code-lengths", f"{stream}: a run passes the alphabet of {alphabet}")
        lengths[at : at + run] = 0 if value == NIBBLE_ZERO_RUN else lengths[at - 1]
        at += run
    if nibble % 2 and take() != 0:
        raise PayloadError("code-lengths", f"{stream}: the padding nibble is not 0")
    _check_complete(lengths, stream)
    return lengths, nibble // 2


def _check_complete(lengths: U8, stream: str) -> None:
    used = lengths[lengths > 0].astype(np.int64)
    if len(used) == 1:
        if used[0] != 1:
            raise PayloadError(
                "code-lengths", f"{stream}: a lone symbol has length {used[0]}; 1 is allowed"
            )
        return
    total = int((1 << (MAX_CODE_LENGTH - used)).sum())
    if total != 1 << MAX_CODE_LENGTH:
        raise PayloadError(
            "code-lengths",
            f"{stream}: the code is not complete: the sum of 2^-length is {total}/{1 << MAX_CODE_LENGTH}",
        )
