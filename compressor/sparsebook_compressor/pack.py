"""Packing: the rewritten model into a bundle folder that appears whole or not at all."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from onnx import AttributeProto, ModelProto, TensorProto

from sparsebook_compressor import bundle
from sparsebook_compressor.errors import BadValue, StorageFull
from sparsebook_compressor.graph.scopes import scopes
from sparsebook_compressor.graph.spool import refer, spooled
from sparsebook_compressor.graph.tensors import external_bytes, external_file, external_length
from sparsebook_compressor.partial import partial_folder
from sparsebook_compressor.report import FileFacts
from sparsebook_compressor.wire import OWN_FILE, Initializer, pour

MODEL_NAME = bundle.MODEL_NAME
DATA_SUFFIX = bundle.DATA_SUFFIX
DATA_NAME = bundle.DATA_NAME
REPORTS = bundle.REPORTS
sha256 = bundle.sha256
MANIFEST_FORMAT = 1
# Protobuf ends at 2 GiB; the rest of the graph needs some room.
MOST_INLINE = 1_900_000_000
_SMALL = 1024
# What ONNX Runtime maps from a data file it computes from where it lies: a vector register is 64 bytes at the widest.
_ALIGNMENT = 64
_BLOCK = 1 << 22
# A folder made for one run alone is its owner's alone; a bundle is for everyone to read.
_FOLDER_MODE = 0o755


class Account(Protocol):
    """A report, as far as the manifest has its contents too."""

    @property
    def input(self) -> FileFacts:
        """The file that was handed in."""

    @property
    def config(self) -> dict[str, Any]:
        """As given."""

    @property
    def seed(self) -> int:
        """Of all that is drawn."""

    @property
    def versions(self) -> dict[str, str]:
        """Of everything that shapes the result."""

    def to_json(self) -> str:
        """The report's text."""


