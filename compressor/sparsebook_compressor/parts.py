"""A model too large to be run whole, run part by part: of its weights, only one part's are in memory at a time.

The main graph's nodes are cut, in their order, into runs whose weights stay below a bound. What is made from constants alone
(a Decode, a folded chain of the portable output) stands in every part that takes it, and never passes a border. Between two
parts values wait in files. A subgraph goes with its node.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from sparsebook_compressor import admit
from sparsebook_compressor.errors import PayloadError
from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.graph.scopes import subgraphs
from sparsebook_compressor.graph.tensors import external_bytes, external_file, external_length
from sparsebook_compressor.payload_header import read_header
from sparsebook_compressor.rewrite.surgery import DOMAIN
from sparsebook_compressor.wire import OWN_FILE

PART_BYTES = 512 << 20
# ONNX Runtime unfolds a byte of the portable output's codes through int32 indices to floats.
_PORTABLE_FACTOR = 16
_HEADER_BYTES = 256
# What these make is not the same twice.
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli"}
    | {"Multinomial", "Dropout"}
)


@dataclass(frozen=True, eq=False)
class Part:
    """Nodes that are run together.

    Attributes:
        nodes: their numbers in the main graph, ascending.
        constants: initializers that they take.
        takes: values of earlier parts, or inputs of the graph.
        gives: values that later parts take, or outputs of the graph.
    """

    nodes: tuple[int, ...]
    constants: tuple[str, ...]
    takes: tuple[str, ...]
    gives: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Parts:
    """A model in parts.

    Attributes:
        path: of the model's file.
        names: of the graph's outputs.
        parts: in the order in which they run.
    """

    path: Path
    names: list[str]
    parts: list[Part]
    model: ModelProto = field(repr=False)

    @classmethod
    def of(cls, path: Path, most: int) -> "Parts":
        """Cut a model's main graph.

        Args:
            path: of its file.
            most: bytes of weights in a part, where one node does not need more.

        Raises:
            InputError: it is no model.
        """
        model = admit.load(path)
        cutting = _Cutting(model, path, most)
        return cls(path, [value.name for value in model.graph.output], cutting.run(), model)

    def run(
        self,
        feeds: list[Mapping[str, Any]],
        folder: Path,
        options: Callable[[], ort.SessionOptions],
        watch: Callable[[], None] = lambda: None,
    ) -> Iterator[list[Any]]:
        """The outputs for every feed, in their order.

        Args:
            feeds: arrays by the names of the graph's inputs.
            folder: where values wait, empty.
            options: makes the options of a session.
            watch: is called while each part's session lives.

        Raises:
            Exception: whatever ONNX Runtime throws.
        """
        waiting = [_Values(folder / str(number), dict(feed)) for number, feed in enumerate(feeds)]
        for number, part in enumerate(self.parts):
            self._run_part(part, waiting, options, watch)
            later = {name for rest in self.parts[number + 1 :] for name in rest.takes}
            for values in waiting:
                values.keep(later.union(self.names))
        for values in waiting:
            yield [values[name] for name in self.names]

    def _run_part(
        self,
        part: Part,
        waiting: "list[_Values]",
        options: Callable[[], ort.SessionOptions],
        watch: Callable[[], None],
    ) -> None:
        chosen = options()
        chosen.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(self.path.parent.absolute())
        )
        # Packed weights are copies, and few samples are run.
        chosen.add_session_config_entry("session.disable_prepacking", "1")
        first = {name: waiting[0][name] for name in part.takes} if waiting else {}
        session = ort.InferenceSession(
            self._model_of(part, first), chosen, providers=["CPUExecutionProvider"]
        )
        for values in waiting:
            found = session.run(list(part.gives), {name: values[name] for name in part.takes})
            for name, value in zip(part.gives, found, strict=True):
                values[name] = value
        watch()

    def _model_of(self, part: Part, first: Mapping[str, Any]) -> bytes:
        """A part as a model of its own; the types of what it takes are those of the first sample."""
        source = self.model.graph
        known = {tensor.name: tensor for tensor in source.initializer}
        sparse = {each.values.name: each for each in source.sparse_initializer}
        graph = GraphProto(name=source.name or "part")
        graph.node.extend(source.node[index] for index in part.nodes)
        for name in part.constants:
            if name in known:
                self._add_initializer(graph, known[name])
            else:
                graph.sparse_initializer.append(sparse[name])
        for name in part.takes:
            kind = helper.np_dtype_to_tensor_dtype(np.asarray(first[name]).dtype)
            graph.input.append(helper.make_tensor_value_info(name, kind, None))
        graph.output.extend(ValueInfoProto(name=name) for name in part.gives)
        model = ModelProto(ir_version=self.model.ir_version)
        model.opset_import.extend(self.model.opset_import)
        model.functions.extend(self.model.functions)
        model.graph.CopyFrom(graph)
        return model.SerializeToString()

    def _add_initializer(self, graph: GraphProto, tensor: TensorProto) -> None:
        """Weights in data files are left to ONNX Runtime to map; those in the model's own file are read."""
        added = graph.initializer.add()
        added.CopyFrom(tensor)
        if tensor.data_location != TensorProto.EXTERNAL:
            return
        external_file(tensor, self.path)  # it lies where it may
        location = next(each.value for each in tensor.external_data if each.key == "location")
        if location == OWN_FILE:
            added.ClearField("data_location")
            del added.external_data[:]
            added.raw_data = external_bytes(tensor, self.path).tobytes()


