"""The header and the sections of a payload: what is where, checked in the order of docs/format.md, section 5."""

import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.codecs import huffman
from sparsebook_compressor.codecs.bitstream import (
    fixed_segment_sizes,
    fixed_stream_bytes,
    segment_count,
)
from sparsebook_compressor.errors import PayloadError
from sparsebook_compressor.payload_layout import (
    CODEC_CONTEXT,
    CODEC_FIXED,
    CODEC_HUFFMAN,
    HEAD_BYTES,
    LAYOUT_CONTEXT,
    LAYOUT_DENSE,
    LAYOUT_GAPS,
    MAGIC,
    MAX_BITS,
    MAX_ELEMENTS,
    MAX_RANK,
    MAX_SEGMENT_BYTES,
    VERSION,
    VERSION_CONTEXT,
)

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

_HEAD = struct.Struct("<4s10BHQ")
_CHECKSUM = struct.Struct("<I")

FLOAT, FLOAT16, DOUBLE, BFLOAT16 = 1, 10, 11, 16
_DTYPES = (FLOAT, FLOAT16, DOUBLE, BFLOAT16)
_CODEBOOK_DTYPES: dict[int, np.dtype[np.floating]] = {
    FLOAT: np.dtype("<f4"),
    FLOAT16: np.dtype("<f2"),
}


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part and the dimensions. Dtypes are numbers of ONNX's `TensorProto.DataType`.

    Layout and version are one: the context layout is version 2, the others are version 1.
    """

    dtype: int
    layout: int
    bits: int
    gap_bits: int
    codebook_dtype: int
    code_codec: int
    gap_codec: int
    centroids: int
    symbols: int
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Product of the dimensions; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def is_context(self) -> bool:
        """Whether the payload is of version 2."""
        return self.layout == LAYOUT_CONTEXT

    def to_bytes(self) -> bytes:
        """The header as it stands in a payload."""
        head = _HEAD.pack(
            MAGIC,
            VERSION_CONTEXT if self.is_context else VERSION,
            self.dtype,
            len(self.shape),
            self.layout,
            self.bits,
            self.gap_bits,
            self.codebook_dtype,
            self.code_codec,
            self.gap_codec,
            0,
            self.centroids,
            self.symbols,
        )
        return head + struct.pack(f"<{len(self.shape)}I", *self.shape)


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of symbols. `lengths` is None for the fixed codec; `data` is empty where one symbol fills it all."""

    width: int
    lengths: U8 | None
    sizes: I64
    data: bytes

    @property
    def is_constant(self) -> bool:
        """Whether one symbol fills the stream, which takes no bytes then."""
        return self.lengths is not None and np.count_nonzero(self.lengths) == 1

    @property
    def constant(self) -> int:
        """The symbol that fills the stream where `is_constant`."""
        assert self.lengths is not None
        return int(np.argmax(self.lengths))


@dataclass(frozen=True, slots=True)
class Sections:
    """A payload taken apart. `codebook` is float32[centroids]; `gaps` is None in the dense layout."""

    header: Header
    codebook: npt.NDArray[np.float32]
    codes: Stream
    gaps: Stream | None


class Reader:
    """Takes a payload's sections one behind the other; each must be there whole."""

    def __init__(self, data: bytes, offset: int) -> None:
        self.data = data
        self.offset = offset

    def take(self, count: int, what: str) -> bytes:
        """The next bytes.

        Raises:
            PayloadError: `truncated`, naming what is cut.
        """
        end = self.offset + count
        if end > len(self.data):
            raise PayloadError(
                "truncated", f"{what} ends at byte {end}, the payload has {len(self.data)}"
            )
        piece = self.data[self.offset : end]
        self.offset = end
        return piece


def checksum(data: bytes) -> bytes:
    """The four bytes that end a payload."""
    return _CHECKSUM.pack(zlib.crc32(data))


