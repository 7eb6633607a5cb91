"""What stands behind an operator goes into it: scales and shifts of channels, biases, a residual, an activation (docs/operator.md).

The last node of such a chain becomes the operator, so that its output keeps its name and everything it takes stands before
it; the others go. A value is fused away only where one node of its own scope consumes it and it is nobody's output.
"""

import math
from typing import Any

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
)

from sparsebook_compressor.admit import opset
from sparsebook_compressor.errors import PayloadError
from sparsebook_compressor.graph.attributes import float_attribute, int_attribute
from sparsebook_compressor.graph.constants import Constant, ConstantTable
from sparsebook_compressor.graph.flow import Flow, Value, values
from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.graph.scopes import Scope
from sparsebook_compressor.graph.spool import first_bytes
from sparsebook_compressor.payload_header import read_header
from sparsebook_compressor.rewrite.affine import Affine, Values, affine_of, vector_of
from sparsebook_compressor.rewrite.ranks import RankTable
from sparsebook_compressor.rewrite.surgery import DOMAIN, Surgeon, fill

# Before it a Clip has its bounds as attributes.
OPSET_CLIP_INPUTS = 11
# Before it Add and Mul have attributes that say how they broadcast, and BatchNormalization one that says whether it trains.
_OPSET_BROADCASTS = 7
# Before it activations have an attribute that is gone since, and ONNX Runtime runs none of them.
_OPSET_ACTIVATIONS = 6
_FUSING = ("Gemm", "MatMul", "Conv")
_WITH_BIAS = ("MatMul", "Conv")
# A payload begins with its header: 24 bytes and at most eight dimensions.
_HEADER_BYTES = 256
BIAS = 2
# Of Conv alone.
ADDEND, SCALE = 3, 4


def fuse(model: ModelProto) -> None:
    """Fuse scales, biases and activations into the operators of a model, in place; done again, it changes nothing."""
    _Fusing(model).run()


