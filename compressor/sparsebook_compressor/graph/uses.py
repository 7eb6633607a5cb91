"""Who consumes a weight: along the nodes that hand it on, and into the local functions that it is passed to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from onnx import FunctionProto, NodeProto

from sparsebook_compressor.graph.attributes import ints_attribute
from sparsebook_compressor.graph.roles import domain_of, passes_on
from sparsebook_compressor.graph.scopes import MOST_DEPTH, Scope

# Nodes that may stand between a weight and its consumer; exporters write one to three.
_LONGEST_CHAIN = 8
# Values that stand for one weight, and its consumers. Calls of calls multiply: without a bound a small file would ask
# for any number.
_MOST_PLACES = 1 << 14


@dataclass(frozen=True, eq=False)
class Step:
    """A node between a weight and its consumer, and the scope in which it lives.

    Attributes:
        call: whether it calls a local function, inside which the way goes on; else it hands the weight on.
    """

    node: NodeProto
    scope: Scope
    call: bool = False


@dataclass(frozen=True, eq=False)
class Use:
    """A node that consumes a weight.

    Attributes:
        node: the consumer.
        index: which of its inputs the weight reaches.
        scope: where the node lives: the weight's own scope, one nested in it, or that of a local function.
        via: nodes between weight and consumer (Transpose, Cast, …, and calls of local functions), first one first.
    """

    node: NodeProto
    index: int
    scope: Scope
    via: tuple[Step, ...] = ()

    @property
    def crosses_call(self) -> bool:
        """Whether the weight is passed to a local function on the way, which others may call with other weights."""
        return any(step.call for step in self.via)

    @property
    def transposed(self) -> bool:
        """Whether the weight, a matrix, reaches the consumer through nothing but one Transpose."""
        return len(self.via) == 1 and _is_transpose(self.via[0])

    def axis_in_weight(self, axis: int, rank: int) -> int:
        """Where an axis that the consumer sees lies in the weight, which has `rank` axes.

        Every Transpose on the way is undone. What else stands there leaves the axes in their order; where it changes
        their number, the axis is counted from the end if there are more of them than the weight has, else from the start.
        """
        for step in reversed(self.via):
            if not _is_transpose(step):
                continue
            perm = ints_attribute(step.node, "perm") or list(reversed(range(rank)))
            if sorted(perm) != list(range(len(perm))):
                continue
            more = max(0, len(perm) - rank)
            seen = min(axis + more, len(perm) - 1)
            axis = max(0, perm[seen] - more)
        return min(axis, rank - 1)


def _is_transpose(step: Step) -> bool:
    return not step.call and step.node.op_type == "Transpose"


@dataclass(frozen=True, eq=False)
class _Place:
    """A value that stands for the weight, the way to it, and the calls around it, innermost last."""

    scope: Scope
    value: str
    via: tuple[Step, ...] = ()
    calls: tuple[Step, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        return (id(self.scope), self.value, *(id(call.node) for call in self.calls))


_Function: TypeAlias = tuple[str, str, str]


class UseTable:
    """Consumers of every value of a model."""

    def __init__(self, found: Iterable[Scope]) -> None:
        """Take all scopes of the model."""
        self._direct: dict[tuple[int, str], list[tuple[NodeProto, int, Scope]]] = {}
        self._functions: dict[_Function, Scope] = {}
        for scope in found:
            if isinstance(scope.body, FunctionProto):
                domain = "" if scope.body.domain == "ai.onnx" else scope.body.domain
                self._functions[domain, scope.body.name, scope.body.overload] = scope
            for node in scope.body.node:
                for index, name in enumerate(node.input):
                    home = scope.resolve(name) if name else None
                    if home is not None:
                        self._direct.setdefault((id(home), name), []).append((node, index, scope))

    def uses(self, home: Scope, name: str) -> tuple[Use, ...] | None:
        """Consumers of the value of this name that `home` defines; None where there are too many to list."""
        start = _Place(home, name)
        pending, seen, found = [start], {start.key}, []
        while pending:
            place = pending.pop()
            for node, index, scope in self._direct.get((id(place.scope), place.value), []):
                onward = self._onward(place, node, index, scope)
                if onward is None:
                    found.append(Use(node, index, scope, place.via))
                    onward = []
                for following in onward:
                    if following.key not in seen:
                        seen.add(following.key)
                        pending.append(following)
                if len(seen) + len(found) > _MOST_PLACES:
                    return None
        return tuple(found)

    def _onward(
        self, place: _Place, node: NodeProto, index: int, scope: Scope
    ) -> list[_Place] | None:
        """The values behind a node that does not consume the weight itself; None for its consumer."""
        callee = self._callee(node)
        if callee is not None:
            return self._enter(callee, place, index, Step(node, scope, call=True))
        handed_on = sum(not step.call for step in place.via)
        if handed_on >= _LONGEST_CHAIN or not passes_on(node, index):
            return None
        return _behind(Step(node, scope), place)

    def _enter(self, callee: Scope, place: _Place, index: int, call: Step) -> list[_Place] | None:
        """The function's own name for what is passed to it."""
        assert isinstance(callee.body, FunctionProto)
        inside = any(self._callee(each.node) is callee for each in place.calls)
        if inside or len(place.calls) >= MOST_DEPTH or index >= len(callee.body.input):
            return None
        via, calls = (*place.via, call), (*place.calls, call)
        return [_Place(callee, callee.body.input[index], via, calls)]

    def _callee(self, node: NodeProto) -> Scope | None:
        return self._functions.get((domain_of(node), node.op_type, node.overload))


def _behind(step: Step, place: _Place) -> list[_Place] | None:
    """The outputs of a node that hands the weight on, and what they are outside the functions whose outputs they are.

    None where one is an output of the model, of a subgraph or of a function that was not entered by a call: it leaves
    the view there, and the node that hands it on is the consumer that is known.
    """
    via = (*place.via, step)
    waiting = [_Place(step.scope, name, via, place.calls) for name in step.node.output if name]
    places = []
    while waiting:
        here = waiting.pop()
        places.append(here)
        if here.value not in here.scope.outputs:
            continue
        if not here.calls or not isinstance(here.scope.body, FunctionProto):
            return None
        call, calls = here.calls[-1], here.calls[:-1]
        waiting += [
            _Place(call.scope, actual, via, calls)
            for formal, actual in zip(here.scope.body.output, call.node.output, strict=False)
            if formal == here.value and actual
        ]
    return places
