"""Applying the table's rebuilds to a graph until there is nothing left to rebuild."""

from dataclasses import dataclass, field

from onnx import ModelProto, NodeProto

from sparsebook_compressor.trainable.draft import CannotRewriteError, Draft
from sparsebook_compressor.trainable.facts import Facts
from sparsebook_compressor.trainable.names import Names, label, name_nodes
from sparsebook_compressor.trainable.table import row_of

# What a rebuild writes may ask for another: a bidirectional LSTM, an Einsum that becomes a MatMul of vectors.
_MOST_ROUNDS = 8


@dataclass
class Rewriting:
    """What became of the nodes.

    Attributes:
        done: sentences about the nodes that were rebuilt.
        refused: label of a node that was not -> what stood in the way.
    """

    done: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def rewrite(model: ModelProto) -> Rewriting:
    """Rebuild the float nodes of the main graph, in place."""
    outcome = Rewriting()
    settled: set[str] = set()
    for first in (True, *(False for _ in range(_MOST_ROUNDS))):
        said = _round(model, outcome, settled)
        if first:
            outcome.done = said
        if not said:
            break
    return outcome


def _round(model: ModelProto, outcome: Rewriting, settled: set[str]) -> list[str]:
    """Rebuild every node once; `settled` names those that a rebuild of the same op wrote, which stay."""
    # What could not be rebuilt before may be by now, its ranks being known.
    outcome.refused.clear()
    name_nodes(model)
    facts, names = Facts(model), Names(model)
    nodes: list[NodeProto] = []
    said: list[str] = []
    for node in model.graph.node:
        draft = Draft(node, facts, names)
        sentence = None if node.name in settled else _rebuild(draft, outcome)
        if sentence is None:
            nodes.append(node)
            continue
        said.append(sentence)
        nodes += draft.nodes
        settled.update(each.name for each in draft.nodes if each.op_type == node.op_type)
        model.graph.initializer.extend(draft.constants)
    if said:
        copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(copies)
        _prune(model)
    return said


def _rebuild(draft: Draft, outcome: Rewriting) -> str | None:
    row = row_of(draft.node)
    if row is None or row.rebuild is None:
        return None
    if not any(draft.facts.may_be_float(name) for name in draft.node.output):
        return None
    try:
        return row.rebuild(draft)
    except CannotRewriteError as error:
        outcome.refused[label(draft.node)] = str(error)
        return None


def _prune(model: ModelProto) -> None:
    """Take out nodes that nobody needs: a rebuild may ask for a dimension and then not use it."""
    graph = model.graph
    while True:
        facts = Facts(model, infer=False)
        kept = [node for node in graph.node if any(map(facts.is_consumed, node.output))]
        if len(kept) == len(graph.node):
            return
        copies = [NodeProto.FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(copies)
