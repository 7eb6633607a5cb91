"""Payloads field by field, right or wrong."""

import math
import struct
import zlib
from dataclasses import dataclass

ONE, HALF = struct.pack("<f", 1.0), struct.pack("<e", 1.0)
NAN, INFINITY = struct.pack("<f", math.nan), struct.pack("<f", -math.inf)
# Code lengths 1 and 1 of an alphabet of two, and of gap symbols 0 and 1 of an alphabet of 4 (1, 1, zero run of 2).
TWO = b"\x11"


def nibbles(text: str) -> bytes:
    """Hexadecimal digits, one a nibble, padded with a zero."""
    return bytes.fromhex(text + "0" * (len(text) % 2))


@dataclass(frozen=True)
class Payload:
    """A payload field by field: by default a dense 2 x 3 weight of codes 0 and 1, fixed width."""

    magic: bytes = b"SBKP"
    version: int = 1
    dtype: int = 1
    rank: int | None = None
    layout: int = 0
    bits: int = 1
    gap_bits: int = 0
    codebook_dtype: int = 1
    code_codec: int = 0
    gap_codec: int = 0
    reserved: int = 0
    centroids: int | None = None
    symbols: int | None = None
    shape: tuple[int, ...] = (2, 3)
    codebook: tuple[bytes, ...] = (ONE,)
    tables: bytes = b""
    streams: bytes = b"\x54"  # 010101 and two spare bits
    behind: bytes = b""
    checksum: int | None = None

    def body(self) -> bytes:
        """Everything before the checksum."""
        head = struct.pack(
            "<4s10BHQ",
            self.magic,
            self.version,
            self.dtype,
            len(self.shape) if self.rank is None else self.rank,
            self.layout,
            self.bits,
            self.gap_bits,
            self.codebook_dtype,
            self.code_codec,
            self.gap_codec,
            self.reserved,
            len(self.codebook) if self.centroids is None else self.centroids,
            math.prod(self.shape) if self.symbols is None else self.symbols,
        )
        dimensions = struct.pack(f"<{len(self.shape)}I", *self.shape)
        return head + dimensions + b"".join(self.codebook) + self.tables + self.streams

    def to_bytes(self) -> bytes:
        """The whole payload."""
        body = self.body()
        crc = zlib.crc32(body) if self.checksum is None else self.checksum
        return body + struct.pack("<I", crc) + self.behind


@dataclass(frozen=True)
class Case:
    """A payload, the rule that it breaks, and the shape that a consumer expects of it."""

    rule: str
    what: str
    data: bytes
    shape: tuple[int, ...] = (2, 3)

    @property
    def file(self) -> str:
        return f"{self.rule}--{self.what}.sbkp"
