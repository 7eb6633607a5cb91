"""The context codec (docs/format.md, sections 8 and 9): zeros by row, column and what came before, codes by cell.

Both directions work on many segments side by side, one symbol of every lane at a time.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.codecs import rans
from sparsebook_compressor.codecs.context_model import (
    Block,
    ContextModel,
    blocks,
    following,
    histories,
)
from sparsebook_compressor.payload_layout import MASK_NONE, PROBABILITY_BITS

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

# Segments side by side: enough to hide NumPy's cost a call; temporaries take about 60 bytes an element, 250 MB.
_SIDE_BY_SIDE = 64
_WHOLE = 1 << PROBABILITY_BITS


def encode(model: ContextModel, codes: U8) -> tuple[bytes, I64]:
    """The segments of a weight and the bytes of each, int64[segments].

    Args:
        model: in which every code that occurs has a frequency.
        codes: uint8[n].
    """
    parts: list[bytes] = []
    sizes: list[I64] = []
    for block in blocks(len(codes), _SIDE_BY_SIDE):
        data, size = _encode_block(model, block, codes[block.first : block.end])
        parts.append(data)
        sizes.append(size)
    return b"".join(parts), np.concatenate(sizes) if sizes else np.zeros(0, np.int64)


def _encode_block(model: ContextModel, block: Block, codes: U8) -> tuple[bytes, I64]:
    states = np.full(block.segments * block.lanes, rans.LOWEST, np.uint32)
    last = [rans.push(states, *_code_symbols(model, block, codes))]
    if model.mask != MASK_NONE:
        last.insert(0, rans.push(states, *_mask_symbols(model, block, codes)))
    pieces: list[list[U16]] = [[] for _ in range(block.segments)]
    heads = states.astype("<u4").reshape(block.segments, block.lanes).view("<u2")
    for words, written in last:
        shape = (len(words), block.segments, block.lanes)
        apart, out = words.reshape(shape), written.reshape(shape)
        for segment in range(block.segments):
            pieces[segment].append(apart[:, segment][out[:, segment]])
    whole = [
        np.concatenate([head, *piece]).astype("<u2").tobytes()
        for head, piece in zip(heads, pieces, strict=True)
    ]
    return b"".join(whole), np.array([len(each) for each in whole], np.int64)


def _mask_symbols(model: ContextModel, block: Block, codes: U8) -> tuple[U16, U16]:
    """Frequency and start of every element's zero or non-zero, uint16[steps, segments x lanes]."""
    positions = block.positions()
    present = block.present()
    # A lane that ends early is kept in step behind its end, where any element will do.
    within = np.minimum(positions, block.end - 1)
    nonzero = codes[within - block.first] != 0
    past = histories(model.mask, model.group, nonzero, positions)
    context = model.cells(within).astype(np.uint16) * np.uint16(model.histories) + past
    share = model.shares().astype(np.uint16)[context]
    frequency = np.where(nonzero, share, np.uint16(_WHOLE) - share)
    start = np.where(nonzero, np.uint16(0), share)
    frequency[~present], start[~present] = _WHOLE, 0
    return np.ascontiguousarray(frequency.T), np.ascontiguousarray(start.T)


