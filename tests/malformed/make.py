"""Writes the malformed payloads beside this file, and cases.json with the rule that each one breaks.

    python -m tests.malformed.make

The payloads are put together from docs/format.md alone, field by field, so that every one breaks the rule that its name
says and no other; where two are broken the one that section 5 names first counts. Tests only read what lies here.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.malformed import contexts
from tests.malformed.payloads import HALF, INFINITY, NAN, ONE, TWO, Case, Payload, nibbles

FOLDER = Path(__file__).parent
DENSE = Payload()
# Six pairs of a 2 x 3 weight, gaps of two bits: gap symbols 0, codes 0 or 1.
GAPS = Payload(layout=1, gap_bits=2, streams=b"\x54\x00\x00")
# Codes 0 and 1 and, in the gaps layout, gap symbols 0 and 1, by Huffman words of one bit.
HUFFMAN = Payload(code_codec=1, tables=TWO + struct.pack("<H", 1))
BOTH = replace(
    GAPS,
    code_codec=1,
    gap_codec=1,
    tables=TWO + b"\x11\xd0" + struct.pack("<2H", 1, 1),
    streams=b"\x54\x00",
)
LONG = replace(HUFFMAN, shape=(5000,), tables=TWO + struct.pack("<2H", 512, 113))
LONG_STREAM = bytes(512 + 113)
SOUND = (
    DENSE,
    GAPS,
    HUFFMAN,
    BOTH,
    replace(LONG, streams=LONG_STREAM),
    *(case.payload() for case in contexts.SOUND),
)


def cases() -> Iterator[Case]:
    """All of them, in the order of section 5."""
    yield from _truncated()
    yield from _header()
    yield from _code_lengths()
    yield from _sections()
    yield from _streams()
    yield from contexts.cases()


def _truncated() -> Iterator[Case]:
    whole = BOTH.to_bytes()
    yield Case("truncated", "empty", b"")
    yield Case(
        "truncated", "one-byte-short-of-a-header", replace(DENSE, shape=()).body()[:24] + b"abc"
    )
    yield Case("truncated", "garbage-of-27-bytes", b"\xff" * 27)
    wide = Payload(shape=(1,) * 8, codebook=(), streams=b"")
    yield Case("truncated", "in-the-shape", wide.body()[:54])
    yield Case("truncated", "in-the-codebook", whole[:34])
    yield Case(
        "truncated", "in-the-code-lengths-of-the-codes", _cut(replace(BOTH, tables=b"\x1d"), 1)
    )
    yield Case("truncated", "in-the-code-lengths-of-the-gaps", whole[:38])
    yield Case("truncated", "in-the-segment-sizes-of-the-codes", whole[:40])
    yield Case("truncated", "in-the-segment-sizes-of-the-gaps", whole[:42])
    yield Case("truncated", "in-the-code-stream", replace(HUFFMAN, streams=b"").body())
    yield Case("truncated", "in-the-gap-stream", whole[:44])
    yield Case("truncated", "in-the-checksum", whole[:-1])
    yield Case(
        "truncated",
        "a-fixed-stream-of-2-to-the-36",
        replace(DENSE, shape=(1 << 18, 1 << 18)).to_bytes(),
        (1 << 18, 1 << 18),
    )
    billions = replace(HUFFMAN, shape=(1 << 18, 1 << 18))
    yield Case(
        "truncated", "segment-sizes-of-2-to-the-36-symbols", billions.to_bytes(), (1 << 18, 1 << 18)
    )
    # A missing section is met before a segment size that was read earlier is looked at.
    sizes = replace(BOTH, tables=TWO + b"\x11\xd0" + struct.pack("<H", 0), streams=b"")
    yield Case("truncated", "before-a-segment-size-of-0", sizes.body())


def _cut(payload: Payload, tables: int) -> bytes:
    """A payload that ends inside its tables, padded in front so that it has the 28 bytes which come first."""
    body = replace(payload, streams=b"").body()
    return body[: len(body) - len(payload.tables) + tables]


def _header() -> Iterator[Case]:
    def bad(rule: str, what: str, base: Payload = DENSE, **fields: object) -> Case:
        return Case(rule, what, replace(base, **fields).to_bytes())

    yield bad("magic", "lower-case", magic=b"sbkp")
    yield bad("magic", "an-onnx-file", magic=b"\x08\x07\x12\x00")
    yield bad("magic", "before-version", magic=b"SBKQ", version=9)
    yield bad("version", "0", version=0)
    yield bad("version", "3", version=3)
    yield bad("version", "before-dtype", version=3, dtype=7)
    for dtype in (0, 2, 3, 17, 255):
        yield bad("dtype", str(dtype), dtype=dtype)
    yield bad("rank", "9", shape=(1,) * 9, streams=b"\x00")
    yield bad("rank", "255", rank=255)
    yield bad("layout", "2", layout=2)
    yield bad("bits", "0", bits=0)
    yield bad("bits", "9", bits=9)
    yield bad("gap-bits", "2-in-the-dense-layout", gap_bits=2)
    yield bad("gap-bits", "0-in-the-gaps-layout", GAPS, gap_bits=0)
    yield bad("gap-bits", "9-in-the-gaps-layout", GAPS, gap_bits=9)
    yield bad("codebook-dtype", "0", codebook_dtype=0)
    yield bad("codebook-dtype", "float64", codebook_dtype=11)
    yield bad("codebook-dtype", "bfloat16", codebook_dtype=16)
    yield bad("codec", "2-for-codes", code_codec=2)
    yield bad("codec", "2-for-gaps", GAPS, gap_codec=2)
    yield bad("codec", "gaps-in-the-dense-layout", gap_codec=1)
    empty = replace(DENSE, shape=(0,), streams=b"")
    yield replace_shape(bad("codec", "huffman-without-symbols", empty, code_codec=1), (0,))
    none = replace(GAPS, symbols=0, streams=b"")
    yield bad("codec", "gaps-huffman-without-symbols", none, gap_codec=1)
    yield bad("reserved", "1", reserved=1)
    yield bad("reserved", "before-centroids", reserved=255, centroids=99)
    yield bad("centroids", "2-in-1-bit", codebook=(ONE, ONE))
    yield bad("centroids", "256-in-8-bits", bits=8, codebook=(ONE,) * 256)
    yield bad("centroids", "before-a-missing-shape", rank=8, centroids=65535, shape=())
    huge = (1 << 18, (1 << 18) + 1)
    yield replace_shape(bad("elements", "over-2-to-the-36", shape=huge), huge)
    yield bad("elements", "product-over-2-to-the-64", shape=(0xFFFFFFFF,) * 8, symbols=1)
    yield bad("symbols", "fewer-than-elements-in-the-dense-layout", symbols=5)
    yield bad("symbols", "more-than-elements-in-the-dense-layout", symbols=7)
    yield bad("symbols", "more-than-elements-in-the-gaps-layout", GAPS, symbols=7)
    yield bad("symbols", "2-to-the-64-less-1", GAPS, symbols=(1 << 64) - 1)
    yield replace_shape(
        bad("symbols", "1-of-an-empty-weight", GAPS, shape=(3, 0), symbols=1), (3, 0)
    )


def replace_shape(case: Case, shape: tuple[int, ...]) -> Case:
    return replace(case, shape=shape)


def _code_lengths() -> Iterator[Case]:
    tables = {
        "nibble-15": "f1",
        "a-repeat-before-the-first-symbol": "e0",
        "a-zero-run-past-the-alphabet": "1d0",
        "a-repeat-past-the-alphabet": "1e0",
        "a-zero-run-past-the-alphabet-at-once": "df",
        "no-symbol": "00",
        "no-symbol-by-a-run": "d0",
        "a-lone-symbol-of-length-2": "20",
        "a-lone-symbol-of-length-12": "0c",
        "not-complete": "12",
    }
    for what, text in tables.items():
        data = replace(HUFFMAN, tables=nibbles(text) + struct.pack("<H", 1)).to_bytes()
        yield Case("code-lengths", f"of-codes-{what}", data)
    three = {"more-than-complete": "111", "padding-not-zero": "1225", "one-length-missing": "120"}
    for what, text in three.items():
        wide = replace(HUFFMAN, bits=2, codebook=(ONE, ONE))
        data = replace(wide, tables=nibbles(text) + struct.pack("<H", 1)).to_bytes()
        yield Case("code-lengths", f"of-codes-{what}", data)
    four = {"more-than-complete": "1110", "nibble-15": "11f0", "no-symbol": "d2", "past": "11d1"}
    for what, text in four.items():
        section = TWO + nibbles(text) + struct.pack("<2H", 1, 1)
        yield Case("code-lengths", f"of-gaps-{what}", replace(BOTH, tables=section).to_bytes())


def _sections() -> Iterator[Case]:
    def sizes(what: str, codes: int, gaps: int) -> Case:
        section = TWO + b"\x11\xd0" + struct.pack("<2H", codes, gaps)
        return Case("segment-size", what, replace(BOTH, tables=section).to_bytes())

    yield sizes("0-of-codes", 0, 1)
    yield sizes("0-of-gaps", 1, 0)
    yield sizes("6145-of-codes", 6145, 1)
    yield sizes("65535-of-gaps", 1, 65535)
    second = replace(LONG, tables=TWO + struct.pack("<2H", 512, 0), streams=LONG_STREAM)
    yield Case("segment-size", "0-of-the-second-segment", second.to_bytes(), (5000,))
    yield Case("trailing", "one-byte", replace(DENSE, behind=b"\0").to_bytes())
    yield Case("trailing", "another-payload", DENSE.to_bytes() * 2)
    yield Case("trailing", "before-checksum", replace(DENSE, behind=b"\0", checksum=0).to_bytes())
    unused = replace(DENSE, streams=b"\x54\x00")
    yield Case("trailing", "a-stream-that-is-too-long", unused.to_bytes())
    yield Case("checksum", "0", replace(DENSE, checksum=0).to_bytes())
    flipped = bytearray(BOTH.to_bytes())
    flipped[-5] ^= 1
    yield Case("checksum", "a-flipped-bit-in-a-stream", bytes(flipped))
    yield Case(
        "checksum", "before-codebook", replace(DENSE, codebook=(NAN,), checksum=1).to_bytes()
    )
    yield Case("codebook", "nan", replace(DENSE, codebook=(NAN,)).to_bytes())
    yield Case("codebook", "infinity", replace(DENSE, codebook=(INFINITY,)).to_bytes())
    half = replace(DENSE, codebook_dtype=10, bits=2, codebook=(HALF, struct.pack("<H", 0x7C00)))
    yield Case("codebook", "infinity-of-float16", replace(half, streams=b"\x15\x50").to_bytes())
    unused = replace(DENSE, bits=2, codebook=(ONE, NAN), streams=b"\x11\x10")
    yield Case("codebook", "nan-that-no-code-uses", unused.to_bytes())


def _streams() -> Iterator[Case]:
    two_bits = replace(DENSE, bits=2)
    wide = replace(GAPS, bits=2)
    yield Case("code-range", "2-of-1", replace(two_bits, streams=b"\x11\x20").to_bytes())
    yield Case("code-range", "1-of-0", replace(DENSE, codebook=()).to_bytes())
    yield Case(
        "code-range",
        "the-last-symbol-of-the-gaps-layout",
        replace(wide, streams=b"\x11\x30\0\0").to_bytes(),
    )
    yield Case("code-range", "before-stream", replace(two_bits, streams=b"\x31\x1f").to_bytes())
    yield Case(
        "code-range", "before-position", replace(wide, streams=b"\x31\x10\xff\xf0").to_bytes()
    )
    second = replace(two_bits, shape=(5000,), streams=bytes(1249) + b"\x03")
    yield Case("code-range", "in-the-second-segment", second.to_bytes(), (5000,))
    yield Case("stream", "spare-bits-of-fixed-codes", replace(DENSE, streams=b"\x55").to_bytes())
    yield Case(
        "stream", "spare-bits-of-fixed-gaps", replace(GAPS, streams=b"\x54\x00\x01").to_bytes()
    )
    yield Case(
        "stream", "spare-bits-of-huffman-codes", replace(BOTH, streams=b"\x55\x00").to_bytes()
    )
    yield Case(
        "stream", "spare-bits-of-huffman-gaps", replace(BOTH, streams=b"\x54\x02").to_bytes()
    )
    more = replace(HUFFMAN, tables=TWO + struct.pack("<H", 2), streams=b"\x54\x00")
    yield Case("stream", "a-byte-more-than-needed", more.to_bytes())
    # Words of 1, 2 and 2 bits: six symbols take 6 to 12 bits, these take 12, and one byte is stored.
    three = replace(HUFFMAN, bits=2, codebook=(ONE, ONE))
    short = replace(three, tables=b"\x12\x20" + struct.pack("<H", 1), streams=b"\xff")
    yield Case("stream", "a-byte-less-than-needed", short.to_bytes())
    moved = replace(LONG, tables=TWO + struct.pack("<2H", 511, 114), streams=LONG_STREAM)
    yield Case("stream", "a-segment-that-ends-in-the-next-one", moved.to_bytes(), (5000,))
    yield Case("stream", "before-position", replace(GAPS, streams=b"\x54\xff\xff").to_bytes())
    yield Case("position", "one-behind-the-end", replace(GAPS, streams=b"\x54\x00\x10").to_bytes())
    yield Case("position", "by-huffman-gaps", replace(BOTH, streams=b"\x54\x04").to_bytes())
    lone = replace(GAPS, gap_codec=1, tables=b"\x01\xd0", streams=b"\x54")
    yield Case("position", "by-a-lone-gap-symbol", lone.to_bytes())
    both = replace(lone, code_codec=1, tables=b"\x01" + b"\x01\xd0", streams=b"")
    yield Case("position", "by-two-lone-symbols", both.to_bytes())
    million = replace(both, shape=(1 << 10, 1 << 10), symbols=1 << 20).to_bytes()
    yield Case("position", "by-a-million-pairs-of-two-lone-symbols", million, (1 << 10, 1 << 10))
    fillers = replace(GAPS, codebook=(), streams=b"\x00\x00\x10")
    yield Case("position", "by-fillers-alone", fillers.to_bytes())


def main() -> None:
    """Write all files anew."""
    for old in FOLDER.glob("*.sbkp"):
        old.unlink()
    table = {}
    for case in cases():
        assert case.file not in table, case.file
        (FOLDER / case.file).write_bytes(case.data)
        table[case.file] = {"rule": case.rule, "shape": case.shape}
    for number, sound in enumerate(SOUND):
        file = f"sound--{number}.sbkp"
        (FOLDER / file).write_bytes(sound.to_bytes())
        table[file] = {"rule": "", "shape": sound.shape}
    (FOLDER / "cases.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
