"""Reading float tensors out of an ONNX file, wherever their bytes are, without trusting what they declare."""

import math
import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from onnx import SparseTensorProto, TensorProto, helper

from sparsebook_compressor.errors import (
    ExternalDataMissing,
    ExternalDataOutside,
    InvalidGraph,
    NotFinite,
    TooLarge,
)
from sparsebook_compressor.graph.spool import spooled
from sparsebook_compressor.wire import OWN_FILE

F32 = npt.NDArray[np.float32]

STORED: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT: np.dtype("<f4"),
    TensorProto.DOUBLE: np.dtype("<f8"),
    TensorProto.FLOAT16: np.dtype("<f2"),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
}
NAMES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
}
# Dtypes of which several elements share a byte.
_PACKED_BITS = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}
# ONNX Runtime takes external data at this "file" for an address in its own memory, which the offset gives.
RUNTIMES_MEMORY = "_ORT_MEM_ADDR_"
_CHUNK = 1 << 22
# A sparse tensor is made dense up to this size, or up to so many times the bytes of its values: beyond it fewer than one
# element in 4096 is stored, which no training leaves, and a few bytes would claim the memory of the machine.
_MOST_DENSE_BYTES = 1 << 30
_MOST_DENSE_RATIO = 4096
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def is_float(tensor: TensorProto) -> bool:
    """Whether the tensor is of a dtype that can be compressed."""
    return tensor.data_type in STORED


def elements_of(tensor: TensorProto) -> int:
    """Elements that the dimensions declare.

    Raises:
        InvalidGraph: a negative dimension.
    """
    if any(dim < 0 for dim in tensor.dims):
        raise InvalidGraph(f"tensor {tensor.name!r}: negative dimension in {list(tensor.dims)}")
    return math.prod(tensor.dims)


def stored_bytes(tensor: TensorProto) -> int:
    """Bytes that the tensor's elements take in its own dtype."""
    return elements_of(tensor) * STORED[tensor.data_type].itemsize


def check_declared(tensor: TensorProto) -> None:
    """Refuse raw values that are not as long as the dimensions declare, before anybody makes room for what is declared.

    Raises:
        InvalidGraph: they are not.
    """
    if tensor.data_location == TensorProto.EXTERNAL:
        lengths = [entry.value for entry in tensor.external_data if entry.key == "length"]
        found = int(lengths[0]) if len(lengths) == 1 and lengths[0].isdecimal() else None
    else:
        found = len(tensor.raw_data) if tensor.HasField("raw_data") else None
    if found is not None:
        _check_size(tensor, found, stored_bytes(tensor), "bytes")


def read_stored(tensor: TensorProto, source: Path) -> npt.NDArray[np.generic]:
    """The elements in their own dtype, flat; a view of the file or of the protobuf where that is possible.

    Args:
        tensor: float32, float64, float16 or bfloat16.
        source: the model's file; external data lies in its folder.

    Raises:
        InvalidGraph: the data does not have the size that the dimensions declare.
        ExternalDataMissing, ExternalDataOutside: see `external_file`.
    """
    elements = elements_of(tensor)
    dtype = STORED[tensor.data_type]
    if tensor.data_location == TensorProto.EXTERNAL:
        return _read_external(tensor, elements, dtype, source)
    if tensor.HasField("raw_data"):
        data = tensor.raw_data  # protobuf hands out a copy: ask once
        _check_size(tensor, len(data), elements * dtype.itemsize, "bytes")
        return np.frombuffer(data, dtype)
    if tensor.data_type == TensorProto.FLOAT:
        values: npt.NDArray[np.generic] = np.array(tensor.float_data, dtype)
    elif tensor.data_type == TensorProto.DOUBLE:
        values = np.array(tensor.double_data, dtype)
    else:
        values = _halves(tensor).view(dtype)
    _check_size(tensor, len(values), elements, "elements")
    return values


