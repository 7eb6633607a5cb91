"""Huffman streams of docs/format.md, sections 3 and 4, one character a bit."""

import math
import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Plain:
    shape: tuple[int, ...]
    dtype: int
    layout: int
    bits: int
    codebook: tuple[float, ...]
    codes: bytes

    @property
    def values(self) -> list[float]:
        return [(0.0, *self.codebook)[code] for code in self.codes]


def words(
    data: bytes, at: int, codec: int, alphabet: int, width: int
) -> tuple[dict[str, int], int]:
    """Symbols by their code words as text; the empty word means that one symbol fills the stream."""
    if codec == 0:
        return {format(symbol, f"0{width}b"): symbol for symbol in range(1 << width)}, at
    text = data[at:].hex()
    lengths: list[int] = []
    nibble = 0
    while len(lengths) < alphabet:
        value = int(text[nibble], 16)
        nibble += 1
        if value <= 12:
            lengths.append(value)
            continue
        repeated = {13: 0, 14: lengths[-1] if lengths else -1}[value]
        assert repeated >= 0
        lengths += [repeated] * (int(text[nibble], 16) + 2)
        nibble += 1
    assert len(lengths) == alphabet
    assert nibble % 2 == 0 or text[nibble] == "0"
    at += (nibble + 1) // 2
    used = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    if len(used) == 1:
        assert used[0][0] == 1
        return {"": used[0][1]}, at
    assert sum(2 ** (12 - length) for length, _ in used) == 2**12
    words = {}
    word, previous = 0, used[0][0]
    for length, symbol in used:
        word <<= length - previous
        words[format(word, f"0{length}b")] = symbol
        word, previous = word + 1, length
    return words, at


def sizes(
    data: bytes, at: int, segments: int, codec: int, words: dict[str, int]
) -> tuple[list[int] | None, int]:
    if codec == 0 or "" in words:
        return None, at
    return list(struct.unpack_from(f"<{segments}H", data, at)), at + 2 * segments


def stream(
    data: bytes, at: int, symbols: int, words: dict[str, int], sizes: list[int] | None
) -> tuple[bytes, int]:
    if "" in words:
        return bytes([words[""]]) * symbols, at
    out = bytearray()
    for segment in range(math.ceil(symbols / 4096)):
        count = min(4096, symbols - 4096 * segment)
        width = len(next(iter(words)))
        size = math.ceil(count * width / 8) if sizes is None else sizes[segment]
        text = "".join(format(byte, "08b") for byte in data[at : at + size])
        at += size
        word, taken = "", 0
        for _ in range(count):
            word = ""
            while word not in words:
                word += text[taken]
                taken += 1
            out.append(words[word])
        assert len(text) - 8 < taken <= len(text)
        assert set(text[taken:]) <= {"0"}
    return bytes(out), at
