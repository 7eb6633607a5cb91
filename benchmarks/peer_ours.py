"""Ours in the comparison of peers: presets, budgets and codecs, and what others' packing makes of our pruned floats."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, TensorProto, numpy_helper

from benchmarks.peer_ladder import ladder
from benchmarks.peer_models import SEED, Subject
from benchmarks.peer_rows import DERIVED, OURS, Made, Row, first_line
from sparsebook_compressor import Config, SparsebookError, compress, decompress
from sparsebook_compressor.artifact import payloads
from sparsebook_compressor.payload import encode
from sparsebook_compressor.payload_layout import Codec
from sparsebook_runtime import library_path, platform_tag


def artifacts(subject: Subject, aims: list[float], folder: Path) -> Iterator[Made]:
    """Every artifact of ours, by Huffman's codec and with the same codes by context: an artifact's codec changes its bytes, no value.

    Args:
        subject: the model and its inputs; `small` sees the calibration and chosen parts alone.
        aims: relative RMS errors that passes of `small` aim at.
        folder: where artifacts go.
    """
    ways = (("safe", Config(seed=SEED)), ("paper, no data", Config(preset="paper", seed=SEED)))
    for name, config in ways:
        row = Row(subject.name, subject.family, "Sparsebook", f"{name}, huffman", OURS)
        out = folder / name.replace(" ", "-")
        began = time.process_time()
        try:
            _compress(subject.model, out, config)
        except SparsebookError as error:
            yield Made(replace(row, failure=first_line(error)), out)
            continue
        yield from _both(row, out / "model.onnx", name, time.process_time() - began)
    row = Row(subject.name, subject.family, "Sparsebook", "small", OURS)
    try:
        for aim, file, seconds in ladder(subject, aims, folder / "small"):
            name = f"small {aim:g}"
            yield from _both(replace(row, setting=f"{name}, huffman"), file, name, seconds)
    except SparsebookError as error:
        yield Made(replace(row, failure=first_line(error)), folder / "small")


def _both(row: Row, file: Path, name: str, seconds: float) -> Iterator[Made]:
    row = replace(row, seconds=seconds)
    yield Made(replace(row, bytes=file.stat().st_size), file)
    second = file.with_name("context.onnx")
    recode(file, second, "context")
    yield Made(replace(row, setting=f"{name}, context", bytes=second.stat().st_size), second)


def _compress(model: Path, out: Path, config: Config) -> None:
    library, platform = library_path(), platform_tag()
    compress(model, out, config, operator_library=library, platform=platform, verify=False)


def recode(artifact: Path, output: Path, codec: Codec) -> None:
    """Write an artifact's payloads in another codec."""
    model = onnx.load(artifact)
    for payload in payloads(model, artifact):
        data, _ = encode(payload.decode(), codec)
        name = payload.tensor.name
        payload.tensor.CopyFrom(numpy_helper.from_array(np.frombuffer(data, np.uint8), name))
    onnx.save(model, output)


def plain(made: Made) -> Made:
    """An artifact's model as floats again, zeros and shared values among them."""
    file = made.file.with_name("plain.onnx")
    if not file.exists():
        decompress(made.file, file)
    setting = f"our {made.row.setting.split(',')[0]}"
    return Made(replace(made.row, kind=DERIVED, setting=setting, seconds=None), file, timed=False)


def sparse(floats: Made) -> Made:
    """Weights as ONNX's COO sparse_initializer, values and int64 indices, wherever that is smaller."""
    model = onnx.load(floats.file)
    _constants_to_initializers(model.graph)
    kept: list[TensorProto] = []
    for tensor in model.graph.initializer:
        found = _coo(tensor)
        if found is None:
            kept.append(tensor)
        else:
            model.graph.sparse_initializer.append(found)
    kept = [TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.ir_version = max(model.ir_version, 6)
    file = floats.file.with_name("coo.onnx")
    onnx.save(model, file)
    row = replace(floats.row, who="COO sparse_initializer", bytes=file.stat().st_size)
    return Made(row, file)


def _constants_to_initializers(graph: GraphProto) -> None:
    nodes = []
    for node in graph.node:
        value = next((each.t for each in node.attribute if each.name == "value"), None)
        if (
            node.op_type == "Constant"
            and value is not None
            and value.data_type == TensorProto.FLOAT
        ):
            tensor = graph.initializer.add()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
        else:
            nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _coo(tensor: TensorProto) -> onnx.SparseTensorProto | None:
    if tensor.data_type != TensorProto.FLOAT or not tensor.dims:
        return None
    values = numpy_helper.to_array(tensor)
    (places,) = np.nonzero(values.reshape(-1))
    if not len(places) or 12 * len(places) >= values.nbytes:
        return None
    held = numpy_helper.from_array(values.reshape(-1)[places], tensor.name)
    indices = numpy_helper.from_array(places.astype(np.int64), f"{tensor.name}_indices")
    return onnx.helper.make_sparse_tensor(held, indices, list(tensor.dims))