@contextlib.contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` when the block ends well and is removed when it does not.

    Raises:
        BadValue: `out` exists and is not an empty folder, or cannot be made.
        StorageFull: no room left on the disk.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 - Path has no way to take out ".." without following links
    with usable(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise BadValue(
                f"{out}: exists and is not empty; choose another folder or remove it first"
            )
    with folder_beside(out) as partial:
        with translate_errors(out):
            yield partial
        with usable(out):
            partial.chmod(_FOLDER_MODE)
            partial.replace(out)


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A folder of its own in the folder of `path`, which is made where it is missing; gone when the block ends.

    Raises:
        BadValue: no folder can be made there.
        StorageFull: no room left on the disk.
    """
    with contextlib.ExitStack() as stack:
        with usable(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(partial_folder(path))
        yield folder


@contextlib.contextmanager
def usable(path: Path) -> Iterator[None]:
    """Turn whatever the system has against writing at `path` into BadValue, a full disk into StorageFull."""
    try:
        with translate_errors(path):
            yield
    except OSError as error:
        raise BadValue(
            f"{path}: cannot be written: {error.strerror}; choose a place in a folder that you may write to"
        ) from error


@contextlib.contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn a full disk into StorageFull, naming the path."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull(f"{path}: {error.strerror}; free some space and try again") from error
        raise


def write_model(model: ModelProto, folder: Path, source: Path, name: str = MODEL_NAME) -> None:
    """Write a model whose untouched external tensors still lie beside `source`, or in it; they are moved in.

    One file where that fits in 1.9 GB, else all larger tensors go to one data file beside it. The model is taken apart on
    the way, so that no initializer of its main graph is in memory twice, and one that is in a file only while it is copied.

    Raises:
        ExternalDataMissing, ExternalDataOutside, InvalidGraph: of an untouched tensor.
    """
    found = list(all_tensors(model))
    sizes = sum(_size(tensor, source) for tensor in found)
    if sizes > MOST_INLINE:
        _write_data(found, folder / f"{name}{DATA_SUFFIX}", source)
    initializers = list(model.graph.initializer)
    del model.graph.initializer[:]
    if sizes <= MOST_INLINE:
        for tensor in all_tensors(model):
            if tensor.data_location == TensorProto.EXTERNAL:
                _inline(tensor, external_bytes(tensor, source).tobytes())
        pieces = [_piece(tensor, source) for tensor in initializers]
    else:
        pieces = [Initializer.whole(tensor) for tensor in initializers]
    with (folder / name).open("wb") as file:
        pour(model, pieces, file)


def facts(folder: Path, name: str = MODEL_NAME) -> FileFacts:
    """Name, bytes (with the data file) and hash of a written model."""
    data = folder / f"{name}{DATA_SUFFIX}"
    extra = data.stat().st_size if data.exists() else 0
    return FileFacts(name, (folder / name).stat().st_size + extra, sha256(folder / name))


def source_facts(path: Path, model: ModelProto) -> FileFacts:
    """Name, bytes and hash of a model that was handed in; its external files count, each once.

    Raises:
        ExternalDataMissing, ExternalDataOutside, InvalidGraph: of an external file, see `external_file`.
    """
    external = (t for t in all_tensors(model) if t.data_location == TensorProto.EXTERNAL)
    files = {path, *(external_file(tensor, path)[0] for tensor in external)}
    return FileFacts(path.name, sum(file.stat().st_size for file in files), sha256(path))


def external_files(model: ModelProto) -> list[str]:
    """Names of the external files that a model's tensors refer to, each once, as they stand."""
    names = {
        entry.value
        for tensor in all_tensors(model)
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location" and entry.value != OWN_FILE and spooled(entry.value) is None
    }
    return sorted(names)


def add_libraries(
    folder: Path, library: Path | None, platform: str | None, others: Mapping[str, Path] | None
) -> None:
    """Copy the operator library and those of other platforms to their places in the bundle; none where there is no library."""
    if library is None:
        return
    for name, path in {**(others or {}), platform or "unknown": library}.items():
        target = folder / "lib" / name
        target.mkdir(parents=True)
        shutil.copyfile(path, target / path.name)


def write_papers(folder: Path, report: Account, page: str) -> None:
    """Write the report, as JSON and as a page, and manifest.json: what is in the bundle with its hashes, and what it was made from.

    The report, which tells of seconds, is not in the manifest: that is the same whenever the same is made.
    """
    (folder / REPORTS[0]).write_text(report.to_json())
    (folder / REPORTS[1]).write_text(page, encoding="utf-8")
    source = report.input
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).as_posix() not in REPORTS
    }
    contents = {
        "files": files,
        "format": MANIFEST_FORMAT,
        "config": report.config,
        "seed": report.seed,
        "input": {"name": source.name, "bytes": source.bytes, "sha256": source.sha256},
        "versions": report.versions,
    }
    text = json.dumps(contents, indent=1, sort_keys=True) + "\n"
    (folder / "manifest.json").write_text(text)


def all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor of a model: initializers, dense and sparse, and those in attributes, of all scopes."""
    for scope in scopes(model):
        if scope.graph is not None:
            yield from scope.graph.initializer
            for sparse in scope.graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in scope.body.node:
            for attribute in node.attribute:
                if attribute.type == AttributeProto.TENSOR:
                    yield attribute.t
                elif attribute.type == AttributeProto.SPARSE_TENSOR:
                    yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
                yield from attribute.tensors


def _size(tensor: TensorProto, source: Path) -> int:
    if tensor.data_location == TensorProto.EXTERNAL:
        return external_length(tensor, source)
    return tensor.ByteSize()


def _piece(tensor: TensorProto, source: Path) -> Initializer:
    if tensor.data_location != TensorProto.EXTERNAL:
        return Initializer.whole(tensor)
    length = external_length(tensor, source)
    return Initializer.with_data(tensor, length, lambda: external_bytes(tensor, source).data)


def _inline(tensor: TensorProto, data: bytes) -> None:
    tensor.raw_data = data
    tensor.ClearField("data_location")
    del tensor.external_data[:]


def _write_data(tensors: list[TensorProto], path: Path, source: Path) -> None:
    with path.open("wb") as file:
        for tensor in tensors:
            external = tensor.data_location == TensorProto.EXTERNAL
            if not external and len(tensor.raw_data) < _SMALL:
                continue
            file.write(bytes(-file.tell() % _ALIGNMENT))
            offset = file.tell()
            data = (
                external_bytes(tensor, source)
                if external
                else np.frombuffer(tensor.raw_data, np.uint8)
            )
            for start in range(0, len(data), _BLOCK):
                file.write(data[start : start + _BLOCK].tobytes())
            tensor.ClearField("raw_data")
            refer(tensor, path.name, offset, file.tell() - offset)
