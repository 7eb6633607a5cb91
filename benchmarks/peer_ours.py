"""Ours in the comparison of peers: presets, budgets and codecs, and what others' packing makes of our pruned floats."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, TensorProto, numpy_helper

from benchmarks.peer_models import SEED, Subject
from benchmarks.peer_rows import DERIVED, OURS, Made, Row, first_line
from sparsebook_compressor import Config, SparsebookError, compress, decompress
from sparsebook_compressor.artifact import payloads
from sparsebook_compressor.errors import BudgetNotMet
from sparsebook_compressor.payload import encode
from sparsebook_compressor.payload_layout import Codec
from sparsebook_runtime import library_path, platform_tag


def artifacts(subject: Subject, budgets: list[float], folder: Path) -> Iterator[Made]:
    """Every artifact of ours, by Huffman's codec and with the same codes by context: an artifact's codec changes its bytes, no value.

    Args:
        subject: the model and its inputs; `small` sees the calibration and chosen parts alone.
        budgets: of `small`, as drops of fidelity.
        folder: where artifacts go.
    """
    data = folder / "data.npz"
    chosen = {f"eval_{name}": array for name, array in subject.chosen.items()}
    # A test part has to be there; that it is the chosen one again keeps the held-out samples out of it.
    again = {f"test_{name}": array for name, array in subject.chosen.items()}
    np.savez(data, allow_pickle=False, **subject.calibration, **chosen, **again)
    ways: list[tuple[str, Config, Path | None]] = [
        ("safe", Config(seed=SEED), None),
        ("paper, no data", Config(preset="paper", seed=SEED), None),
    ]
    for budget in budgets:
        drop = {"metric": "fidelity", "max_drop": budget}
        config = Config.parse({"preset": "small", "seed": SEED, "budget": drop})
        ways.append((f"small {budget:g}", config, data))
    for name, config, given in ways:
        row = Row(subject.name, subject.family, "Sparsebook", f"{name}, huffman", OURS)
        out = folder / name.replace(" ", "-")
        began = time.process_time()
        try:
            _compress(subject.model, out, config, given)
        except SparsebookError as error:
            yield Made(replace(row, failure=first_line(error)), out)
            continue
        row = replace(row, seconds=time.process_time() - began)
        first = out / "model.onnx"
        yield Made(replace(row, bytes=first.stat().st_size), first)
        second = out / "context.onnx"
        recode(first, second, "context")
        row = replace(row, setting=f"{name}, context", bytes=second.stat().st_size)
        yield Made(row, second)


def _compress(model: Path, out: Path, config: Config, data: Path | None) -> None:
    try:
        compress(
            model,
            out,
            config,
            data=data,
            operator_library=library_path(),
            platform=platform_tag(),
            verify=False,
        )
    except BudgetNotMet:
        if not (out / "model.onnx").exists():  # the bundle holds the best that was found
            raise


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
