"""The model as it is between original and artifact: weights in a file of their own, where each can be changed in place.

ONNX Runtime reads the graph from a file and the weights from another, so that neither is in this process's memory besides the
session's own copy.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

from sparsebook_compressor.feeds import Feed
from sparsebook_compressor.graph.scopes import subgraphs
from sparsebook_compressor.graph.tensors import STORED, external_bytes
from sparsebook_compressor.graph.view import IR_WITH_OWN_INITIALIZERS, Weight, survey
from sparsebook_compressor.measure import session
from sparsebook_compressor.pack import all_tensors
from sparsebook_compressor.stages.representable import representable
from sparsebook_compressor.training.aim.ending import Ending, ending

F32 = npt.NDArray[np.float32]
Array = npt.NDArray[np.generic]

_DATA = "weights.bin"
_GRAPH = "model.onnx"
_TAPS = "taps.onnx"
# ONNX Runtime maps external tensors from whole pages.
_ALIGNED = 4096


class Workbench:
    """A copy of a model whose weights can be replaced, run whole or up to some of its values."""

    def __init__(self, model: Path, parsed: ModelProto, names: Iterable[str], folder: Path) -> None:
        """Lay a model out.

        Args:
            model: its file.
            parsed: the same, as admitted; it is not changed.
            names: of the weights that may be replaced.
            folder: for the files; it must not exist.
        """
        folder.mkdir(parents=True)
        self._folder = folder
        self._graph = ModelProto()
        self._graph.CopyFrom(parsed)
        view = survey(self._graph, model)
        wanted = set(names)
        self._weights = {weight.name: weight for weight in view.weights if weight.name in wanted}
        self._places: dict[str, int] = {}
        # Local functions have no initializers: their weights stay where they are.
        for name in [name for name, weight in self._weights.items() if weight.scope.graph is None]:
            del self._weights[name]
        _inline(self._graph, model, {id(weight.holder) for weight in self._weights.values()})
        with (folder / _DATA).open("wb") as file:
            for weight in self._weights.values():
                self._lay_out(weight, file)

    @property
    def names(self) -> frozenset[str]:
        """Of the weights that can be replaced: those of local functions cannot."""
        return frozenset(self._weights)

    def put(self, name: str, values: F32) -> None:
        """Replace a weight, float32[elements], as its own dtype can hold it."""
        weight = self._weights[name]
        stored = representable(values, weight.dtype).astype(STORED[weight.dtype])
        offset = self._places[name]
        with (self._folder / _DATA).open("r+b") as file:
            file.seek(offset)
            file.write(stored.tobytes())

    def set_constant(self, name: str, values: F32) -> None:
        """Replace the elements of a float32 constant of the main graph."""
        for tensor in constants_named(self._graph.graph, name):
            overwrite(tensor, values)

    def ending(self, output: str) -> Ending:
        """How the graph ends at one of its outputs."""
        return ending(self._graph, output)

    def whole(self) -> Path:
        """The file of the model as it is now."""
        path = self._folder / _GRAPH
        path.write_bytes(self._graph.SerializeToString())
        return path

    def run(self, taps: Sequence[str], feeds: Iterable[Feed]) -> Iterator[dict[str, Array]]:
        """Values of the main graph, feed by feed; only what leads to them is run."""
        given = {value.name for value in self._graph.graph.input}
        wanted = list(dict.fromkeys(name for name in taps if name not in given))
        running: ort.InferenceSession | None = None
        if wanted:
            path = self._folder / _TAPS
            path.write_bytes(_upto(self._graph, wanted).SerializeToString())
            running = session(path)
        for feed in feeds:
            found: dict[str, Array] = {name: feed[name] for name in taps if name in feed}
            if running is not None:
                needed = {value.name for value in running.get_inputs()}
                inputs = {name: value for name, value in feed.items() if name in needed}
                found.update(zip(wanted, running.run(wanted, inputs), strict=True))
            yield found

    def _lay_out(self, weight: Weight, file: BinaryIO) -> None:
        """Turn a weight into a tensor in the file."""
        graph = weight.scope.graph
        assert graph is not None
        file.write(bytes(-file.tell() % _ALIGNED))
        offset = file.tell()
        data = weight.read().astype(STORED[weight.dtype]).tobytes()
        file.write(data)
        if isinstance(weight.holder, SparseTensorProto) or weight.node is not None:
            tensor = graph.initializer.add()
            _remove(graph, weight)
            self._graph.ir_version = max(self._graph.ir_version, IR_WITH_OWN_INITIALIZERS)
        else:
            tensor = weight.holder
        tensor.Clear()
        tensor.name, tensor.data_type = weight.value, weight.dtype
        tensor.dims.extend(weight.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", _DATA), ("offset", offset), ("length", len(data))):
            tensor.external_data.add(key=key, value=str(value))
        self._places[weight.name] = offset


def constants_named(graph: GraphProto, name: str) -> Iterator[TensorProto]:
    """The tensor of an initializer or Constant node of this name."""
    yield from (tensor for tensor in graph.initializer if tensor.name == name)
    for node in graph.node:
        if node.op_type == "Constant" and list(node.output) == [name]:
            yield from (each.t for each in node.attribute if each.name == "value")


def overwrite(tensor: TensorProto, values: F32) -> None:
    """Other elements for a float32 tensor of the same shape."""
    tensor.ClearField("float_data")
    tensor.raw_data = values.astype("<f4").tobytes()


def _remove(graph: GraphProto, weight: Weight) -> None:
    if weight.node is not None:
        index = next(i for i, node in enumerate(graph.node) if node is weight.node)
        del graph.node[index]
        return
    holders = graph.sparse_initializer
    index = next(i for i, tensor in enumerate(holders) if tensor is weight.holder)
    del holders[index]


def _inline(model: ModelProto, source: Path, spared: set[int]) -> None:
    """What else lies outside the graph comes in: ONNX Runtime looks for external data beside the copy."""
    for tensor in all_tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL and id(tensor) not in spared:
            data = external_bytes(tensor, source).tobytes()
            tensor.ClearField("external_data")
            tensor.data_location = TensorProto.DEFAULT
            tensor.raw_data = data


def _upto(model: ModelProto, wanted: Sequence[str]) -> ModelProto:
    """The model with other outputs and the nodes that lead to them alone."""
    cut = ModelProto()
    cut.CopyFrom(model)
    graph = cut.graph
    needed, kept = set(wanted), []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(_reads(node))
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    for tensors in (graph.initializer, graph.input):
        for index in reversed(range(len(tensors))):
            if tensors[index].name not in needed:
                del tensors[index]
    del graph.output[:]
    for name in wanted:
        graph.output.add(name=name)
    return cut


def _reads(node: NodeProto) -> set[str]:
    """Names that a node reads, those of its subgraphs among them."""
    names = set(node.input)
    for _, graph in subgraphs(node):
        names.update(output.name for output in graph.output)
        for inner in graph.node:
            names |= _reads(inner)
    return names