class _Values:
    """Values of one sample by name; arrays of numbers wait in files."""

    def __init__(self, folder: Path, feed: dict[str, Any]) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._held: dict[str, Any] = feed
        self._files: dict[str, Path] = {}
        self._made = 0

    def __getitem__(self, name: str) -> Any:
        return self._held[name] if name in self._held else np.load(self._files[name])

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
            self._held[name] = value
            return
        self._files[name] = self._folder / f"{self._made}.npy"
        self._made += 1
        np.save(self._files[name], value)

    def keep(self, names: set[str]) -> None:
        """Forget all others."""
        self._held = {name: value for name, value in self._held.items() if name in names}
        for name in [name for name in self._files if name not in names]:
            self._files.pop(name).unlink()


class _Cutting:
    def __init__(self, model: ModelProto, path: Path, most: int) -> None:
        self._graph, self._path, self._most = model.graph, path, most
        tensors = {tensor.name: tensor for tensor in self._graph.initializer}
        tensors.update({each.values.name: each.values for each in self._graph.sparse_initializer})
        payloads = {
            name for node in self._graph.node if node.domain == DOMAIN for name in node.input
        }
        self._costs = {
            name: self._cost(tensor, name in payloads) for name, tensor in tensors.items()
        }
        self._used = [frozenset(_used(node)) for node in self._graph.node]
        self._makers: dict[str, int] = {}
        """The nodes that make values from constants alone."""
        self._made: set[str] = {value.name for value in self._graph.input} - set(tensors)
        """Values that are not made from constants alone."""
        for index, node in enumerate(self._graph.node):
            if self._is_constant(index, node):
                self._makers.update((name, index) for name in node.output if name)
            else:
                self._made.update(name for name in node.output if name)

    def run(self) -> list[Part]:
        groups: list[set[int]] = []
        constants: set[str] = set()
        total = 0
        for index, node in enumerate(self._graph.node):
            if any(name in self._makers for name in node.output):
                continue
            nodes, needed = self._closure({index})
            more = sum(self._costs[name] for name in needed - constants)
            if not groups or (more and total and total + more > self._most):
                groups.append(set())
                constants, total = set(), 0
                more = sum(self._costs[name] for name in needed)
            groups[-1] |= nodes
            constants |= needed
            total += more
        ends = {self._makers[each.name] for each in self._graph.output if each.name in self._makers}
        if ends or not groups:
            groups.append(self._closure(ends)[0])
        return self._parts(groups)

    def _parts(self, groups: list[set[int]]) -> list[Part]:
        outputs = [value.name for value in self._graph.output]
        parts: list[Part] = []
        wanted = set(outputs)
        for number in reversed(range(len(groups))):
            nodes = tuple(sorted(groups[number]))
            used = set[str]().union(*(self._used[index] for index in nodes))
            made = [name for index in nodes for name in self._graph.node[index].output if name]
            crossing = [name for name in made if name in wanted and name in self._made]
            constants = used.intersection(self._costs)
            if number == len(groups) - 1:  # outputs that constants alone make, or are
                crossing += [name for name in outputs if name in self._makers]
                crossing += [name for name in outputs if name in self._costs]
                constants |= self._costs.keys() & set(outputs)
            takes = tuple(sorted((used & self._made) - set(made)))
            parts.append(Part(nodes, tuple(sorted(constants)), takes, tuple(crossing)))
            wanted |= set(takes)
        return parts[::-1]

    def _closure(self, nodes: Iterable[int]) -> tuple[set[int], set[str]]:
        """Nodes with those that make their constants, and the initializers that all of them take."""
        found: set[int] = set()
        waiting = list(nodes)
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                waiting += [self._makers[n] for n in self._used[index] if n in self._makers]
        used = set[str]().union(*(self._used[index] for index in found))
        return found, used.intersection(self._costs)

    def _is_constant(self, index: int, node: NodeProto) -> bool:
        standard = domain_of(node) in ("", DOMAIN)
        return standard and node.op_type not in _RANDOM and not (self._used[index] & self._made)

    def _cost(self, tensor: TensorProto, is_payload: bool) -> int:
        """About the bytes that a tensor takes in a session."""
        external = tensor.data_location == TensorProto.EXTERNAL
        stored = external_length(tensor, self._path) if external else tensor.ByteSize()
        if tensor.data_type != TensorProto.UINT8:
            return stored
        if not is_payload:
            return _PORTABLE_FACTOR * stored
        data = external_bytes(tensor, self._path).tobytes() if external else tensor.raw_data
        try:
            return 4 * read_header(data[:_HEADER_BYTES]).elements
        except PayloadError:
            return stored


def _used(node: NodeProto) -> Iterator[str]:
    """All names that a node may take from the main graph, those of its subgraphs among them."""
    yield from (name for name in node.input if name)
    for _, graph in subgraphs(node):
        yield from (value.name for value in graph.output)
        for inner in graph.node:
            yield from _used(inner)
