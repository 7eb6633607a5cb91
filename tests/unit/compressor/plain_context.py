"""Version 2 of docs/format.md, sections 7 to 9, read from the page alone: one loop a symbol, no speed at all."""

import math
import struct
import zlib

from tests.unit.compressor.plain_huffman import Plain, sizes, stream, words


def decode(data: bytes) -> Plain:
    """Decode a well-formed payload of version 2; anything else fails one of the assertions."""
    assert data[4] == 2
    dtype, rank, layout, bits, gap_bits, half, *codecs, zero = data[5:14]
    assert (layout, gap_bits, codecs, zero) == (2, 0, [2, 0], 0)
    centroids, elements = struct.unpack_from("<HQ", data, 14)
    shape = struct.unpack_from(f"<{rank}I", data, 24)
    assert math.prod(shape) == elements > 0
    at = 24 + 4 * rank
    codebook = struct.unpack_from(f"<{centroids}{'f' if half == 1 else 'e'}", data, at)
    at += centroids * (4 if half == 1 else 2)
    split, mask, axis, rows_by, columns_by, contexts, *spare = data[at : at + 8]
    at += 8
    assert spare == [0, 0]
    rows, columns = math.prod(shape[:split]), math.prod(shape[split:])
    tables = []
    for count in (rows_by, columns_by):
        table = {"": 0}
        if count > 1:
            table, at = words(data, at, 1, count, 0)
        tables.append(table)
    stored = []
    for table, count in zip(tables, (rows, columns), strict=True):
        found, at = sizes(data, at, math.ceil(count / 4096), 1, table)
        stored.append(found)
    classes = []
    for table, count, size in zip(tables, (rows, columns), stored, strict=True):
        found, at = stream(data, at, count, table, size)
        classes.append(found)
    histories = (0, 1, 15, 15)[mask]
    cells = rows_by * columns_by
    shares = [_share(level) for level in data[at : at + cells * histories]]
    at += cells * histories
    of_cells = data[at : at + cells] if contexts > 1 else bytes(cells)
    at += cells if contexts > 1 else 0
    alphabet = centroids + (mask == 0)
    slots = []
    for _ in range(contexts):
        slots.append(_slots(data[at : at + alphabet]))
        at += alphabet
    count = math.ceil(elements / 65536)
    lengths = struct.unpack_from(f"<{count}I", data, at)
    at += 4 * count
    cell = [
        classes[0][i // columns] * columns_by + classes[1][i % columns] for i in range(elements)
    ]
    begins = [mask == 3 and i % math.prod(shape[axis:]) == 0 for i in range(elements + 1)]
    codes = b""
    for first, length in zip(range(0, elements, 65536), lengths, strict=True):
        end = min(first + 65536, elements)
        reader = _Segment(data[at : at + length], end - first)
        at += length
        codes += reader.read(
            cell[first:end], begins[first : end + 1], mask, shares, histories, of_cells, slots
        )
    assert struct.pack("<I", zlib.crc32(data[:at])) == data[at:]
    return Plain(shape, dtype, layout, bits, codebook, bytes(codes))


def _weight(level: int) -> int:
    return level if level < 8 else (8 + level % 8) * 2 ** (level // 8 - 1)


def _share(level: int) -> int:
    assert 1 <= level <= 143
    return _weight(level) if level <= 72 else 4096 - _weight(144 - level)


def _slots(levels: bytes) -> list[tuple[int, int, int]]:
    """For each of 4096 slots its symbol, that symbol's frequency and its first slot."""
    weights = [_weight(level) for level in levels]
    rest = 4096 - sum(level > 0 for level in levels)
    scaled = [1 + weight * rest // sum(weights) if weight else 0 for weight in weights]
    scaled[scaled.index(max(scaled))] += 4096 - sum(scaled)
    found: list[tuple[int, int, int]] = []
    for symbol, frequency in enumerate(scaled):
        found += [(symbol, frequency, len(found))] * frequency
    assert len(found) == 4096
    return found


class _Segment:
    def __init__(self, data: bytes, elements: int) -> None:
        self.elements = elements
        lanes = 4 if elements >= 16384 else 1
        self.states = list(struct.unpack_from(f"<{lanes}I", data))
        assert min(self.states) >= 65536
        self.words = list(struct.unpack(f"<{(len(data) - 4 * lanes) // 2}H", data[4 * lanes :]))

    def read(
        self,
        cell: list[int],
        begins: list[bool],
        mask: int,
        shares: list[int],
        histories: int,
        of_cells: bytes,
        slots: list[list[tuple[int, int, int]]],
    ) -> bytes:
        nonzero = [True] * self.elements
        if mask:
            nonzero = self.mask(cell, shares, histories, mask, begins)
        found = self.codes(cell, of_cells, slots, nonzero)
        assert self.words == []
        assert set(self.states) == {65536}
        return bytes(code + (mask != 0) if there else 0 for there, code in found)

    def take(self, lane: int, frequency: int, start: int) -> None:
        state = self.states[lane]
        state = frequency * (state // 4096) + state % 4096 - start
        if state < 65536:
            state = 65536 * state + self.words.pop(0)
        self.states[lane] = state

    def mask(
        self, cell: list[int], shares: list[int], histories: int, mask: int, begins: list[bool]
    ) -> list[bool]:
        lanes = len(self.states)
        steps = math.ceil(self.elements / lanes)
        nonzero = [False] * self.elements
        history = [1] * lanes
        for step in range(steps):
            for lane in range(lanes):
                at = lane * steps + step
                if at >= self.elements or at >= (lane + 1) * steps:
                    continue
                share = shares[cell[at] * histories + history[lane] - 1]
                bit = self.states[lane] % 4096 < share
                self.take(lane, share if bit else 4096 - share, 0 if bit else share)
                nonzero[at] = bit
                if mask > 1:
                    longer = 2 * history[lane] + bit
                    history[lane] = longer if longer < 16 else 8 + longer % 8
                if begins[at + 1]:
                    history[lane] = 1
        return nonzero

    def codes(
        self,
        cell: list[int],
        of_cells: bytes,
        slots: list[list[tuple[int, int, int]]],
        nonzero: list[bool],
    ) -> list[tuple[bool, int]]:
        found, turn = [], 0
        for at, there in enumerate(nonzero):
            symbol = 0
            if there:
                lane = turn % len(self.states)
                symbol, frequency, start = slots[of_cells[cell[at]]][self.states[lane] % 4096]
                self.take(lane, frequency, start)
                turn += 1
            found.append((there, symbol))
        return found
