"""The constants of docs/format.md, once for Python. `tests/contract` compares them with the page and with the C++ header."""

from typing import Final

MAGIC: Final = b"SBKP"
VERSION: Final = 1
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

CODEC_FIXED: Final = 0
CODEC_HUFFMAN: Final = 1

NIBBLE_ZERO_RUN: Final = 13
NIBBLE_REPEAT_RUN: Final = 14
MIN_RUN: Final = 2
MAX_RUN: Final = 17
