"""Malformed payloads of version 2: every rule of docs/format.md, section 10."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.malformed.payloads import NAN, ONE, TWO, Case, Payload

HALVES = 72  # the mask's level of 2048: zero and non-zero are as likely


def segment(symbols: list[tuple[int, int]], state: int = 65536) -> bytes:
    """One lane's segment of symbols (frequency, first slot) in the order of reading, which ends in a state."""
    words: list[int] = []
    for frequency, start in reversed(symbols):
        if state >= frequency << 20:
            words.insert(0, state & 0xFFFF)
            state >>= 16
        state = state // frequency * 4096 + start + state % frequency
    return struct.pack(f"<I{len(words)}H", state, *words)


def mask(bits: str) -> list[tuple[int, int]]:
    """Zeros and non-zeros at level HALVES."""
    return [(2048, 2048 * (bit == "0")) for bit in bits]


@dataclass(frozen=True)
class Context:
    """A 2 x 3 weight of codes 0 and 1 in one context, section by section."""

    head: tuple[int, ...] = (0, 1, 0, 1, 1, 1, 0, 0)
    classes: bytes = b""
    levels: bytes = bytes([HALVES])
    cells: bytes = b""
    code_levels: bytes = b"\x50"
    segment: bytes = segment(mask("010101"))
    size: int | None = None
    header: dict[str, object] = field(default_factory=dict)

    def payload(self) -> Payload:
        """The whole of it."""
        size = len(self.segment) if self.size is None else self.size
        sections = [bytes(self.head), self.classes, self.levels, self.cells, self.code_levels]
        tables = b"".join([*sections, struct.pack("<I", size)])
        fixed = {"version": 2, "layout": 2, "code_codec": 2, "tables": tables}
        return Payload(**{**fixed, "streams": self.segment, **self.header})

    def to_bytes(self) -> bytes:
        """As bytes."""
        return self.payload().to_bytes()


PLAIN = Context()
# Rows in two classes, columns in two, runs, codes 1 and 2 in two contexts: (2048, 2048) and (3641, 455).
CLASSES = Context(
    head=(1, 2, 0, 2, 2, 2, 0, 0),
    classes=TWO * 2 + struct.pack("<2H", 1, 1) + b"\x40\x60",
    levels=bytes([HALVES]) * 60,
    cells=b"\0\1\1\0",
    code_levels=b"\x10\x10\x20\x08",
    segment=segment([*mask("010110"), (3641, 0), (455, 3641), (2048, 2048)]),
    header={"bits": 2, "codebook": (ONE, ONE)},
)
UNMASKED = replace(
    PLAIN,
    head=(0, 0, 0, 1, 1, 1, 0, 0),
    levels=b"",
    code_levels=b"\x01\x01",
    segment=segment(mask("101010")),
)
GROUPS = replace(PLAIN, head=(0, 3, 1, 1, 1, 1, 0, 0), levels=bytes([HALVES]) * 15)
SOUND = (PLAIN, CLASSES, UNMASKED, GROUPS)


def cases() -> Iterator[Case]:
    """All of them, in the order of section 10."""
    yield from _headers()
    yield from _heads()
    yield from _sections()
    yield from _tables()
    yield from _segments()


def _bad(rule: str, what: str, base: Context = PLAIN, **fields: object) -> Case:
    return Case(rule, f"context-{what}", replace(base, **fields).to_bytes())


def _headers() -> Iterator[Case]:
    wrong = {
        "layout": {"0": {"layout": 0}, "before-bits": {"layout": 1, "bits": 0}},
        "gap-bits": {"1": {"gap_bits": 1}},
        "codec": {"1": {"code_codec": 1}, "2-of-gaps": {"gap_codec": 2}},
        "symbols": {"5": {"symbols": 5}},
    }
    for rule, ways in wrong.items():
        for what, header in ways.items():
            yield _bad(rule, what, header=header)
    empty = replace(PLAIN, header={"shape": (2, 0)}).to_bytes()
    yield Case("symbols", "context-0-of-an-empty-weight", empty, (2, 0))


