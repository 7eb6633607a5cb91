"""Appending nodes to a training graph, and renaming what stands in their way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from sparsebook_compressor.admit import opset
from sparsebook_compressor.graph.scopes import scopes

_SHORTEST = 1e-12

OUTPUTS = ("loss", "metric_sum", "metric_weight")
"""Of a training graph, in their order (docs/training.md)."""


class Nodes:
    """Appends nodes under names that the graph does not have.

    Args:
        model: is changed; its opset, 12 to 21, decides where an operator takes its axes.
    """

    def __init__(self, model: ModelProto) -> None:
        self.graph: GraphProto = model.graph
        self.opset = opset(model)
        taken = names(model)
        self.prefix = "objective"
        while any(name.startswith(self.prefix) for name in taken):
            self.prefix += "_"
        self._count = 0

    def fresh(self, what: str) -> str:
        """A name that is not taken."""
        self._count += 1
        return f"{self.prefix}.{what}.{self._count}"

    def add(self, op: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """Append a node of one output; its name."""
        return self.add_many(op, inputs, (out or self.fresh(op),), **attributes)[0]

    def add_many(
        self, op: str, inputs: tuple[str, ...], outputs: tuple[str, ...], **attributes: Any
    ) -> tuple[str, ...]:
        """Append a node; the names of its outputs."""
        self.graph.node.append(
            helper.make_node(op, inputs, outputs, self.fresh("node"), **attributes)
        )
        return outputs

    def constant(self, value: npt.ArrayLike, dtype: type = np.float32) -> str:
        """Append an initializer; its name."""
        name = self.fresh("constant")
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def input(self, name: str, dtype: np.dtype[np.generic], rank: int) -> str:
        """Append a graph input of free dimensions; its name."""
        element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        dims = [f"{self.prefix}.{name}.{axis}" for axis in range(rank)]
        self.graph.input.append(helper.make_tensor_value_info(name, element, dims))
        return name

    def floats(self, value: str) -> str:
        """Cast to float32."""
        return self.add("Cast", value, to=TensorProto.FLOAT)

    def row(self, value: str) -> str:
        """All elements on one axis: [n]."""
        return self.add("Reshape", value, self.constant([-1], np.int64))

    def squeeze_first(self, value: str) -> str:
        """Take off the first axis, of one entry."""
        if self.opset >= 13:
            return self.add("Squeeze", value, self.constant([0], np.int64))
        return self.add("Squeeze", value, axes=[0])

    def mean_over(self, value: str, axes: list[int]) -> str:
        """Mean over axes, which are taken off."""
        if self.opset >= 18:
            return self.add("ReduceMean", value, self.constant(axes, np.int64), keepdims=0)
        return self.add("ReduceMean", value, axes=axes, keepdims=0)

    def sum_over(self, value: str, axis: int) -> str:
        """Sum over an axis, which stays with one entry."""
        if self.opset >= 13:
            return self.add("ReduceSum", value, self.constant([axis], np.int64), keepdims=1)
        return self.add("ReduceSum", value, axes=[axis], keepdims=1)

    def total(self, value: str, out: str | None = None) -> str:
        """Sum of all elements, a scalar."""
        return self.add("ReduceSum", value, out=out, keepdims=0)

    def mean(self, value: str) -> str:
        """Mean of all elements, a scalar."""
        return self.add("ReduceMean", value, keepdims=0)

    def square(self, value: str) -> str:
        """Elementwise square."""
        return self.add("Mul", value, value)

    def unit_rows(self, value: str) -> str:
        """Rows of [n, values] at length 1; a row of zeros stays one."""
        squares = self.sum_over(self.square(value), 1)
        # Under the root, so that a row of zeros has a gradient.
        length = self.add("Sqrt", self.add("Max", squares, self.constant(_SHORTEST**2)))
        return self.add("Div", value, length)

    def count(self, value: str) -> str:
        """The number of elements, a float scalar."""
        return self.floats(self.add("Size", value))

    def sum_of(self, values: list[str]) -> str:
        """Elementwise sum of several values."""
        total = values[0]
        for value in values[1:]:
            total = self.add("Add", total, value)
        return total


def names(model: ModelProto) -> set[str]:
    """Names of all values and nodes, those of subgraphs among them."""
    found: set[str] = set()
    for scope in scopes(model):
        found.update(scope.defined)
        for node in scope.body.node:
            found.update((node.name, *node.input, *node.output))
    return found


def free_prefix(model: ModelProto, wish: str) -> str:
    """What new names may begin with, before a dot: nothing in the model has such a name."""
    taken, prefix = names(model), wish
    while any(each.startswith(f"{prefix}.") for each in taken):
        prefix += "_"
    return prefix


def redirect(model: ModelProto, old: str, new: str) -> bool:
    """Have every consumer of a value take another one, those in nested graphs too; whether there are any."""
    found = False
    for scope in scopes(model):
        for node in scope.body.node:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index], found = new, True
    return found


def rename(model: ModelProto, new_name: Callable[[str], str], *, produced: bool) -> None:
    """Rename values in all nodes.

    Args:
        model: is changed.
        new_name: the new name of each.
        produced: also where a node produces the value; else only those who read it.
    """
    for scope in scopes(model):
        for node in scope.body.node:
            node.input[:] = [new_name(name) for name in node.input]
            if produced:
                node.output[:] = [new_name(name) for name in node.output]
        if scope.graph is not None:
            for value in (*scope.graph.output, *(scope.graph.value_info if produced else ())):
                value.name = new_name(value.name)
