"""How the weights of an artifact run: which operators take each, and how it lies in memory on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto

from sparsebook_compressor.graph.scopes import scopes
from sparsebook_compressor.rewrite.surgery import DOMAIN


@dataclass(frozen=True, slots=True)
class Layer:
    """Of one weight.

    Attributes:
        operators: ops of the nodes that take its payload, each once; `Decode` stands for all that take its floats.
        form: in which form (docs/kernels.md) the payload is computed from here; empty where no session was made.
    """

    operators: tuple[str, ...]
    form: str = ""


def layers(model: ModelProto, payloads: Mapping[str, str]) -> dict[str, Layer]:
    """The operators of a rewritten model.

    Args:
        model: with output `operator`.
        payloads: names of the tensors that hold weights' payloads, by the weights' names.

    Returns:
        Layers by the weights' names, forms left out.
    """
    takers: dict[str, dict[str, None]] = {}
    for scope in scopes(model):
        for node in scope.body.node:
            if node.domain == DOMAIN:
                for name in node.input:
                    takers.setdefault(name, {})[node.op_type] = None
    return {weight: Layer(tuple(takers.get(name, ()))) for weight, name in payloads.items()}


def with_forms(
    found: Mapping[str, Layer], payloads: Mapping[str, str], forms: Mapping[str, str]
) -> dict[str, Layer]:
    """The same with the forms that a session of the artifact chose, by the payloads' names (measure.py)."""
    return {
        weight: Layer(layer.operators, forms.get(payloads[weight], ""))
        for weight, layer in found.items()
    }