def _halves(tensor: TensorProto) -> npt.NDArray[np.uint16]:
    """The bit patterns of float16 or bfloat16 elements in `int32_data`, one a number."""
    patterns = np.array(tensor.int32_data, np.int64)
    if len(patterns) and not 0 <= patterns.min() <= patterns.max() <= 0xFFFF:
        raise InvalidGraph(
            f"tensor {tensor.name!r}: {NAMES[tensor.data_type]} elements from {patterns.min()} to {patterns.max()} in "
            "int32_data, which holds bit patterns from 0 to 65535; export the model again"
        )
    return patterns.astype(np.uint16)


def read(tensor: TensorProto, source: Path) -> F32:
    """The elements as float32, flat; float64 is rounded, to infinity beyond float32. Errors as `read_stored`."""
    with np.errstate(over="ignore"):
        return read_stored(tensor, source).astype(np.float32, copy=False)


def read_sparse(sparse: SparseTensorProto, source: Path) -> F32:
    """A sparse tensor made dense, float32, flat (ONNX IR: linear or coordinate indices).

    Raises:
        InvalidGraph: indices of a wrong shape or outside the tensor.
        TooLarge: dimensions out of all proportion to the values that are stored.
    """
    name = sparse.values.name
    total = math.prod(sparse.dims)
    stored = stored_bytes(sparse.values)
    if total * 4 > max(_MOST_DENSE_BYTES, _MOST_DENSE_RATIO * stored):
        raise TooLarge(
            f"sparse tensor {name!r}: {total * 4} bytes when dense, from {stored} bytes of values; at most {_MOST_DENSE_BYTES} "
            f"bytes or {_MOST_DENSE_RATIO} times its values are made dense; leave the weight out with "
            f'{{"weights": {{"{name}": {{"skip": true}}}}}}'
        )
    values = read(sparse.values, source)
    indices = np.frombuffer(sparse.indices.raw_data, "<i8")
    if not sparse.indices.raw_data:
        indices = np.array(sparse.indices.int64_data, np.int64)
    if list(sparse.indices.dims) == [len(values), len(sparse.dims)] and len(sparse.dims) > 1:
        if len(indices) != len(values) * len(sparse.dims):
            raise InvalidGraph(f"sparse tensor {name!r}: its indices do not match its values")
        coordinates = indices.reshape(len(values), len(sparse.dims))
        if (coordinates < 0).any() or (coordinates >= np.array(sparse.dims)).any():
            raise InvalidGraph(f"sparse tensor {name!r}: an index lies outside {list(sparse.dims)}")
        indices = np.ravel_multi_index(tuple(coordinates.T), tuple(sparse.dims)).astype(np.int64)
    if len(indices) != len(values) or (
        len(indices) and not 0 <= indices.min() <= indices.max() < total
    ):
        raise InvalidGraph(
            f"sparse tensor {name!r}: its indices do not match its values or dimensions"
        )
    dense = np.zeros(total, np.float32)
    dense[indices] = values
    return dense


