"""Writes the golden payloads beside this file, and manifest.json with what they decode to.

    python -m tests.golden.make

Run it only to add a payload: one that lies here is never written again, since every released decoder must go on reading it.
The values' hash is that of their little-endian float32 bytes in row-major order.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto

from sparsebook_compressor.codecs import bitstream, gaps, huffman
from sparsebook_compressor.payload import CodedWeight, encode
from sparsebook_compressor.payload_header import Header, checksum
from tests.unit.compressor import plain_decoder
from tests.unit.compressor.weights import made

FOLDER = Path(__file__).parent
FLOAT, HALF, DOUBLE, BRAIN = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.DOUBLE,
    TensorProto.BFLOAT16,
)
FIXED, HUFFMAN = 0, 1


@dataclass(frozen=True)
class Form:
    """A layout, its codecs and its widths, whether or not the encoder would choose them."""

    layout: int
    code_codec: int
    gap_codec: int = FIXED
    gap_bits: int = 0
    codebook_dtype: int = FLOAT


def write(weight: CodedWeight, form: Form) -> bytes:
    """A payload of exactly this form."""
    codes, symbols = weight.codes, None
    if form.layout == 1:
        positions = np.flatnonzero(weight.codes)
        symbols, codes = gaps.encode(positions, weight.codes[positions], (1 << form.gap_bits) - 1)
    alphabet = len(weight.codebook) + 1
    code_table, code_sizes, code_stream = _stream(codes, weight.bits, alphabet, form.code_codec)
    gap_table, gap_sizes, gap_stream = b"", b"", b""
    if symbols is not None:
        gap_table, gap_sizes, gap_stream = _stream(
            symbols, form.gap_bits, 1 << form.gap_bits, form.gap_codec
        )
    header = Header(
        weight.dtype,
        form.layout,
        weight.bits,
        form.gap_bits,
        form.codebook_dtype,
        form.code_codec,
        form.gap_codec,
        len(weight.codebook),
        len(codes),
        weight.shape,
    )
    codebook = weight.codebook.astype("<f4" if form.codebook_dtype == FLOAT else "<f2").tobytes()
    tables = code_table + gap_table + code_sizes + gap_sizes
    body = header.to_bytes() + codebook + tables + code_stream + gap_stream
    return body + checksum(body)


def _stream(
    symbols: np.ndarray, width: int, alphabet: int, codec: int
) -> tuple[bytes, bytes, bytes]:
    """Code lengths, segment sizes and bytes of a stream."""
    if codec == FIXED:
        words = np.arange(1 << width, dtype=np.uint16)
        data, _ = bitstream.pack(symbols, words, np.full(1 << width, width, np.uint8))
        return b"", b"", data
    lengths = huffman.code_lengths(np.bincount(symbols, minlength=alphabet))
    table = huffman.write_lengths(lengths)
    if np.count_nonzero(lengths) == 1:
        return table, b"", b""
    data, sizes = bitstream.pack(symbols, huffman.code_words(lengths), lengths)
    return table, sizes.astype("<u2").tobytes(), data


def payloads() -> Iterator[tuple[str, bytes]]:
    """Names and bytes."""
    for bits in range(1, 9):
        full = made((17, 31), 1.0, (1 << bits) - 1, skew=4 / (1 << bits), seed=bits)
        thin = made((17, 61), 0.15, (1 << bits) - 1, skew=4 / (1 << bits), seed=bits)
        yield f"dense-fixed-{bits}", write(full, Form(0, FIXED))
        yield f"dense-huffman-{bits}", write(full, Form(0, HUFFMAN))
        yield f"gaps-fixed-{bits}", write(thin, Form(1, FIXED, FIXED, bits))
        yield f"gaps-huffman-{bits}", write(thin, Form(1, HUFFMAN, HUFFMAN, 9 - bits))
    thin = made((40, 50), 0.1, 30, skew=0.2, seed=100)
    yield "gaps-codes-huffman-gaps-fixed", write(thin, Form(1, HUFFMAN, FIXED, 4))
    yield "gaps-codes-fixed-gaps-huffman", write(thin, Form(1, FIXED, HUFFMAN, 6))
    for name, dtype in {"float16": HALF, "float64": DOUBLE, "bfloat16": BRAIN}.items():
        weight = made((30, 40), 0.2, 31, dtype, skew=0.2, seed=dtype)
        yield f"encoder-{name}", encode(weight)[0]
        yield f"codebook-float32-of-{name}", write(weight, Form(0, HUFFMAN))
    half = made((30, 40), 0.2, 31, HALF, skew=0.2, seed=200)
    for name, dtype in {"float32": FLOAT, "bfloat16": BRAIN}.items():
        weight = CodedWeight(half.shape, dtype, half.bits, half.codebook, half.codes)
        yield f"codebook-float16-of-{name}", write(weight, Form(1, HUFFMAN, HUFFMAN, 5, HALF))
    shapes = {"scalar": (), "one": (1, 1), "rank-8": (2, 1, 3, 1, 2, 1, 2, 3), "column": (700, 1)}
    for name, shape in shapes.items():
        yield f"shape-{name}", encode(made(shape, 0.7, 6, seed=300))[0]
    yield "shape-65537-columns", encode(made((2, 65_537), 0.003, 15, seed=301))[0]
    yield "shape-empty", encode(made((3, 0, 2), 1.0, 6, seed=302))[0]
    for count, layout in itertools.product((4095, 4096, 4097, 8192, 12_289), (0, 1)):
        weight = made((count,), 1.0, 3, skew=1.5, seed=count)
        gap = {"gap_codec": HUFFMAN, "gap_bits": 1} if layout else {}
        yield (
            f"symbols-{count}-{'gaps' if layout else 'dense'}",
            write(weight, Form(layout, HUFFMAN, **gap)),
        )
    yield from _degenerate()
    yield from _contexts()


def _contexts() -> Iterator[tuple[str, bytes]]:
    """Version 2; the encoder decides on contexts, so weights are made for each kind of them."""
    for bits in range(1, 9):
        full = made((17, 31), 1.0, (1 << bits) - 1, skew=4 / (1 << bits), seed=bits)
        thin = made((17, 61), 0.15, (1 << bits) - 1, skew=4 / (1 << bits), seed=bits)
        yield f"context-full-{bits}", encode(full, "context")[0]
        yield f"context-thin-{bits}", encode(thin, "context")[0]
    for name, dtype in {"float16": HALF, "float64": DOUBLE, "bfloat16": BRAIN}.items():
        weight = made((30, 40), 0.2, 31, dtype, skew=0.2, seed=dtype)
        yield f"context-{name}", encode(weight, "context")[0]
    for name, shape in {"scalar": (), "rank-8": (2, 1, 3, 1, 2, 1, 2, 3)}.items():
        yield f"context-{name}", encode(made(shape, 0.7, 6, seed=300), "context")[0]
    rng = np.random.default_rng(400)
    codebook = np.array([-1.5, -0.25, 0.5, 2.0], np.float32)
    for name, chance in {
        "rows-and-columns": _checked(rng),
        "kernels": np.repeat(rng.random(3600) < 0.06, 4).reshape(60, 60, 2, 2) * 0.5,
        "kernels-in-lanes": np.repeat(rng.random(4500) < 0.03, 4).reshape(50, 90, 2, 2)
        * rng.choice([0.3, 0.8], (50, 1, 1, 1)),
        "runs": np.repeat(rng.random(600) < 0.1, 10).reshape(30, 200) * 0.9,
    }.items():
        there = rng.random(chance.shape) < chance
        codes = np.where(there, 1 + rng.binomial(3, 0.2 + 0.6 * chance), 0).astype(np.uint8)
        weight = CodedWeight(codes.shape, FLOAT, 3, codebook, codes.ravel())
        yield f"context-{name}", encode(weight, "context")[0]
    for count in (16_383, 16_384, 16_387, 65_536, 65_537, 131_072 + 16_385):
        codes = (rng.random(count) < 0.005).astype(np.uint8)
        weight = CodedWeight((count,), FLOAT, 1, codebook[:1], codes)
        yield f"context-{count}-elements", encode(weight, "context")[0]
    nothing = CodedWeight((10, 100), FLOAT, 1, codebook[:0], np.zeros(1000, np.uint8))
    yield "context-all-zero", encode(nothing, "context")[0]


def _checked(rng: np.random.Generator) -> np.ndarray:
    """Chances by row and column, float64[80, 120]."""
    return rng.choice([0.02, 0.3], (80, 1)) * rng.choice([0.4, 1.0, 2.5], (1, 120))


def _degenerate() -> Iterator[tuple[str, bytes]]:
    zeros = np.zeros(1000, np.uint8)
    none, one = np.zeros(0, np.float32), np.array([-0.75], np.float32)
    nothing = CodedWeight((10, 100), FLOAT, 1, none, zeros)
    yield "all-zero", encode(nothing)[0]
    yield "all-zero-dense-fixed", write(nothing, Form(0, FIXED))
    yield "all-zero-dense-huffman", write(nothing, Form(0, HUFFMAN))
    equal = CodedWeight((10, 100), FLOAT, 1, one, zeros + 1)
    yield "all-equal", encode(equal)[0]
    yield "all-equal-gaps", write(equal, Form(1, HUFFMAN, HUFFMAN, 1))
    stripes = CodedWeight((10, 100), FLOAT, 1, one, np.tile(np.array([0, 0, 1, 0], np.uint8), 250))
    yield "stripes", encode(stripes)[0]
    for name, position in {"first": 0, "last": 99_999, "behind-fillers": 70_000}.items():
        codes = np.zeros(100_000, np.uint8)
        codes[position] = 1
        lone = CodedWeight((100_000,), FLOAT, 1, one, codes)
        yield f"lone-{name}-gap-8", write(lone, Form(1, HUFFMAN, HUFFMAN, 8))
        yield f"lone-{name}-encoder", encode(lone)[0]
    edge = np.array([0.0, -0.0, 1e-45, -1e-45, 3.4028235e38, -3.4028235e38], np.float32)
    codes = np.arange(7, dtype=np.uint8)
    yield "edge-values", encode(CodedWeight((7,), FLOAT, 3, edge, codes))[0]
    # Word lengths 1, 2, …, 11, 12, 12: the longest that are allowed.
    counts = 2 ** np.arange(12, -1, -1)
    counts[-1] = 1
    deep = np.random.default_rng(0).permutation(np.repeat(np.arange(13), counts)).astype(np.uint8)
    codebook = np.arange(1, 13, dtype=np.float32)
    yield (
        "longest-words",
        write(CodedWeight((len(deep),), FLOAT, 4, codebook, deep), Form(0, HUFFMAN)),
    )


def facts(data: bytes) -> dict[str, object]:
    """What the manifest says of a payload, by the plain decoder."""
    plain = plain_decoder.decode(data)
    values = np.array(plain.values, "<f4")
    return {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "shape": list(plain.shape),
        "dtype": plain.dtype,
        "layout": plain.layout,
        "bits": plain.bits,
        "gap_bits": data[9],
        "codebook_dtype": data[10],
        "code_codec": data[11],
        "gap_codec": data[12],
        "centroids": len(plain.codebook),
        "symbols": int.from_bytes(data[16:24], "little"),
        "nonzeros": math.prod(plain.shape) - plain.codes.count(0),
        "values_sha256": hashlib.sha256(values.tobytes()).hexdigest(),
    }


def main() -> None:
    """Write what is not there yet."""
    manifest = FOLDER / "manifest.json"
    table = json.loads(manifest.read_text()) if manifest.exists() else {}
    for name, data in payloads():
        if f"{name}.sbkp" not in table:
            (FOLDER / f"{name}.sbkp").write_bytes(data)
            table[f"{name}.sbkp"] = facts(data)
    manifest.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