def _heads() -> Iterator[Case]:
    heads = {
        "split-behind-the-rank": (3, 1, 0, 1, 1, 1, 0, 0),
        "mask-4": (0, 4, 0, 1, 1, 1, 0, 0),
        "groups-behind-the-rank": (0, 3, 2, 1, 1, 1, 0, 0),
        "groups-before-the-split": (1, 3, 0, 1, 1, 1, 0, 0),
        "groups-without-their-mask": (0, 2, 1, 1, 1, 1, 0, 0),
        "row-classes-0": (0, 1, 0, 0, 1, 1, 0, 0),
        "row-classes-9": (0, 1, 0, 9, 1, 1, 0, 0),
        "column-classes-0": (0, 1, 0, 1, 0, 1, 0, 0),
        "column-classes-255": (0, 1, 0, 1, 255, 1, 0, 0),
        "contexts-of-codes-0": (0, 1, 0, 1, 1, 0, 0, 0),
        "contexts-of-codes-9": (0, 1, 0, 1, 1, 9, 0, 0),
        "reserved": (0, 1, 0, 1, 1, 1, 0, 1),
    }
    for what, head in heads.items():
        yield _bad("contexts", what, head=head)
    yield _bad("contexts", "a-mask-without-centroids", code_levels=b"", header={"codebook": ()})


def _sections() -> Iterator[Case]:
    whole = CLASSES.payload().body()
    # Behind header, shape and codebook: 8 bytes, code lengths of 2, sizes of 4, classes of 2, levels of 60, cells and levels of 4.
    begin = 24 + 8 + 8
    ends = {"head": 7, "lengths": 9, "sizes": 13, "classes": 15, "levels": 75, "cells": 79}
    for what, end in {**ends, "code-levels": 83, "segment-sizes": 87}.items():
        yield Case("truncated", f"context-in-the-{what}", whole[: begin + end])
    yield Case("truncated", "context-in-the-segment", whole[:-1])
    billions = {"shape": (1 << 18, 1 << 18)}
    data = replace(PLAIN, header=billions).to_bytes()
    yield Case("truncated", "context-sizes-of-2-to-the-36-elements", data, (1 << 18, 1 << 18))
    rest = CLASSES.classes[2:]
    yield _bad("code-lengths", "of-row-classes", CLASSES, classes=b"\x12" + TWO + rest)
    yield _bad("code-lengths", "of-column-classes", CLASSES, classes=TWO + b"\x20" + rest)
    sizes = struct.pack("<2H", 1, 0)
    yield _bad("segment-size", "of-column-classes", CLASSES, classes=TWO * 2 + sizes + b"\x40\x60")
    for size in (0, 2, 5, 30):
        yield _bad("segment-size", f"{size}", size=size, segment=PLAIN.segment + bytes(30))
    yield Case("trailing", "context-one-byte", PLAIN.to_bytes() + b"\0")
    yield _bad("checksum", "0", header={"checksum": 0})
    yield _bad("codebook", "before-probabilities", levels=b"\0", header={"codebook": (NAN,)})


def _tables() -> Iterator[Case]:
    spare = CLASSES.classes[:-1] + b"\x61"
    yield _bad("stream", "spare-bits-of-classes", CLASSES, classes=spare)
    yield _bad("probabilities", "0", levels=b"\0")
    yield _bad("probabilities", "144", levels=b"\x90")
    yield _bad("probabilities", "of-the-last-history", CLASSES, levels=CLASSES.levels[:-1] + b"\0")
    yield _bad("probabilities", "before-cells", CLASSES, levels=bytes(60), cells=b"\2\0\0\0")
    yield _bad("cells", "2-of-2", CLASSES, cells=b"\0\1\1\2")
    yield _bad("cells", "before-frequencies", CLASSES, cells=b"\xff\0\0\0", code_levels=bytes(4))
    yield _bad("frequencies", "81", code_levels=b"\x51")
    yield _bad("frequencies", "none", code_levels=b"\0")
    yield _bad("frequencies", "of-the-second-context", CLASSES, code_levels=b"\x10\x10\0\0")


def _segments() -> Iterator[Case]:
    wrong = {
        "a-first-state-under-2-to-the-16": struct.pack("<I", 65535),
        "a-word-missing": struct.pack("<I", 65536),
        "a-word-too-many": PLAIN.segment + b"\0\0",
        "another-last-state": segment(mask("010101"), 65537),
    }
    for what, data in wrong.items():
        yield _bad("stream", what, segment=data)
    yield _bad("stream", "another-code", CLASSES, segment=segment(mask("010110")))
