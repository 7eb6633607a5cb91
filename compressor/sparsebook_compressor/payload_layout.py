"""The constants of docs/format.md, once for Python. `tests/contract` compares them with the page and with the C++ header."""

from typing import Final, Literal, TypeAlias

Codec: TypeAlias = Literal["huffman", "context", "auto"]

MAGIC: Final = b"SBKP"
VERSION: Final = 1
VERSION_CONTEXT: Final = 2
HEAD_BYTES: Final = 24
MAX_RANK: Final = 8
MAX_DIMENSION: Final = (1 << 32) - 1
MAX_BITS: Final = 8
MAX_CODE_LENGTH: Final = 12
SEGMENT_SYMBOLS: Final = 4096
MAX_ELEMENTS: Final = 1 << 36
MAX_SEGMENT_BYTES: Final = SEGMENT_SYMBOLS * MAX_CODE_LENGTH // 8

LAYOUT_DENSE: Final = 0
LAYOUT_GAPS: Final = 1
LAYOUT_CONTEXT: Final = 2

CODEC_FIXED: Final = 0
CODEC_HUFFMAN: Final = 1
CODEC_CONTEXT: Final = 2

NIBBLE_ZERO_RUN: Final = 13
NIBBLE_REPEAT_RUN: Final = 14
MIN_RUN: Final = 2
MAX_RUN: Final = 17

CONTEXT_HEAD_BYTES: Final = 8
MAX_CLASSES: Final = 8
MAX_CODE_CONTEXTS: Final = 8
CONTEXT_SEGMENT: Final = 65536
CONTEXT_LANES: Final = 4
LANES_FROM: Final = 16384
PROBABILITY_BITS: Final = 12
STATE_BITS: Final = 16
MAX_MASK_LEVEL: Final = 143
MAX_FREQUENCY_LEVEL: Final = 80

MASK_NONE: Final = 0
MASK_PLAIN: Final = 1
MASK_RUNS: Final = 2
MASK_GROUPS: Final = 3

LAYOUT_NAMES: Final = ("dense", "gaps", "context")


def codec_name(layout: int, code_codec: int, gap_codec: int) -> str:
    """What codes and gaps are written with, for people: fixed, huffman or context."""
    if layout == LAYOUT_CONTEXT:
        return "context"
    return "huffman" if CODEC_HUFFMAN in (code_codec, gap_codec) else "fixed"
