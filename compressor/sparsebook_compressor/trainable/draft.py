"""The pen with which a rewrite writes: nodes and constants in the place of one node."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.trainable.facts import Facts, Shape
from sparsebook_compressor.trainable.names import Names, label

# A dimension: a number, or the name of an int64[1] value that holds it.
Dim: TypeAlias = int | str

_TO_THE_END = np.iinfo(np.int64).max


class CannotRewriteError(Exception):
    """The node keeps its form; the message says what stands in the way."""


class Draft:
    """Nodes and constants that replace `node`.

    Attributes:
        node: the node that is rewritten.
        facts: what is known of its graph.
        nodes: what was written so far, in order.
        constants: initializers that these nodes need.
    """

    def __init__(self, node: NodeProto, facts: Facts, names: Names) -> None:
        """Start with nothing written."""
        self.node, self.facts = node, facts
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._names = names
        self._shapes: dict[str, str] = {}

    # ------------------------------------------------------------------------------- what is read

    @property
    def x(self) -> str:
        """The first input."""
        return self.node.input[0]

    @property
    def y(self) -> str:
        """The first output."""
        return self.node.output[0]

    def input(self, index: int) -> str:
        """An input's name, "" where it is left out."""
        return self.node.input[index] if index < len(self.node.input) else ""

    def output(self, index: int) -> str:
        """An output's name, "" where it is left out or nobody consumes it."""
        name = self.node.output[index] if index < len(self.node.output) else ""
        return name if self.facts.is_consumed(name) else ""

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute's value; text as str."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                value = helper.get_attribute_value(attribute)
                if isinstance(value, bytes):
                    return value.decode()
                return list(value) if isinstance(value, Sequence) else value
        return default

    def attributes(self, *left_out: str) -> dict[str, Any]:
        """All attributes but these."""
        found = {attribute.name for attribute in self.node.attribute} - set(left_out)
        return {name: self.attribute(name, None) for name in sorted(found)}

    def shape(self, name: str) -> Shape:
        """The shape of a value; CannotRewriteError where its rank is unknown."""
        shape = self.facts.shape(name)
        if shape is None:
            raise CannotRewriteError(f"the rank of {name!r} is unknown")
        return shape

    def rank(self, name: str) -> int:
        """The rank of a value; CannotRewriteError where it is unknown."""
        return len(self.shape(name))

    def constant_input(self, index: int) -> npt.NDArray[Any] | None:
        """The value of an input, None where it is left out; CannotRewriteError where it is no constant."""
        name = self.input(index)
        if not name:
            return None
        value = self.facts.value(name)
        if value is None:
            raise CannotRewriteError(f"its input {name!r} is no constant")
        return value

    def axes(self, default: Sequence[int] | None = None) -> list[int]:
        """The axes of a reduction, attribute or second input, none of them negative; all (or `default`) where none are given."""
        rank = self.rank(self.x)
        axes = self.attribute("axes", None)
        if axes is None:
            value = self.constant_input(1)
            axes = [] if value is None else [int(axis) for axis in value.ravel()]
        if not axes:
            axes = range(rank) if default is None else default
        return [axis % rank for axis in axes]

    # ---------------------------------------------------------------------------- what is written

    def op(self, op: str, *inputs: str, out: str = "", domain: str = "", **attributes: Any) -> str:
        """A node with one output, which is named `out` or anew."""
        return self.ops(op, inputs, [out or self.fresh(op)], domain, **attributes)[0]

    def ops(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """A node with any outputs."""
        wanted = {name: value for name, value in attributes.items() if value is not None}
        node = helper.make_node(op, list(inputs), list(outputs), domain=domain, **wanted)
        node.name = f"{self.node.name}/{op}.{len(self.nodes)}"
        self.nodes.append(node)
        return list(outputs)

    def fresh(self, wish: str) -> str:
        """A new value name."""
        return self._names.fresh(f"{self.y}/{wish}")

    def constant(self, value: npt.NDArray[Any], wish: str = "constant") -> str:
        """An initializer."""
        name = self.fresh(wish)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def scalar(self, value: float) -> str:
        """A float32 of rank 0."""
        return self.constant(np.array(value, np.float32).reshape(()))

    def ints(self, *values: int) -> str:
        """An int64 vector."""
        return self.constant(np.array(values, np.int64))

    def add(self, a: str, b: str | float, out: str = "") -> str:
        """A sum."""
        return self.op("Add", a, self._operand(b), out=out)

    def mul(self, a: str, b: str | float, out: str = "") -> str:
        """A product."""
        return self.op("Mul", a, self._operand(b), out=out)

    def _operand(self, value: str | float) -> str:
        return value if isinstance(value, str) else self.scalar(value)

    def reduce(
        self, op: str, x: str, axes: Sequence[int], *, keepdims: bool = True, out: str = ""
    ) -> str:
        """ReduceSum, ReduceMean and their like, as the opset wants its axes."""
        if op == "ReduceSum" or self.facts.opset >= 18:
            return self.op(op, x, self.ints(*axes), out=out, keepdims=int(keepdims))
        # A scalar has no axes to list.
        return self.op(op, x, out=out, axes=list(axes) or None, keepdims=int(keepdims))

    def unsqueeze(self, x: str, axes: Sequence[int], out: str = "") -> str:
        """Axes of length 1 put in."""
        return self.op("Unsqueeze", x, self.ints(*axes), out=out)

    def squeeze(self, x: str, axes: Sequence[int], out: str = "") -> str:
        """Axes of length 1 taken out."""
        return self.op("Squeeze", x, self.ints(*axes), out=out)

    def transpose(self, x: str, perm: Sequence[int], out: str = "") -> str:
        """Axes in another order; nothing where they are in that order."""
        if list(perm) == sorted(perm) and not out:
            return x
        return self.op("Transpose", x, out=out, perm=list(perm))

    def slice(
        self, x: str, axis: int, start: Dim, end: Dim | None, step: int = 1, out: str = ""
    ) -> str:
        """Part of an axis; `end` None means to its end."""
        if end is None:
            end = _TO_THE_END if step > 0 else -_TO_THE_END
        bounds = [self.ints(each) if isinstance(each, int) else each for each in (start, end)]
        return self.op("Slice", x, *bounds, self.ints(axis), self.ints(step), out=out)

    def dim(self, x: str, axis: int) -> Dim:
        """A dimension of a value."""
        known = self.shape(x)[axis]
        if known is not None:
            return known
        if x not in self._shapes:
            self._shapes[x] = self.op("Shape", x)
        return self.op("Gather", self._shapes[x], self.ints(axis), axis=0)

    def times(self, *dims: Dim) -> Dim:
        """A product of dimensions."""
        return self._fold("Mul", dims)

    def quotient(self, a: Dim, b: Dim) -> Dim:
        """A quotient of dimensions, rounded down."""
        if isinstance(a, int) and isinstance(b, int):
            return a // b
        return self._fold("Div", (a, b))

    def plus(self, *dims: Dim) -> Dim:
        """A sum of dimensions."""
        return self._fold("Add", dims)

    def _fold(self, op: str, dims: Sequence[Dim]) -> Dim:
        total = dims[0]
        for dim in dims[1:]:
            if isinstance(total, int) and isinstance(dim, int):
                total = total * dim if op == "Mul" else total + dim
            else:
                a, b = (self.ints(d) if isinstance(d, int) else d for d in (total, dim))
                total = self.op(op, a, b)
        return total

    def vector(self, dims: Sequence[Dim]) -> str:
        """Dimensions as an int64 vector."""
        if all(isinstance(dim, int) for dim in dims):
            return self.ints(*(dim for dim in dims if isinstance(dim, int)))
        parts = [self.ints(dim) if isinstance(dim, int) else dim for dim in dims]
        return self.op("Concat", *parts, axis=0)

    def reshape(self, x: str, dims: Sequence[Dim], out: str = "") -> str:
        """A Reshape to these dimensions, of which one that is unknown becomes -1."""
        free = [index for index, dim in enumerate(dims) if isinstance(dim, str)]
        if len(free) == 1 and 0 not in dims and -1 not in dims:
            dims = [-1 if index in free else dim for index, dim in enumerate(dims)]
        return self.op("Reshape", x, self.vector(dims), out=out)

    def keep(self, name: str) -> str:
        """A value of this name, for an output that is not rewritten: nobody may consume it."""
        if self.facts.is_consumed(name):
            raise CannotRewriteError(f"its output {name!r} is consumed")
        return name

    def says(self, what: str) -> str:
        """A sentence for the report."""
        prefix = f"{domain_of(self.node)}." if domain_of(self.node) else ""
        return f"{prefix}{label(self.node)}: {what}"
