"""One encoded weight (docs/format.md): codes and codebook in, bytes out, and back, bit for bit."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebook_compressor import payload_context
from sparsebook_compressor.codecs import bitstream, gaps, huffman
from sparsebook_compressor.errors import PayloadError, TooLarge
from sparsebook_compressor.payload_choice import Runs, choose
from sparsebook_compressor.payload_header import (
    FLOAT,
    FLOAT16,
    Header,
    Sections,
    Stream,
    checksum,
    read,
    read_header,
)
from sparsebook_compressor.payload_layout import (
    CODEC_CONTEXT,
    CODEC_FIXED,
    CODEC_HUFFMAN,
    LAYOUT_CONTEXT,
    LAYOUT_DENSE,
    MAX_DIMENSION,
    MAX_ELEMENTS,
    MAX_RANK,
    Codec,
    codec_name,
)

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

# The share of its bytes that a payload must lose before `auto` takes the codec that decodes slower.
WORTH = 0.01


@dataclass(frozen=True, slots=True)
class CodedWeight:
    """A pruned and shared weight.

    Attributes:
        shape: of the weight.
        dtype: of the weight, a number of ONNX's `TensorProto.DataType`.
        bits: log2 of the codebook's size; codes lie below 2^bits.
        codebook: float32[centroids], the values of codes 1, 2, …, exact in the weight's dtype; at most 2^bits - 1.
        codes: uint8[elements] in row-major order; 0 is exactly zero.
    """

    shape: tuple[int, ...]
    dtype: int
    bits: int
    codebook: npt.NDArray[np.float32]
    codes: U8

    def values(self) -> npt.NDArray[np.float32]:
        """The weight, float32 of `shape`."""
        table = np.concatenate([np.zeros(1, np.float32), self.codebook])
        return table[self.codes].reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Facts:
    """How a payload came out: bytes by section, average bits a symbol before and after coding, and how often each symbol occurs.

    `code_counts` begins with code 0; `gap_counts` is empty where there are no gaps.
    """

    layout: int
    symbols: int
    nonzeros: int
    gap_bits: int
    code_bits_huffman: float
    gap_bits_huffman: float
    bytes_codes: int
    bytes_gaps: int
    bytes_codebook: int
    bytes_tables: int
    codec: str
    code_counts: tuple[int, ...]
    gap_counts: tuple[int, ...]

    @property
    def bytes_total(self) -> int:
        """Length of the payload."""
        return self.bytes_codes + self.bytes_gaps + self.bytes_codebook + self.bytes_tables


def encode(weight: CodedWeight, codec: Codec = "huffman") -> tuple[bytes, Facts]:
    """Encode a weight.

    Args:
        weight: its codes and codebook.
        codec: huffman, in the layout and symbol widths that make it smallest; context, which decodes slower; auto, which
            takes the context codec where that makes the payload smaller by `WORTH`.

    Raises:
        TooLarge: more dimensions or elements than the format holds.
    """
    _check(weight)
    if codec == "huffman" or not len(weight.codes):
        return _encode_huffman(weight)
    data, facts = _encode_context(weight)
    if codec == "auto":
        plain = _encode_huffman(weight)
        if len(data) > (1 - WORTH) * len(plain[0]):
            return plain
    return data, facts


def _encode_context(weight: CodedWeight) -> tuple[bytes, Facts]:
    codebook = _stored_codebook(weight)
    header = Header(
        dtype=weight.dtype,
        layout=LAYOUT_CONTEXT,
        bits=weight.bits,
        gap_bits=0,
        codebook_dtype=FLOAT16 if weight.dtype == FLOAT16 else FLOAT,
        code_codec=CODEC_CONTEXT,
        gap_codec=CODEC_FIXED,
        centroids=len(codebook),
        symbols=len(weight.codes),
        shape=weight.shape,
    )
    data, stream = payload_context.encode(header, codebook.tobytes(), weight.codes)
    nonzeros = int(np.count_nonzero(weight.codes))
    return data, Facts(
        layout=LAYOUT_CONTEXT,
        symbols=nonzeros,
        nonzeros=nonzeros,
        gap_bits=0,
        code_bits_huffman=8 * stream / max(1, nonzeros),
        gap_bits_huffman=0.0,
        bytes_codes=stream,
        bytes_gaps=0,
        bytes_codebook=codebook.nbytes,
        bytes_tables=len(data) - stream - codebook.nbytes,
        codec=codec_name(LAYOUT_CONTEXT, CODEC_CONTEXT, CODEC_FIXED),
        code_counts=tuple(np.bincount(weight.codes, minlength=len(codebook) + 1).tolist()),
        gap_counts=(),
    )


def _stored_codebook(weight: CodedWeight) -> npt.NDArray[np.floating]:
    """The centroids as they are stored: those of a float16 weight are float16 values, so two bytes hold them."""
    return weight.codebook.astype("<f2" if weight.dtype == FLOAT16 else "<f4")


def _encode_huffman(weight: CodedWeight) -> tuple[bytes, Facts]:
    runs = Runs(weight.codes)
    choice = choose(runs, len(weight.codebook), weight.bits)
    if choice.layout == LAYOUT_DENSE:
        codes, symbols = weight.codes, None
    else:
        symbols, codes = runs.pairs(choice.gap_bits)
    code_stream, code_table, code_codec = _stream(codes, choice.code_counts, weight.bits)
    gap_stream, gap_table, gap_codec = (
        (_EMPTY, b"", CODEC_FIXED)
        if symbols is None
        else _stream(symbols, choice.gap_counts, choice.gap_bits)
    )
    codebook = _stored_codebook(weight)
    header = Header(
        weight.dtype,
        choice.layout,
        weight.bits,
        choice.gap_bits,
        FLOAT16 if weight.dtype == FLOAT16 else FLOAT,
        code_codec,
        gap_codec,
        len(weight.codebook),
        len(codes),
        weight.shape,
    )
    head = header.to_bytes()
    tables = [code_table, gap_table, _sizes(code_stream), _sizes(gap_stream)]
    body = b"".join([head, codebook.tobytes(), *tables, code_stream.data, gap_stream.data])
    facts = Facts(
        layout=choice.layout,
        symbols=len(codes),
        nonzeros=int(np.count_nonzero(weight.codes)),
        gap_bits=choice.gap_bits,
        code_bits_huffman=_average(choice.code_counts, code_stream),
        gap_bits_huffman=_average(choice.gap_counts, gap_stream),
        bytes_codes=len(code_stream.data),
        bytes_gaps=len(gap_stream.data),
        bytes_codebook=codebook.nbytes,
        bytes_tables=len(head) + sum(map(len, tables)) + 4,
        codec=codec_name(choice.layout, code_codec, gap_codec),
        code_counts=tuple(choice.code_counts.tolist()),
        gap_counts=tuple(choice.gap_counts.tolist()),
    )
    return body + checksum(body), facts


def decode(data: bytes) -> CodedWeight:
    """Validate and decode a payload.

    Raises:
        PayloadError: naming the rule of docs/format.md, section 5, that is broken.
    """
    header = read_header(data)
    if header.is_context:
        contexts = payload_context.read(data, header)
        codes = contexts.decode()
        return CodedWeight(header.shape, header.dtype, header.bits, contexts.codebook, codes)
    sections = read(data, header)
    check_constant(sections)
    codes = read_codes(sections)
    if sections.gaps is not None:
        codes = _scatter(sections, codes, sections.gaps)
    return CodedWeight(header.shape, header.dtype, header.bits, sections.codebook, codes)


def header_of(data: bytes) -> Header:
    """What a payload says of itself, once all but its streams has been checked.

    Raises:
        PayloadError: naming the rule that is broken.
    """
    header = read_header(data)
    if header.is_context:
        payload_context.read(data, header)
    else:
        read(data, header)
    return header


def read_codes(sections: Sections) -> U8:
    """The stream of codes, checked."""
    header = sections.header
    codes, wrong = read_symbols(sections.codes, header.symbols)
    if len(codes) and int(codes.max()) > header.centroids:
        raise PayloadError("code-range", f"code {codes.max()}; 0 to {header.centroids} are allowed")
    bitstream.check(wrong, "codes")
    return codes


def check_constant(sections: Sections) -> None:
    """Settle `position` for two streams of one symbol each, whose length no byte of the payload bounds."""
    header, codes, pairs = sections.header, sections.codes, sections.gaps
    if pairs is None or not codes.is_constant or not pairs.is_constant:
        return
    last = header.symbols * (pairs.constant + 1) - 1
    if last >= header.elements:
        raise PayloadError("position", f"the last pair is element {last} of {header.elements}")


_EMPTY = Stream(0, None, np.zeros(0, np.int64), b"")


def _check(weight: CodedWeight) -> None:
    elements = math.prod(weight.shape)
    widest = max(weight.shape, default=0)
    if len(weight.shape) > MAX_RANK or elements > MAX_ELEMENTS or widest > MAX_DIMENSION:
        raise TooLarge(
            f"a weight of shape {weight.shape}: at most {MAX_RANK} dimensions, each up to {MAX_DIMENSION}, and "
            f"{MAX_ELEMENTS} elements are allowed"
        )
    if len(weight.codes) != elements or len(weight.codebook) >= 1 << weight.bits:
        raise ValueError("codes and codebook do not fit shape and bits")
    if weight.codes.max(initial=0) > len(weight.codebook):
        raise ValueError("codes do not fit the codebook")


def _stream(symbols: U8, counts: I64, width: int) -> tuple[Stream, bytes, int]:
    """The stream, its code lengths as bytes, and its codec: whichever is smaller."""
    lengths = huffman.code_lengths(counts)
    used = np.count_nonzero(lengths)
    if used == 0:
        return Stream(width, None, np.zeros(0, np.int64), b""), b"", CODEC_FIXED
    table = huffman.write_lengths(lengths)
    fixed = bitstream.fixed_stream_bytes(len(symbols), width)
    if used == 1:
        if len(table) <= fixed:
            return Stream(width, lengths, np.zeros(0, np.int64), b""), table, CODEC_HUFFMAN
    else:
        segments = bitstream.segment_count(len(symbols))
        if int((counts * lengths).sum()) / 8 + 2.5 * segments + len(table) < fixed:
            data, sizes = bitstream.pack(symbols, huffman.code_words(lengths), lengths)
            return Stream(width, lengths, sizes, data), table, CODEC_HUFFMAN
    data, sizes = bitstream.pack(symbols, *_fixed_code(width))
    return Stream(width, None, sizes, data), b"", CODEC_FIXED


def _fixed_code(width: int) -> tuple[npt.NDArray[np.uint16], U8]:
    alphabet = 1 << width
    return np.arange(alphabet, dtype=np.uint16), np.full(alphabet, width, np.uint8)


def _sizes(stream: Stream) -> bytes:
    return b"" if stream.lengths is None else stream.sizes.astype("<u2").tobytes()


def _average(counts: I64, stream: Stream) -> float:
    symbols = int(counts.sum())
    if not symbols:
        return 0.0
    if stream.lengths is None:
        return float(stream.width)
    if stream.is_constant:
        return 0.0
    return float((counts * stream.lengths).sum() / symbols)


def read_symbols(stream: Stream, symbols: int) -> tuple[U8, int | None]:
    """The symbols of a stream, and its first damaged segment."""
    if stream.is_constant:
        return np.full(symbols, stream.constant, np.uint8), None
    lengths = (
        np.full(1 << stream.width, stream.width, np.uint8)
        if stream.lengths is None
        else stream.lengths
    )
    table = huffman.decoding_table(lengths)
    return bitstream.unpack(stream.data, stream.sizes, symbols, *table)


def _scatter(sections: Sections, codes: U8, stream: Stream) -> U8:
    header = sections.header
    symbols, wrong = read_symbols(stream, header.symbols)
    bitstream.check(wrong, "gaps")
    positions = gaps.decode(symbols, header.elements)
    out = np.zeros(header.elements, np.uint8)
    out[positions] = codes
    return out