def read(data: bytes, header: Header) -> Sections:
    """Validate a payload of version 1 and take it apart; nothing is allocated in proportion to what it declares.

    Args:
        data: the payload.
        header: what `read_header` gave.

    Raises:
        PayloadError: with the rule of docs/format.md, section 5, that is broken.
    """
    reader = Reader(data, HEAD_BYTES + 4 * len(header.shape))
    codebook = take_codebook(reader, header)
    lengths: dict[str, U8 | None] = {"codes": None, "gaps": None}
    streams = [("codes", header.code_codec, header.centroids + 1, header.bits)]
    if header.layout == LAYOUT_GAPS:
        streams.append(("gaps", header.gap_codec, 1 << header.gap_bits, header.gap_bits))
    for name, codec, alphabet, _ in streams:
        if codec == CODEC_HUFFMAN:
            lengths[name], reader.offset = huffman.read_lengths(data, reader.offset, alphabet, name)
    stored_sizes = {
        name: take_sizes(reader, header.symbols, lengths[name], name) for name, *_ in streams
    }
    for name, sizes in stored_sizes.items():
        check_sizes(sizes, name)
    parts = {
        name: _take_stream(reader, header.symbols, width, lengths[name], stored_sizes[name], name)
        for name, _, _, width in streams
    }
    finish(reader, codebook)
    return Sections(header, codebook.astype(np.float32), parts["codes"], parts.get("gaps"))


def take_codebook(reader: Reader, header: Header) -> npt.NDArray[np.floating]:
    """The codebook as it is stored, float32 or float16 [centroids]."""
    item = _CODEBOOK_DTYPES[header.codebook_dtype]
    return np.frombuffer(reader.take(header.centroids * item.itemsize, "the codebook"), item)


def finish(reader: Reader, codebook: npt.NDArray[np.floating]) -> None:
    """What ends every payload: the checksum, nothing behind it, and a codebook that is finite.

    Raises:
        PayloadError: `truncated`, `trailing`, `checksum` or `codebook`.
    """
    data, body = reader.data, reader.offset
    stored = reader.take(_CHECKSUM.size, "the checksum")
    if reader.offset != len(data):
        raise PayloadError("trailing", f"{len(data) - reader.offset} bytes behind the checksum")
    if stored != checksum(data[:body]):
        raise PayloadError("checksum", "the bytes are damaged: the CRC-32 does not match")
    if not np.isfinite(codebook).all():
        raise PayloadError("codebook", "a centroid is not finite")


def with_codebook(data: bytes, codebook: npt.NDArray[np.float32]) -> bytes:
    """A valid payload with other centroids: only their bytes and the checksum differ.

    Args:
        data: the payload.
        codebook: float32[centroids], finite, exact in the weight's dtype.
    """
    header = read_header(data)
    stored = codebook.astype(_CODEBOOK_DTYPES[header.codebook_dtype]).tobytes()
    start = HEAD_BYTES + 4 * len(header.shape)
    if len(codebook) != header.centroids:
        raise ValueError(f"{len(codebook)} centroids for a payload of {header.centroids}")
    body = data[:start] + stored + data[start + len(stored) : -_CHECKSUM.size]
    return body + checksum(body)


