"""The values that losses and metrics read, by what they mean: outputs, scores, labels, the original's outputs, arrays.

Inputs are appended to the training graph as they are asked for; one that nobody reads does not become one.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from sparsebook_compressor.training.aim.ending import Ending, ending
from sparsebook_compressor.training.aim.objective import Objective
from sparsebook_compressor.training.data.dataset import LABELS, Dataset, teacher_name
from sparsebook_compressor.training.nodes import Nodes

_SMALLEST = float(np.finfo(np.float32).tiny)


class Wires:
    """Names of values in a training graph.

    Args:
        model: the graph, which is changed.
        objective: what is to be computed.
        dataset: the arrays that the worker will feed.
        renamed: outputs of the model that have another name in the graph.
    """

    def __init__(
        self,
        model: ModelProto,
        objective: Objective,
        dataset: Dataset,
        renamed: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.objective = objective
        self.dataset = dataset
        self.nodes = Nodes(model)
        self._model = model
        self._types = {value.name: value.type.tensor_type.elem_type for value in model.graph.output}
        self._made: dict[str, str] = {}
        self._renamed = renamed
        self._end = self._ending()

    def output(self, index: int) -> str:
        """An output of the model as float32, or as int64 where it is no float."""
        name = self.objective.outputs[index]
        name = self._renamed.get(name, name)
        if index in self.objective.floats:
            if self._types.get(name) in (TensorProto.FLOAT, None):
                return name
            return self._once(f"output {index}", lambda: self.nodes.floats(name))
        return self._once(
            f"output {index}", lambda: self.nodes.add("Cast", name, to=TensorProto.INT64)
        )

    def teacher(self, index: int) -> str:
        """The same output of the original: float32 or int64."""
        return self._once(f"teacher {index}", lambda: self._teacher(index))

    def labels(self) -> str:
        """The labels, on one axis."""
        return self._once(LABELS, lambda: self.nodes.row(self.array(LABELS)))

    def label_values(self) -> str:
        """The labels as float32, on one axis."""
        # A Cast that changes nothing makes ONNX Runtime 1.19's optimizer of training graphs fail.
        if self.type_of(LABELS) == TensorProto.FLOAT:
            return self.labels()
        return self._once("label values", lambda: self.nodes.floats(self.labels()))

    def array(self, name: str) -> str:
        """An array of the data: the graph's own input, or one that is appended."""
        if name in {spec.name for spec in self.dataset.specs}:
            return name
        return self._once(f"array {name}", lambda: self._input(name))

    def type_of(self, name: str) -> int:
        """ONNX element type of an array of the data, as `array` gives it."""
        dtype, _ = self.dataset.array_facts(name)
        return helper.np_dtype_to_tensor_dtype(dtype)

    def row(self, index: int) -> str:
        """An output on one axis."""
        return self._once(f"row {index}", lambda: self.nodes.row(self.output(index)))

    def scores(self) -> str:
        """The first output's scores, classes on the last axis: float32 [positions, classes]."""
        return self._once("scores", lambda: self.by_class(self._scores()))

    def score_values(self) -> str:
        """The first output's scores behind a Sigmoid, on one axis."""
        return self._once("score values", lambda: self.nodes.row(self._scores()))

    def by_class(self, value: str) -> str:
        """A value of the shape of the scores as [positions, classes]."""
        axis = self.objective.axis
        assert axis is not None
        rank = self.objective.rank
        if axis != rank - 1:
            order = [*range(axis), *range(axis + 1, rank), axis]
            value = self.nodes.add("Transpose", value, perm=order)
        return self.nodes.add("Flatten", value, axis=rank - 1)

    def teacher_scores(self) -> str:
        """Scores of the original that give its probabilities: float32 [positions, classes]."""
        return self._once("teacher scores", self._teacher_scores)

    def _teacher_scores(self) -> str:
        teacher = self.teacher(0)
        if self._end.kind == "softmax":
            # log p are scores of the softmax that gave p: they differ from its own by one number a position.
            kept = self.nodes.add("Max", teacher, self.nodes.constant(_SMALLEST))
            teacher = self.nodes.add("Log", kept)
        return self.by_class(teacher)

    def _scores(self) -> str:
        if self._end.kind == "none":
            return self.output(0)
        value = self._end.scores
        if self._end.kind != "argmax":
            for node in self._end.moves:
                value = self._repeat(node, value)
        return value

    def _ending(self) -> Ending:
        """How the first output comes about; a Softmax along another axis than the classes' is none."""
        name = self._renamed.get(self.objective.outputs[0], self.objective.outputs[0])
        found = ending(self._model, name)
        axis = found.axis if found.kind in ("softmax", "log-softmax") else None
        other = axis is not None and axis % self.objective.rank != self.objective.axis
        return Ending("none", name) if other else found

    def _repeat(self, node: NodeProto, value: str) -> str:
        copied = NodeProto()
        copied.CopyFrom(node)
        copied.name = self.nodes.fresh("node")
        copied.input[0] = value
        copied.output[:] = [self.nodes.fresh(node.op_type)]
        self.nodes.graph.node.append(copied)
        return copied.output[0]

    def _teacher(self, index: int) -> str:
        name = teacher_name(index)
        fed = self._input(name)
        wanted = TensorProto.FLOAT if index in self.objective.floats else TensorProto.INT64
        if self.type_of(name) != wanted:
            fed = self.nodes.add("Cast", fed, to=wanted)
        # Where samples are fed one by one, each one's outputs are an array of their own on the first axis.
        return fed if self.objective.batched else self.nodes.squeeze_first(fed)

    def _input(self, name: str) -> str:
        dtype, shape = self.dataset.array_facts(name)
        return self.nodes.input(name, dtype, len(shape) + 1)

    def _once(self, key: str, make: Callable[[], str]) -> str:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]
