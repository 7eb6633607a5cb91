"""Looking inside a file: the payloads of an artifact, or the weights of a plain model."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto

from sparsebook_compressor import admit, pack
from sparsebook_compressor.counting import cell_edges, nonzeros_by_cell, strip
from sparsebook_compressor.errors import InvalidGraph, PayloadError, TooLarge
from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.graph.scopes import Scope, scopes
from sparsebook_compressor.graph.tensors import (
    NAMES,
    STORED,
    external_bytes,
    external_file,
)
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.payload import CodedWeight, decode, header_of
from sparsebook_compressor.payload_contents import contents
from sparsebook_compressor.payload_header import FLOAT16, Header
from sparsebook_compressor.payload_layout import LAYOUT_NAMES, codec_name
from sparsebook_compressor.report import FileFacts
from sparsebook_compressor.rewrite.operator import PAYLOAD_SUFFIX
from sparsebook_compressor.rewrite.surgery import DOMAIN

_PAYLOAD_INPUTS = {
    "Decode": (0,),
    "Gather": (0,),
    "Gemm": (1,),
    "MatMul": (1,),
    "Conv": (1,),
    "LSTM": (1, 2),
    "GRU": (1, 2),
}


@dataclass(frozen=True, slots=True)
class InspectRow:
    """One weight as it lies in a file. `layout` is "floats" for a weight that is not compressed, which has no `codec`.

    `bytes_shared` is what it would take with every symbol at its full width (the paper's rate before Huffman coding), `strip` where its
    non-zeros are (`looks.Look`).
    """

    name: str
    role: str
    shape: tuple[int, ...]
    dtype: str
    elements: int
    density: float
    layout: str
    bits: int
    centroids: int
    bytes_before: int
    bytes_shared: int
    bytes_now: int
    strip: tuple[int, ...]
    codec: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is in a file: an artifact with payloads, or a plain model."""

    kind: Literal["artifact", "model"]
    file: FileFacts
    rows: tuple[InspectRow, ...]
    note: str


@dataclass(frozen=True, eq=False)
class Use:
    """An operator that consumes a payload as its input `index`."""

    scope: Scope
    node: NodeProto
    index: int


@dataclass(frozen=True, eq=False)
class Place:
    """A tensor whose bytes are in a file, and the model that it belongs to."""

    tensor: TensorProto
    source: Path

    def read(self) -> bytes:
        """The bytes."""
        return external_bytes(self.tensor, self.source).tobytes()


@dataclass(frozen=True, eq=False)
class Stored:
    """A payload in an artifact: the tensor that holds it (in a Constant node or not), its consumers, where its bytes are."""

    name: str
    scope: Scope
    tensor: TensorProto
    node: NodeProto | None
    uses: tuple[Use, ...]
    place: "bytes | Place" = field(repr=False)

    @property
    def data(self) -> bytes:
        """The bytes, as the file had them; large ones are read anew on every call.

        Raises:
            ExternalDataMissing, ExternalDataOutside: they are in a data file that cannot be read.
        """
        return self.place if isinstance(self.place, bytes) else self.place.read()

    def header(self) -> Header:
        """What the payload says of itself, once its bytes have been checked.

        Raises:
            PayloadError: naming the payload and the rule that is broken.
        """
        with self.named_errors():
            return header_of(self.data)

    def decode(self) -> CodedWeight:
        """The coded weight.

        Raises:
            PayloadError: naming the payload and the rule that is broken.
            TooLarge: the weight does not fit in memory.
        """
        with self.named_errors():
            try:
                return decode(self.data)
            except MemoryError as error:
                shape = self.header().shape
                raise TooLarge(
                    f"{self.name!r}: a weight of shape {shape} does not fit in memory"
                ) from error

    @contextlib.contextmanager
    def named_errors(self) -> Iterator[None]:
        """Add the payload's name to what is wrong with it."""
        try:
            yield
        except PayloadError as error:
            detail = str(error).removeprefix(f"payload: {error.rule}: ")
            raise PayloadError(error.rule, f"{detail} (in {self.name!r})") from error


def inspect(path: Path) -> Inspection:
    """Look inside an artifact or a model.

    Raises:
        InputError: the file is no ONNX model, or a payload is damaged.
    """
    model = admit.load(path)
    source = pack.source_facts(path, model)
    found = payloads(model, path)
    if found:
        rows = tuple(coded_row(stored_payload) for stored_payload in found)
        return Inspection("artifact", source, rows, f"{len(rows)} compressed weights")
    view = survey(model, path)
    plain = []
    for weight in view.weights:
        values = weight.read()
        size = weight.stored_bytes
        density = int(np.count_nonzero(values)) / max(1, weight.elements)
        bits = 8 * size // max(1, weight.elements)
        plain.append(
            InspectRow(
                weight.name,
                weight.role,
                weight.shape,
                NAMES[weight.dtype],
                weight.elements,
                density,
                "floats",
                bits,
                0,
                size,
                size,
                size,
                strip(nonzeros_by_cell(values), weight.elements),
            )
        )
    note = f"not an artifact with operators: {len(plain)} weights that could be compressed"
    return Inspection("model", source, tuple(plain), note)


def payloads(model: ModelProto, source: Path) -> list[Stored]:
    """All payloads that operators of the model consume, each once.

    Raises:
        InvalidGraph: an operator whose payload is no constant uint8 tensor.
        ExternalDataMissing, ExternalDataOutside: payloads in a data file that cannot be read.
    """
    found = scopes(model)
    holders = {
        (id(scope), name): (scope, tensor, node)
        for scope in found
        for name, tensor, node in _byte_tensors(scope)
    }
    uses: dict[tuple[int, str], list[Use]] = {}
    for scope in found:
        for node, index in _payload_inputs(scope):
            name = node.input[index]
            home = scope.resolve(name)
            if home is None or (id(home), name) not in holders:
                raise InvalidGraph(
                    f"{node.op_type} {node.name!r}: its payload {name!r} is no constant"
                )
            uses.setdefault((id(home), name), []).append(Use(scope, node, index))
    return [
        Stored(key[1], *holders[key], tuple(users), _place(holders[key][1], source))
        for key, users in uses.items()
    ]


def _payload_inputs(scope: Scope) -> Iterator[tuple[NodeProto, int]]:
    for node in scope.body.node:
        if node.domain != DOMAIN:
            continue
        for index in _PAYLOAD_INPUTS.get(node.op_type, ()):
            if index < len(node.input):
                yield node, index


def _byte_tensors(scope: Scope) -> Iterator[tuple[str, TensorProto, NodeProto | None]]:
    if scope.graph is not None:
        for tensor in scope.graph.initializer:
            if tensor.data_type == TensorProto.UINT8:
                yield tensor.name, tensor, None
    for node in scope.body.node:
        if node.op_type != "Constant" or domain_of(node) != "" or len(node.output) != 1:
            continue
        for attribute in node.attribute:
            if (
                attribute.type == AttributeProto.TENSOR
                and attribute.t.data_type == TensorProto.UINT8
            ):
                yield node.output[0], attribute.t, node


def _place(tensor: TensorProto, source: Path) -> bytes | Place:
    if tensor.data_location != TensorProto.EXTERNAL:
        return tensor.raw_data
    copy = TensorProto()
    copy.CopyFrom(tensor)  # the model's own may be made another
    external_file(copy, source)
    return Place(copy, source)


def coded_row(payload: Stored) -> InspectRow:
    """The row of a payload.

    Raises:
        PayloadError: naming the payload and the rule that is broken.
    """
    with payload.named_errors():
        found = contents(payload.data, cell_edges)
    header = found.header
    codebook = found.codebook
    item = 2 if header.codebook_dtype == FLOAT16 else 4
    # As in the report: the width that the centroids in use need, whatever the header allows for.
    symbol = max(1, len(codebook).bit_length()) + header.gap_bits
    return InspectRow(
        name=payload.name.removesuffix(PAYLOAD_SUFFIX),
        role=", ".join(sorted({use.node.op_type for use in payload.uses})),
        shape=header.shape,
        dtype=NAMES[header.dtype],
        elements=header.elements,
        density=found.nonzeros / max(1, header.elements),
        layout=LAYOUT_NAMES[header.layout],
        codec=codec_name(header.layout, header.code_codec, header.gap_codec),
        bits=header.bits,
        centroids=header.centroids,
        bytes_before=header.elements * STORED[header.dtype].itemsize,
        bytes_shared=-(-header.symbols * symbol // 8) + item * len(codebook),
        bytes_now=len(payload.data),
        strip=strip(found.cells, header.elements),
    )
