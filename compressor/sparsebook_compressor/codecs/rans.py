"""Asymmetric numeral systems (Duda, arXiv 1311.2540), the range variant, many lanes in lockstep (docs/format.md, section 9).

A lane is a state between 2^16 and 2^32. A symbol of frequency f out of 4096 that begins at s takes the state x to
(x // f) * 4096 + s + x % f; 16 bits go out first where that would pass 2^32. The encoder therefore runs from the last
symbol to the first. A symbol of frequency 4096 changes nothing: that is how lanes that are done are kept in step.
"""

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.payload_layout import PROBABILITY_BITS, STATE_BITS

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

LOWEST = 1 << STATE_BITS
_SCALE = np.uint32(PROBABILITY_BITS)
_SLOT = np.uint32((1 << PROBABILITY_BITS) - 1)
_WORD = np.uint32(STATE_BITS)
# A state below f << 20 has room for the symbol: 2^32 / 4096 x f.
_ROOM_BITS = 32 - PROBABILITY_BITS
_ROOM = np.uint32(_ROOM_BITS)
_WHOLE = 1 << PROBABILITY_BITS
_WORD_MASK = (1 << STATE_BITS) - 1
# Of so few lanes a step costs more in calls of NumPy, 4 us, than one symbol after another does in Python, 0.2 us each.
_FEW_LANES = 16


def push(states: U32, frequency: U16, start: U16) -> tuple[U16, Bool]:
    """Encode symbols, the last row first; changes `states`.

    Args:
        states: uint32[lanes].
        frequency: uint16[steps, lanes] of every symbol, in the order in which they will be decoded.
        start: uint16[steps, lanes], where its slots begin.

    Returns:
        The word that goes out before each symbol, and whether one does, [steps, lanes] both.
    """
    if len(states) <= _FEW_LANES:
        return _push_singly(states, frequency, start)
    words = np.empty(frequency.shape, np.uint16)
    written = np.empty(frequency.shape, np.bool_)
    quotient = np.empty_like(states)
    # x + (x // f) (4096 - f) + s, which is the state above.
    wide = frequency.astype(np.uint32)
    rest = np.uint32(1 << PROBABILITY_BITS) - wide
    for step in range(len(frequency) - 1, -1, -1):
        f, full = wide[step], written[step]
        np.right_shift(states, _ROOM, out=quotient)
        np.greater_equal(quotient, f, out=full)
        words[step] = states
        np.right_shift(states, _WORD, out=states, where=full)
        np.floor_divide(states, f, out=quotient)
        quotient *= rest[step]
        states += quotient
        states += start[step]
    return words, written


def _push_singly(states: U32, frequency: U16, start: U16) -> tuple[U16, Bool]:
    """As `push`, lane by lane and symbol by symbol; those that change nothing are left out."""
    words = np.zeros(frequency.shape, np.uint16)
    written = np.zeros(frequency.shape, np.bool_)
    for lane in range(len(states)):
        steps = np.flatnonzero(frequency[:, lane] < _WHOLE)[::-1]
        taken = frequency[steps, lane].tolist()
        begins = start[steps, lane].tolist()
        state = int(states[lane])
        places: list[int] = []
        out: list[int] = []
        for place, (f, begin) in enumerate(zip(taken, begins, strict=True)):
            if state >= f << _ROOM_BITS:
                places.append(place)
                out.append(state & _WORD_MASK)
                state >>= STATE_BITS
            state += state // f * (_WHOLE - f) + begin
        states[lane] = state
        rows = steps[places]
        words[rows, lane] = out
        written[rows, lane] = True
    return words, written


class Pull:
    """Decodes segments side by side; every segment has the same lanes, which share one sequence of words.

    Attributes:
        states: uint32[segments, lanes].
        at, end: int64[segments], the next word of each and the one behind its last.
    """

    def __init__(self, states: U32, words: U16, at: I64, end: I64) -> None:
        self.states = states
        self.words = words
        self.at = at
        self.end = end
        self._last = max(0, len(words) - 1)

    def slots(self) -> U32:
        """The lowest 12 bits of all states: where the next symbols lie, uint32[segments, lanes]."""
        return self.states & _SLOT

    def advance(self, frequency: U32, offset: U32) -> None:
        """Take the symbols off: their frequencies, and how far into them the states' slots lie."""
        states = (self.states >> _SCALE) * frequency + offset
        low = states < LOWEST
        if low.any():
            states = self._refill(states, low)
        self.states = states

    def _refill(self, states: U32, low: Bool) -> U32:
        taken = np.cumsum(low, axis=1)
        # A damaged segment may run past its words; clamping keeps the read inside, `sound` refuses it.
        place = np.minimum(self.at[:, None] + taken - 1, self._last)
        self.at += taken[:, -1]
        word = self.words[place].astype(np.uint32)
        return np.where(low, states << _WORD | word, states)

    def sound(self) -> Bool:
        """Whether each segment ended where it should: all words taken, all states as they began in the encoder."""
        done: Bool = (self.at == self.end) & (self.states == LOWEST).all(axis=1)
        return done
