"""Admission: bytes of a file to a checked ModelProto. External data and large weights stay where they are."""

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper

from sparsebook_compressor.errors import InvalidGraph, NotOnnx, TooLarge
from sparsebook_compressor.graph.scopes import scopes
from sparsebook_compressor.wire import NotWireFormat, skim

# Protobuf cannot hold more in one message.
_MOST_BYTES = (1 << 31) - 1
# Larger initializers are left out of what the checker is given: it copies its argument, and the graph view checks
# their sizes itself.
_CHECKED_BYTES = 1 << 12
# What ONNX Runtime registers in the standard domain for itself: its optimiser and exporters of language models write the first
# two there, at any opset.
_RUNTIMES_OWN = frozenset(
    {
        "LayerNormalization",
        "SimplifiedLayerNormalization",
        "Affine",
        "Crop",
        "DynamicSlice",
        "ImageScaler",
        "ParametricSoftplus",
        "ScaledTanh",
    }
)
_RUNTIMES_DOMAIN = "sparsebook.onnxruntime"


def load(path: Path) -> ModelProto:
    """Parse and check a model.

    Raises:
        NotOnnx: empty, truncated, or no ONNX protobuf.
        TooLarge: a file over 2 GiB, which protobuf cannot hold.
        InvalidGraph: the checker of the onnx package refuses the graph.
        FileNotFoundError: there is no such file.
        MemoryError: there is not enough of it for what the file holds.
    """
    size = path.stat().st_size
    if size == 0:
        raise NotOnnx(f"{path.name}: the file is empty")
    if size > _MOST_BYTES:
        raise TooLarge(f"{path.name}: {size} bytes; over 2 GiB keep the weights as external data")
    try:
        model = skim(path)
    except (NotWireFormat, DecodeError) as error:
        if "alloc failed" in str(error):  # how protobuf says that there is not enough memory
            raise MemoryError(str(error)) from error
        found = _looks_like(path)
        said = f"it begins like {found}" if found else f"{error}; export or copy it again"
        raise NotOnnx(
            f"{path.name}: not an ONNX file, or cut short ({size} bytes): {said}"
        ) from error
    if not model.HasField("graph") or not model.ir_version or not model.opset_import:
        raise NotOnnx(f"{path.name}: no ONNX model in it (no graph, IR version or opset)")
    _check_text(model, path.name)
    _check(model, path.name)
    return model


# What people hand in by mistake: how it begins, from which byte on, and what to do about it.
_OTHERS = (
    (0, b"<", "a page or XML: its address led to a page about the file; download the file itself"),
    (0, b"version https://git-lfs", "a pointer of Git LFS: run `git lfs pull` where it comes from"),
    (
        0,
        b"PK\x03\x04",
        "a zip, as .npz, .pt and .keras are; export the model to ONNX, or unpack it",
    ),
    (0, b"\x89HDF", "HDF5, as Keras writes: convert the model to ONNX with tf2onnx"),
    (4, b"TFL3", "TFLite: convert the model to ONNX with tf2onnx"),
    (0, b"\x1f\x8b", "a gzip: unpack it"),
)


def _looks_like(path: Path) -> str | None:
    """What else a file is that is no ONNX, and what to do."""
    with path.open("rb") as file:
        head = file.read(64)
    return next((said for at, mark, said in _OTHERS if head[at:].startswith(mark)), None)


# ONNX's own functions take versions of 32 bits.
_LAST_VERSION = 2**31 - 1


def opset(model: ModelProto | FunctionProto) -> int:
    """Version of the standard operator set that a model or function imports; 0 where it imports none."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return max(versions, default=0)


def _check_text(model: ModelProto, name: str) -> None:
    """Names are UTF-8; protobuf hands out bytes where they are not."""
    for text in _texts(model):
        if not isinstance(text, str):
            raise InvalidGraph(f"{name}: a name in the graph is not UTF-8 text: {str(text)[:40]}")


def _texts(model: ModelProto) -> Iterator[object]:
    yield model.graph.name
    holders: list[ModelProto | FunctionProto] = [model, *model.functions]
    for holder in holders:
        yield from (entry.domain for entry in holder.opset_import)
    for scope in scopes(model):
        yield from scope.outputs
        yield from scope.defined
        for node in scope.body.node:
            yield from (node.name, node.op_type, node.domain)
            yield from node.input
            for attribute in node.attribute:
                yield attribute.name
                yield from _tensor_texts(attribute.t)
        if scope.graph is not None:
            for tensor in scope.graph.initializer:
                yield from _tensor_texts(tensor)


def _tensor_texts(tensor: TensorProto) -> Iterator[object]:
    yield tensor.name
    for entry in tensor.external_data:
        yield from (entry.key, entry.value)


def _check(model: ModelProto, name: str) -> None:
    for version in (opset(model), *(opset(function) for function in model.functions)):
        if not 0 <= version <= _LAST_VERSION:
            raise InvalidGraph(
                f"{name}: it imports version {version} of the standard operator set, which there cannot be"
            )
    try:
        onnx.checker.check_model(without_large_tensors(model))
    except UnicodeDecodeError as error:
        raise InvalidGraph(f"{name}: a text in the graph is not UTF-8") from error
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise InvalidGraph(f"{name}: {reason}; onnx.checker.check_model shows it too") from error


def without_large_tensors(model: ModelProto) -> ModelProto:
    """The same model with large initializers of the main graph declared as inputs instead."""
    light = ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    source, graph = model.graph, light.graph
    graph.name = source.name
    graph.node.extend(source.node)
    graph.input.extend(source.input)
    graph.output.extend(source.output)
    graph.sparse_initializer.extend(source.sparse_initializer)
    for scope in scopes(light):
        for node in scope.body.node:
            _set_apart(light, scope.function, node)
            for attribute in node.attribute:
                _empty_if_external(attribute.t)
        for tensor in () if scope.graph is None else scope.graph.initializer:
            _empty_if_external(tensor)
    for value in (*graph.input, *graph.output):
        # ONNX Runtime asks for no shape where the rank is free; the checker wants the field to be there.
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.shape.SetInParent()
    inputs = {value.name for value in source.input}
    for tensor in source.initializer:
        if tensor.ByteSize() > _CHECKED_BYTES or tensor.data_location == TensorProto.EXTERNAL:
            if tensor.name not in inputs:
                graph.input.append(
                    helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
                )
        else:
            graph.initializer.append(tensor)
    return light


def _set_apart(light: ModelProto, function: FunctionProto | None, node: NodeProto) -> None:
    """Move an op that ONNX Runtime has in the standard domain, and the standard has not, to a domain that the checker passes."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in _RUNTIMES_OWN:
        return
    holder = function or light
    try:
        onnx.defs.get_schema(node.op_type, opset(holder), "")
    except onnx.defs.SchemaError:
        node.domain = _RUNTIMES_DOMAIN
        if all(entry.domain != _RUNTIMES_DOMAIN for entry in holder.opset_import):
            holder.opset_import.append(helper.make_opsetid(_RUNTIMES_DOMAIN, 1))


def _empty_if_external(tensor: TensorProto) -> None:
    """The checker would look for external data in the working directory; the graph view looks where it belongs."""
    if tensor.data_location == TensorProto.EXTERNAL:
        tensor.ClearField("data_location")
        del tensor.external_data[:]
        tensor.dims[:] = [0]
        tensor.raw_data = b""