def read_header(data: bytes) -> Header:
    """The header alone, by the rules that it can be checked by itself.

    Raises:
        PayloadError: the rule that is broken.
    """
    if len(data) < HEAD_BYTES + _CHECKSUM.size:
        raise PayloadError("truncated", f"{len(data)} bytes; the smallest payload has 28")
    (
        magic,
        version,
        dtype,
        rank,
        layout,
        bits,
        gap_bits,
        codebook_dtype,
        code_codec,
        gap_codec,
        reserved,
        centroids,
        symbols,
    ) = _HEAD.unpack_from(data)
    _require(magic == MAGIC, "magic", f"{magic.hex()}; {MAGIC.hex()} is allowed")
    _require(
        version in (VERSION, VERSION_CONTEXT),
        "version",
        f"{version}; this reader knows {VERSION} and {VERSION_CONTEXT}",
    )
    context = version == VERSION_CONTEXT
    _require(dtype in _DTYPES, "dtype", f"{dtype}; 1, 10, 11 and 16 are allowed")
    _require(rank <= MAX_RANK, "rank", f"{rank}; 0 to {MAX_RANK} are allowed")
    layouts = (LAYOUT_CONTEXT,) if context else (LAYOUT_DENSE, LAYOUT_GAPS)
    _require(layout in layouts, "layout", f"{layout}; {layouts} are allowed in version {version}")
    _require(1 <= bits <= MAX_BITS, "bits", f"{bits}; 1 to {MAX_BITS} are allowed")
    gap_range = (1, MAX_BITS) if layout == LAYOUT_GAPS else (0, 0)
    _require(
        gap_range[0] <= gap_bits <= gap_range[1],
        "gap-bits",
        f"{gap_bits}; {gap_range[0]} to {gap_range[1]} are allowed in layout {layout}",
    )
    _require(
        codebook_dtype in _CODEBOOK_DTYPES,
        "codebook-dtype",
        f"{codebook_dtype}; 1 and 10 are allowed",
    )
    _require_codecs(layout, symbols, code_codec, gap_codec)
    _require(reserved == 0, "reserved", f"{reserved}; 0 is allowed")
    _require(
        centroids < 1 << bits, "centroids", f"{centroids}; 0 to {(1 << bits) - 1} fit {bits} bits"
    )
    if len(data) < HEAD_BYTES + 4 * rank:
        raise PayloadError("truncated", f"the shape ends at byte {HEAD_BYTES + 4 * rank}")
    shape = struct.unpack_from(f"<{rank}I", data, HEAD_BYTES)
    elements = math.prod(shape)
    _require(
        elements <= MAX_ELEMENTS, "elements", f"{elements}; at most {MAX_ELEMENTS} are allowed"
    )
    fits = symbols <= elements if layout == LAYOUT_GAPS else symbols == elements
    _require(
        fits and (symbols > 0 or not context),
        "symbols",
        f"{symbols} in layout {layout} for {elements} elements",
    )
    return Header(
        dtype,
        layout,
        bits,
        gap_bits,
        codebook_dtype,
        code_codec,
        gap_codec,
        centroids,
        symbols,
        shape,
    )


def _require_codecs(layout: int, symbols: int, code_codec: int, gap_codec: int) -> None:
    if layout == LAYOUT_CONTEXT:
        _require(
            (code_codec, gap_codec) == (CODEC_CONTEXT, CODEC_FIXED),
            "codec",
            f"codes {code_codec}, gaps {gap_codec}; {CODEC_CONTEXT} and {CODEC_FIXED} are allowed in version 2",
        )
        return
    gap_codecs = CODEC_FIXED if layout == LAYOUT_DENSE or symbols == 0 else CODEC_HUFFMAN
    code_codecs = CODEC_FIXED if symbols == 0 else CODEC_HUFFMAN
    _require(
        code_codec <= code_codecs and gap_codec <= gap_codecs,
        "codec",
        f"codes {code_codec}, gaps {gap_codec}; at most {code_codecs} and {gap_codecs} are allowed here",
    )


def _require(holds: bool, rule: str, detail: str) -> None:
    if not holds:
        raise PayloadError(rule, detail)


def take_sizes(reader: Reader, symbols: int, lengths: U8 | None, name: str) -> I64:
    """The stored segment sizes, int64[segments]; none where the codec is fixed or one symbol fills the stream."""
    if lengths is None or np.count_nonzero(lengths) == 1:
        return np.zeros(0, np.int64)
    section = reader.take(2 * segment_count(symbols), f"the segment sizes of the {name}")
    return np.frombuffer(section, "<u2").astype(np.int64)


def check_sizes(sizes: I64, name: str) -> None:
    """Refuse stored sizes that no Huffman segment has.

    Raises:
        PayloadError: `segment-size`.
    """
    if len(sizes) and not 1 <= sizes.min() <= sizes.max() <= MAX_SEGMENT_BYTES:
        raise PayloadError(
            "segment-size",
            f"{name}: {sizes.min()} to {sizes.max()}; 1 to {MAX_SEGMENT_BYTES} are allowed",
        )


def _take_stream(
    reader: Reader, symbols: int, width: int, lengths: U8 | None, sizes: I64, name: str
) -> Stream:
    total = int(sizes.sum())
    if lengths is None:
        # The bytes must be there before the sizes of as many segments are written down.
        total = fixed_stream_bytes(symbols, width)
    data = reader.take(total, f"the {name}")
    if lengths is None:
        sizes = fixed_segment_sizes(symbols, width)
    return Stream(width, lengths, sizes, data)