def check_finite(values: F32, name: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        NotFinite: naming the weight and the first such element.
    """
    at = _first(values, lambda part: ~np.isfinite(part))
    if at is not None:
        raise NotFinite(
            f"weight {name!r}: element {at} is {_told(values, at)}; mend the model or leave the weight out with "
            f'{{"weights": {{"{name}": {{"skip": true}}}}}}'
        )


def infinite(values: F32, name: str) -> str | None:
    """What the first infinite element of a weight is; None where all are finite.

    Raises:
        NotFinite: an element is NaN, which nobody means.
    """
    if _first(values, np.isnan) is not None:
        check_finite(values, name)
    at = _first(values, np.isinf)
    return None if at is None else f"element {at} is {_told(values, at)}"


def _first(values: F32, marked: Callable[[F32], npt.NDArray[np.bool_]]) -> int | None:
    """The first element that is marked, looked for in chunks so that the marks of a large weight take no memory."""
    for start in range(0, len(values), _CHUNK):
        found = marked(values[start : start + _CHUNK])
        if found.any():
            return start + int(np.argmax(found))
    return None


def _told(values: F32, at: int) -> str:
    if np.isinf(values[at]):
        return f"{values[at]}, or a float64 value beyond float32's range of ±{_FLOAT32_MAX:.1e}"
    return str(values[at])


def external_file(tensor: TensorProto, source: Path) -> tuple[Path, int, int | None]:
    """File, offset and length of external data, confined to the model's folder or own file (see wire.py).

    Raises:
        ExternalDataOutside: an absolute path, `..`, a symbolic or hard link, an address in memory, or something that is no plain
            file.
        ExternalDataMissing: no such file.
        InvalidGraph: offset or length that are no numbers.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    own = source if location == OWN_FILE else spooled(location)
    if own is not None:
        return own, int(entries["offset"]), int(entries["length"])
    path = PurePosixPath(location)
    if RUNTIMES_MEMORY in location:
        raise ExternalDataOutside(
            f"weight {tensor.name!r}: external data {location!r} stands for an address in ONNX Runtime's memory, not for a file"
        )
    if (
        not location
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in location
        or "\0" in location
    ):
        raise ExternalDataOutside(
            f"weight {tensor.name!r}: external data {location!r} must be a file in the model's folder"
        )
    file = source.parent.joinpath(*path.parts)
    try:
        for step in [file, *file.parents[: len(path.parts) - 1]]:
            if step.is_symlink():
                raise ExternalDataOutside(
                    f"weight {tensor.name!r}: external data {location!r} is a symbolic link"
                )
        facts = os.lstat(file)
    except OSError as error:
        raise ExternalDataMissing(
            f"weight {tensor.name!r}: external data {location!r} is not there; hand it in with the model"
        ) from error
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
        raise ExternalDataOutside(
            f"weight {tensor.name!r}: external data {location!r} is not a plain file of its own (hard link, folder or device)"
        )
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries["length"]) if "length" in entries else None
    except ValueError as error:
        raise InvalidGraph(
            f"weight {tensor.name!r}: offset and length must be whole numbers"
        ) from error
    if offset < 0 or (length is not None and length < 0):
        raise InvalidGraph(f"weight {tensor.name!r}: offset and length must not be negative")
    return file, offset, length


def external_bytes(tensor: TensorProto, source: Path) -> npt.NDArray[np.uint8]:
    """External data of any dtype as it stands, uint8[bytes]. Errors as `read_stored`."""
    file, offset, _ = external_file(tensor, source)
    return _map(tensor, external_length(tensor, source), np.dtype(np.uint8), file, offset)


def external_length(tensor: TensorProto, source: Path) -> int:
    """Bytes of external data by its entry, or else by dimensions and dtype; not read. Errors as `external_file`."""
    length = external_file(tensor, source)[2]
    return _declared_bytes(tensor) if length is None else length


def _declared_bytes(tensor: TensorProto) -> int:
    """Bytes of a tensor by its dimensions and dtype.

    Raises:
        InvalidGraph: a dtype that ONNX does not have.
    """
    try:
        name = TensorProto.DataType.Name(tensor.data_type)
        bits = (
            _PACKED_BITS.get(name) or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        )
    except (KeyError, ValueError) as error:
        raise InvalidGraph(
            f"tensor {tensor.name!r}: unknown data type {tensor.data_type}"
        ) from error
    return (elements_of(tensor) * bits + 7) // 8


def _read_external(
    tensor: TensorProto, elements: int, dtype: np.dtype[np.generic], source: Path
) -> npt.NDArray[np.generic]:
    file, offset, length = external_file(tensor, source)
    if length is not None:
        _check_size(tensor, length, elements * dtype.itemsize, "bytes")
    return _map(tensor, elements, dtype, file, offset)


def _map(
    tensor: TensorProto, elements: int, dtype: np.dtype[Any], file: Path, offset: int
) -> npt.NDArray[Any]:
    need = elements * dtype.itemsize
    if offset + need > file.stat().st_size:
        raise ExternalDataMissing(
            f"weight {tensor.name!r}: needs bytes {offset} to {offset + need} of {file.name!r}, "
            f"which has {file.stat().st_size}"
        )
    if elements == 0:
        return np.zeros(0, dtype)
    return np.fromfile(file, dtype, elements, offset=offset)


def _check_size(tensor: TensorProto, found: int, expected: int, unit: str) -> None:
    if found != expected:
        raise InvalidGraph(
            f"tensor {tensor.name!r}: {found} {unit} of data for dimensions {list(tensor.dims)}, which need {expected}"
        )