class _Fusing:
    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._surgeon = Surgeon(model)
        self._flow = Flow.of(model)
        self._constants = ConstantTable(self._flow.found)
        self._ranks = RankTable(self._flow.found, self._constants)
        self._merged: set[int] = set()
        self._vectors: dict[Value, str] = {}
        self._taken: dict[Value, Constant] = {}
        self._made: dict[str, Values] = {}

    def run(self) -> None:
        for scope in self._flow.found:
            if scope.function is None:  # there products keep their standard nodes
                for node in scope.body.node:
                    if node.domain == DOMAIN and node.op_type in _FUSING:
                        self._fuse(scope, node)
        self._drop_unused()
        self._surgeon.finish()

    def _fuse(self, scope: Scope, node: NodeProto) -> None:
        """Take in what stands behind an operator, one node after the other."""
        while not any(attribute.name == "activation" for attribute in node.attribute):
            behind = self._flow.only_consumer(scope, node.output[0])
            if behind is None or domain_of(behind) != "" or len(behind.output) != 1:
                return
            whole = NodeProto()
            whole.CopyFrom(node)
            if not self._take_in(scope, behind, whole):
                return
            whole.output[0] = behind.output[0]
            behind.CopyFrom(whole)
            _forget(scope.graph, node.output[0])
            self._surgeon.drop(scope, node)
            self._merged.add(id(node))
            node = behind

    def _take_in(self, scope: Scope, behind: NodeProto, whole: NodeProto) -> bool:
        """Give an operator the task of the node behind it; whether that can be done."""
        version = opset(self._model)
        match behind.op_type:
            case "Relu" if version >= _OPSET_ACTIVATIONS:
                _set(whole, activation="relu")
                return True
            case "Clip" if version >= _OPSET_ACTIVATIONS and behind.input[0] == whole.output[0]:
                bounds = self._bounds(scope, behind, version)
                if bounds is None:
                    return False
                _set(whole, activation="clip", **bounds)
                return True
            case "Add" if version >= _OPSET_BROADCASTS and whole.op_type in _WITH_BIAS:
                bias = self._bias(scope, behind, whole)
                if bias is not None:
                    _give(whole, BIAS, bias)
                    return True
                return self._take_affine(scope, behind, whole) or self._take_addend(
                    scope, behind, whole
                )
            case "BatchNormalization" | "Mul" if version >= _OPSET_BROADCASTS:
                return self._take_affine(scope, behind, whole)
        return False

    def _take_affine(self, scope: Scope, behind: NodeProto, whole: NodeProto) -> bool:
        """Give a Conv the scale and shift of its channels that a node spells out, composed with those that it has."""
        if whole.op_type != "Conv" or any(whole.input[ADDEND : ADDEND + 1]):
            return False
        shape = self._weight_shape(scope, whole)
        if shape is None or scope.graph is None:
            return False
        scale = self._affine_input(scope, whole, SCALE, np.ones(shape[0]))
        shift = self._affine_input(scope, whole, BIAS, np.zeros(shape[0]))
        found = affine_of(
            behind, whole.output[0], shape, lambda name: self._constants.find(scope, name)
        )
        if found is None or scale is None or shift is None:
            return False
        together = found.behind(
            Affine(scale[0], shift[0], tuple(each for _, own in (scale, shift) for each in own))
        )
        if not together.is_representable:
            return False
        output = behind.output[0]
        # A scale alone needs no vector of zeros beside it.
        if any(whole.input[BIAS : BIAS + 1]) or together.shift.any():
            self._put(scope.graph, whole, BIAS, f"{output}.shift", together.shift)
        # Ones have to be written where they take the place of an earlier scale.
        if any(whole.input[SCALE:]) or not np.array_equal(together.scale, np.ones(shape[0])):
            self._put(scope.graph, whole, SCALE, f"{output}.scale", together.scale)
        self._taken.update((each.value, each) for each in together.taken)
        return True

    def _affine_input(
        self, scope: Scope, whole: NodeProto, index: int, missing: Values
    ) -> tuple[Values, tuple[Constant, ...]] | None:
        """What a Conv has for its channels so far, and the constant that says so; None where it is not known."""
        name = next(iter(whole.input[index : index + 1]), "")
        if not name or name in self._made:
            return self._made.get(name, missing), ()
        constant = self._constants.find(scope, name)
        known = None if constant is None else vector_of(constant.tensor, len(missing))
        return None if constant is None or known is None else (known, (constant,))

    def _put(
        self, graph: GraphProto, whole: NodeProto, index: int, wish: str, values: Values
    ) -> None:
        """Give a Conv a vector of its own; one that an earlier fold has made goes."""
        earlier = next(iter(whole.input[index : index + 1]), "")
        if earlier in self._made:
            _remove_initializer(graph, earlier)
            del self._made[earlier]
        tensor = TensorProto()
        fill(tensor, self._surgeon.fresh(wish), values.astype(np.float32))
        self._surgeon.add_initializer(graph, tensor)
        self._made[tensor.name] = values
        _give(whole, index, tensor.name)

    def _take_addend(self, scope: Scope, add: NodeProto, whole: NodeProto) -> bool:
        """Give a Conv what an Add adds to its whole output, such as a residual; the operator broadcasts as Add does."""
        if whole.op_type != "Conv" or any(whole.input[ADDEND : ADDEND + 1]):
            return False
        others = [name for name in add.input if name != whole.output[0]]
        if len(others) != 1 or self._constants.find(scope, others[0]) is not None:
            return False  # added to itself, or a constant that is no bias
        _give(whole, ADDEND, others[0])
        return True

    def _bounds(self, scope: Scope, clip: NodeProto, version: int) -> dict[str, float] | None:
        """The bounds that a Clip has, as the operator's attributes; None where they are not constant."""
        if version < OPSET_CLIP_INPUTS:
            given = {"low": float_attribute(clip, "min"), "high": float_attribute(clip, "max")}
            found = {name: bound for name, bound in given.items() if bound is not None}
            return None if any(math.isnan(bound) for bound in found.values()) else found
        bounds: dict[str, float] = {}
        constants = []
        for name, source in zip(("low", "high"), clip.input[1:], strict=False):
            if not source:
                continue
            constant = self._constants.find(scope, source)
            if constant is None or not _is_scalar(constant.tensor):
                return None
            bounds[name] = float(numpy_helper.to_array(constant.tensor).item())
            constants.append(constant)
        if any(math.isnan(bound) for bound in bounds.values()):
            return None
        self._taken.update((each.value, each) for each in constants)
        return bounds

    def _bias(self, scope: Scope, add: NodeProto, operator: NodeProto) -> str | None:
        """The vector that an Add adds to every row or channel of an operator without a bias; None where it is another Add."""
        if any(operator.input[BIAS : BIAS + 1]):
            return None
        name = add.input[int(add.input[0] == operator.output[0])]
        constant = self._constants.find(scope, name)
        if constant is None or constant.tensor.data_type != TensorProto.FLOAT:
            return None
        shape = self._weight_shape(scope, operator)
        if shape is None:
            return None
        dims = tuple(constant.tensor.dims)
        if operator.op_type == "MatMul":
            # A bias with more axes than the product would give the sum more axes.
            size = shape[0 if int_attribute(operator, "transB") else 1]
            fits = dims == (size,) or (
                dims == (1,) * (len(dims) - 1) + (size,)
                and self._ranks.is_at_least(scope, operator.input[0], len(dims))
            )
        else:
            size, spatial = shape[0], (1,) * (len(shape) - 2)
            fits = dims in ((size, *spatial), (1, size, *spatial))
        return self._vector(constant, size) if fits else None

    def _weight_shape(self, scope: Scope, operator: NodeProto) -> tuple[int, ...] | None:
        """By the payload's header; None where the payload was there before, and lies elsewhere or is damaged."""
        payload = self._constants.find(scope, operator.input[1])
        if payload is None:
            return None
        try:
            return read_header(first_bytes(payload.tensor, _HEADER_BYTES)).shape
        except PayloadError:
            return None

    def _vector(self, constant: Constant, size: int) -> str:
        """The name of a constant as a vector; it is reshaped where it has no other consumer, and copied where it has."""
        key = constant.value
        self._taken[key] = constant
        if list(constant.tensor.dims) == [size]:
            return constant.name
        graph = constant.home.graph
        assert (
            graph is not None
        )  # only functions have none, and no name of theirs is seen from a graph
        if key not in self._vectors:
            if len(self._flow.consumers[key]) == 1 and key not in self._flow.outputs:
                constant.tensor.dims[:] = [size]
                _forget(graph, constant.name)
                return constant.name
            copy = TensorProto()
            copy.CopyFrom(constant.tensor)
            copy.dims[:] = [size]
            copy.name = self._surgeon.fresh(f"{constant.name}.vector")
            self._surgeon.add_initializer(graph, copy)
            self._vectors[key] = copy.name
        return self._vectors[key]

    def _drop_unused(self) -> None:
        """Constants that were taken in, and that nobody consumes any more."""
        used = set(self._flow.outputs)
        for scope in self._flow.found:
            for node in scope.body.node:
                if id(node) not in self._merged:
                    used.update(values(scope, node.input))
        for key, constant in self._taken.items():
            graph = constant.home.graph
            if key in used or graph is None:
                continue
            _forget(graph, constant.name)
            if constant.node is not None:
                self._surgeon.drop(constant.home, constant.node)
            else:
                _remove_initializer(graph, constant.name)


def _remove_initializer(graph: GraphProto, name: str) -> None:
    del graph.initializer[[tensor.name for tensor in graph.initializer].index(name)]


def _give(node: NodeProto, index: int, name: str) -> None:
    """Set an input; those between that are not there are left out."""
    node.input.extend([""] * (index + 1 - len(node.input)))
    node.input[index] = name


def _set(node: NodeProto, **attributes: Any) -> None:
    node.attribute.extend(helper.make_attribute(*each) for each in attributes.items())


def _is_scalar(tensor: TensorProto) -> bool:
    held = tensor.data_location != TensorProto.EXTERNAL
    return held and tensor.data_type == TensorProto.FLOAT and list(tensor.dims) in ([], [1])


def _forget(graph: GraphProto | None, name: str) -> None:
    """Remove what a graph says about a value that is gone, or is another now."""
    if graph is None:
        return
    for index in reversed(range(len(graph.value_info))):
        if graph.value_info[index].name == name:
            del graph.value_info[index]
    for index in reversed(range(len(graph.quantization_annotation))):
        if graph.quantization_annotation[index].tensor_name == name:
            del graph.quantization_annotation[index]
