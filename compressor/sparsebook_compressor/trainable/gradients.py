"""Which values get a gradient, and what stands in the way of the others.

ONNX Runtime's builder goes forward from the trained initializers and backward from the loss, and throws at a node between the
two that has no gradient. Whatever lies before such a node is therefore frozen, even where another way leads to an output:
its gradient would lack what comes through that node.
"""

from dataclasses import dataclass, field

from onnx import ModelProto, NodeProto

from sparsebook_compressor.graph.scopes import subgraphs
from sparsebook_compressor.trainable.draft import Draft
from sparsebook_compressor.trainable.facts import Facts, captured
from sparsebook_compressor.trainable.names import Names, label
from sparsebook_compressor.trainable.rewriting import Rewriting
from sparsebook_compressor.trainable.table import Row, row_of


@dataclass
class Gradients:
    """The outcome of the walk.

    Attributes:
        reached: values from which a way with gradients leads to an output.
        blocked: value -> why a way from it to an output has none.
    """

    reached: set[str] = field(default_factory=set)
    blocked: dict[str, str] = field(default_factory=dict)

    def reason_against(self, name: str) -> str | None:
        """Why a value gets no gradient; None where it gets one."""
        if name in self.blocked:
            return self.blocked[name]
        return None if name in self.reached else "no float output of the graph depends on it"


def follow(model: ModelProto, facts: Facts, outcome: Rewriting, outputs: set[str]) -> Gradients:
    """Walk back from the float outputs of this name.

    Args:
        model: rewritten.
        facts: of this model.
        outcome: of the rewriting, for the reasons.
        outputs: names of outputs that a loss may look at.
    """
    found = Gradients(reached={name for name in outputs if facts.may_be_float(name)})
    names = Names(model)
    for node in reversed(model.graph.node):
        live = [
            index
            for index, name in enumerate(node.output)
            if (name in found.reached or name in found.blocked) and facts.may_be_float(name)
        ]
        if live:
            _through(Draft(node, facts, names), live, found, outcome)
    return found


def _through(draft: Draft, live: list[int], found: Gradients, outcome: Rewriting) -> None:
    node, facts = draft.node, draft.facts
    row = row_of(node)
    obstacle = _obstacle(draft, row, live, outcome)
    behind = next((found.blocked[o] for o in node.output if o in found.blocked), None)
    reached = any(node.output[index] in found.reached for index in live)
    for index, name in enumerate(node.input):
        if not facts.may_be_float(name):
            continue
        if obstacle is None and row is not None and (row.inputs is None or index in row.inputs):
            if reached:
                found.reached.add(name)
            if behind is not None:
                found.blocked.setdefault(name, behind)
        else:
            reason = obstacle or f"has none in its input {index}"
            found.blocked.setdefault(name, f"its gradient would pass {label(node)}, which {reason}")
    for name in captured(node):
        found.blocked.setdefault(name, f"it is used inside {label(node)}")


def _obstacle(draft: Draft, row: Row | None, live: list[int], outcome: Rewriting) -> str | None:
    """What a message says after "which": why no gradient comes through the node at all."""
    node: NodeProto = draft.node
    refusal = outcome.refused.get(label(node))
    if any(True for _ in subgraphs(node)):
        return "has subgraphs"
    if row is None:
        return "has none"
    if not row.native or refusal is not None:
        return f"has none, and is not rebuilt: {refusal}" if refusal else "has none"
    if row.outputs is not None and any(index not in row.outputs for index in live):
        return "has none from one of its outputs"
    return None if row.unless is None else row.unless(draft)