def _code_symbols(model: ContextModel, block: Block, codes: U8) -> tuple[U16, U16]:
    """Frequency and start of every code, uint16[steps, segments x lanes]; the i-th of a segment is in lane i modulo lanes."""
    listed, counts = _listed(model, codes, block)
    frequencies = model.frequencies()
    starts = np.cumsum(frequencies, axis=1) - frequencies
    context = model.code_contexts[model.cells(listed + block.first)]
    symbol = codes[listed] - np.uint8(model.first_code)
    steps = -(-int(counts.max(initial=0)) // block.lanes)
    place = _places(counts, steps * block.lanes)
    frequency = np.full(block.segments * steps * block.lanes, _WHOLE, np.uint16)
    start = np.zeros_like(frequency)
    frequency[place] = frequencies[context, symbol]
    start[place] = starts[context, symbol]
    shape = (block.segments, steps, block.lanes)
    rows = (steps, block.segments * block.lanes)
    return (
        frequency.reshape(shape).transpose(1, 0, 2).reshape(rows),
        start.reshape(shape).transpose(1, 0, 2).reshape(rows),
    )


def _listed(model: ContextModel, codes: U8, block: Block) -> tuple[I64, I64]:
    """Offsets of the elements that have a code, and how many each segment has."""
    if model.mask == MASK_NONE:
        return np.arange(len(codes)), np.full(block.segments, block.length)
    listed = np.flatnonzero(codes)
    return listed, np.bincount(listed // block.length, minlength=block.segments)


def _places(counts: I64, room: int) -> I64:
    """Where the symbols of segments stand that have room for `room` each."""
    before = np.cumsum(counts) - counts
    shift = room * np.arange(len(counts)) - before
    places: I64 = np.arange(int(counts.sum())) + np.repeat(shift, counts)
    return places


def decode(
    model: ContextModel, data: bytes, sizes: I64, elements: int
) -> Iterator[tuple[Block, U8, int | None]]:
    """Read a weight's codes back, some segments at a time, so that a weight need not stand in memory to be looked at.

    Args:
        model: the contexts, whose tables are sound.
        data: the segments, exactly the sum of `sizes` bytes.
        sizes: bytes of every segment, int64[segments], as section 8 bounds them.
        elements: of the weight.

    Yields:
        The block, its codes, uint8[end - first], and its first segment that does not end where its bytes do, or None.
    """
    begin, segment = 0, 0
    for block in blocks(elements, _SIDE_BY_SIDE):
        size = sizes[segment : segment + block.segments]
        total = int(size.sum())
        words = np.frombuffer(data, "<u2", total // 2, begin)
        codes = np.zeros(block.end - block.first, np.uint8)
        sound = _decode_block(model, block, words, size // 2, codes)
        yield block, codes, None if sound.all() else segment + int(np.argmin(sound))
        begin += total
        segment += block.segments


def _decode_block(model: ContextModel, block: Block, words: U16, sizes: I64, codes: U8) -> Bool:
    end = np.cumsum(sizes)
    begin = end - sizes
    heads = begin[:, None] + np.arange(2 * block.lanes)
    states = words[heads].astype("<u2").view("<u4").astype(np.uint32)
    sound: Bool = (states >= rans.LOWEST).all(axis=1)
    pull = rans.Pull(states, words, begin + 2 * block.lanes, end)
    if model.mask != MASK_NONE:
        _pull_mask(model, block, pull, codes)
    _pull_codes(model, block, pull, codes)
    return sound & pull.sound()


def _pull_mask(model: ContextModel, block: Block, pull: rans.Pull, codes: U8) -> None:
    """Mark every element that is not zero with a 1."""
    positions = block.positions()
    present = np.ascontiguousarray(block.present().T)
    cells = np.ascontiguousarray(model.cells(np.minimum(positions, block.end - 1)).T)
    begins = np.ascontiguousarray((positions % max(1, model.group) == 0).T)
    shares = np.concatenate([model.shares(), [np.uint32(0)]])
    found = np.zeros(cells.shape, np.bool_)
    past = np.zeros(cells.shape[1], np.uint8)
    shape = pull.states.shape
    whole = bool(present.all())
    for step in range(block.steps):
        context = cells[step].astype(np.intp) * model.histories + past
        # Behind a lane's end nothing is non-zero, which takes nothing off its state.
        share = shares[context if whole else np.where(present[step], context, -1)].reshape(shape)
        slot = pull.slots()
        nonzero = slot < share
        frequency = np.where(nonzero, share, np.uint32(_WHOLE) - share)
        pull.advance(frequency, np.where(nonzero, slot, slot - share))
        found[step] = nonzero.reshape(-1)
        if step + 1 < block.steps:
            past = following(model.mask, past, found[step], begins[step + 1])
    marked = found.T.reshape(block.segments, -1)[:, : block.length]
    codes[:] = marked.reshape(-1)


def _pull_codes(model: ContextModel, block: Block, pull: rans.Pull, codes: U8) -> None:
    """Give every element that has one its code."""
    listed, counts = _listed(model, codes, block)
    if not len(listed):
        return
    frequencies = model.frequencies()
    idle = len(frequencies)
    # The context behind the last keeps lanes in step that are done: one symbol, which takes nothing off a state.
    table = np.zeros((idle + 1, max(1, frequencies.shape[1])), np.uint32)
    table[:idle] = frequencies
    table[idle, 0] = _WHOLE
    starts = np.cumsum(table, axis=1, dtype=np.uint32) - table
    symbols = np.stack([np.repeat(np.arange(len(row)), row) for row in table]).astype(np.uint8)
    steps = -(-int(counts.max()) // block.lanes)
    place = _places(counts, steps * block.lanes)
    flat = np.full(block.segments * steps * block.lanes, idle, np.uint8)
    flat[place] = model.code_contexts[model.cells(listed + block.first)]
    contexts = flat.reshape(block.segments, steps, block.lanes)
    found = np.empty(contexts.shape, np.uint8)
    for step in range(steps):
        context = contexts[:, step]
        slot = pull.slots()
        symbol = symbols[context, slot]
        pull.advance(table[context, symbol], slot - starts[context, symbol])
        found[:, step] = symbol
    codes[listed] = found.reshape(-1)[place] + np.uint8(model.first_code)
