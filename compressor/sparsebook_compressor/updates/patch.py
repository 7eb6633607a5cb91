"""One payload by what changed against another of the same shape (docs/updates.md, section 3).

Where a code was not zero, what is added to it; where it was, the new code. Both are vectors of small numbers that are mostly
zero, which is what a payload codes well: they are payloads themselves, and a reader validates them as such. What is added is
split by how far the old centroid lies from zero, since codebooks are finer near it and codes there move further.
"""

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.errors import DeltaError, PayloadError
from sparsebook_compressor.payload import CodedWeight, decode, encode
from sparsebook_compressor.payload_header import FLOAT, read_header
from sparsebook_compressor.payload_layout import Codec
from sparsebook_compressor.updates.records import PATCH, PATCH_CONTEXT

U8 = npt.NDArray[np.uint8]
I16 = npt.NDArray[np.int16]
F32 = npt.NDArray[np.float32]

# Groups of old codes by the magnitude of their centroids, as even as the codes allow; group 0 is the codes of zeros.
GROUPS = 5
_HEAD = struct.Struct("<BBH")
_LENGTH = struct.Struct("<Q")


# By whether a payload is of version 2: the step that makes it, and how it is encoded again.
FORMS: tuple[tuple[int, Codec], tuple[int, Codec]] = (
    (PATCH, "huffman"),
    (PATCH_CONTEXT, "context"),
)


def make(old: CodedWeight, new: CodedWeight) -> bytes | None:
    """The patch that makes one coded weight another; None where their shapes or dtypes differ."""
    if (old.shape, old.dtype) != (new.shape, new.dtype) or not len(new.codes):
        return None
    same = np.array_equal(old.codebook.view(np.uint32), new.codebook.view(np.uint32))
    parts = [_HEAD.pack(new.bits, int(not same), len(new.codebook))]
    if not same:
        parts.append(new.codebook.astype("<f4").tobytes())
    symbols = len(new.codebook) + 1
    for group, mask in _groups(old):
        after = new.codes[mask]
        if group:
            after = _folded(after.astype(np.int16) - old.codes[mask], symbols)
        body = _coded(after, symbols)
        parts += [_LENGTH.pack(len(body)), body]
    return b"".join(parts)


def apply(old: CodedWeight, patch: bytes) -> CodedWeight:
    """The coded weight that a patch makes of another.

    Raises:
        DeltaError: bytes that are no patch, or not one for this weight.
    """
    bits, other_book, centroids = _unpacked(_HEAD, patch, 0)
    at = _HEAD.size
    if not 1 <= bits <= 8 or other_book > 1 or centroids >= 1 << bits:
        raise DeltaError(f"a patch with {bits} bits and {centroids} centroids")
    codebook = old.codebook
    if other_book:
        if len(patch) < at + 4 * centroids:
            raise DeltaError("a patch is cut short in its codebook")
        codebook = np.frombuffer(patch, "<f4", centroids, at).astype(np.float32)
        at += 4 * centroids
    if len(codebook) != centroids or not np.isfinite(codebook).all():
        raise DeltaError("a patch whose codebook is not its base's, or not finite")
    symbols = centroids + 1
    codes = np.empty_like(old.codes)
    for group, mask in _groups(old):
        (length,) = _unpacked(_LENGTH, patch, at)
        at += _LENGTH.size
        found = _decoded(patch[at : at + length], length, int(np.count_nonzero(mask)), symbols)
        at += length
        if group:
            found = ((_unfolded(found) + old.codes[mask]) % symbols).astype(np.uint8)
        codes[mask] = found
    if at != len(patch):
        raise DeltaError(f"{len(patch) - at} bytes behind the end of a patch")
    return CodedWeight(old.shape, old.dtype, bits, codebook, codes)


def _groups(old: CodedWeight) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """Elements by the group of their old code: its number, and bool[elements]."""
    counts = np.bincount(old.codes, minlength=len(old.codebook) + 1)[1:]
    order = np.argsort(np.abs(old.codebook), kind="stable")
    share = np.cumsum(counts[order]) - counts[order]
    table = np.zeros(256, np.uint8)
    table[order + 1] = 1 + share * (GROUPS - 1) // max(1, int(counts.sum()))
    group_of = table[old.codes]
    for group in range(GROUPS):
        yield group, group_of == group


def _folded(steps: I16, symbols: int) -> U8:
    """Steps modulo `symbols` as numbers below it: 0, 1, -1, 2, -2, … become 0, 1, 2, 3, 4 and so on."""
    steps = steps % symbols
    near = np.where(steps > symbols // 2, steps - symbols, steps)
    return np.where(near > 0, 2 * near - 1, -2 * near).astype(np.uint8)


def _unfolded(numbers: U8) -> I16:
    wide = numbers.astype(np.int16)
    return np.where(wide % 2 == 1, (wide + 1) // 2, -(wide // 2))


def _coded(values: U8, symbols: int) -> bytes:
    """Numbers below `symbols` as a payload whose codebook says nothing, by the codec that makes it smaller."""
    bits = max(1, (symbols - 1).bit_length())
    highest = int(values.max(initial=0))
    book = np.zeros(highest, np.float32)
    numbers = CodedWeight((len(values),), FLOAT, bits, book, values)
    return min((encode(numbers, codec)[0] for _, codec in FORMS), key=len)


def _decoded(data: bytes, length: int, count: int, symbols: int) -> U8:
    if len(data) != length:
        raise DeltaError("a patch is cut short")
    try:
        if read_header(data).shape != (count,):
            raise DeltaError("a patch for another weight: the numbers of its codes differ")
        codes = decode(data).codes
    except PayloadError as error:
        raise DeltaError(f"a patch whose codes are damaged: {error}") from error
    if int(codes.max(initial=0)) >= symbols:
        raise DeltaError(f"a patch with the code {codes.max()}; there are {symbols}")
    return codes


def _unpacked(form: struct.Struct, data: bytes, at: int) -> tuple[int, ...]:
    if len(data) < at + form.size:
        raise DeltaError("a patch is cut short")
    return form.unpack_from(data, at)
