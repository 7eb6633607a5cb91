"""What looks like a constant and is none does no harm to looking into a file."""

from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from sparsebook_compressor.artifact import payloads
from sparsebook_compressor.errors import InvalidGraph
from tests.unit.compressor.models import graph_of, model_of, node, tensor, value

BYTES = tensor("t", np.zeros(3, np.uint8))


@pytest.mark.parametrize(
    "odd",
    [
        node("Constant", [], [], value=BYTES),
        node("Constant", [], ["p", "q"], value=BYTES),
        node("Constant", [], ["p"], domain="custom", value=BYTES),
    ],
    ids=["no output", "two outputs", "another domain"],
)
def test_only_the_standard_constant_holds_a_payload(odd: NodeProto) -> None:
    user = node("Decode", ["p"], ["y"], domain="sparsebook", shape=[3])
    inputs = [] if "p" in odd.output else [value("p", [3], TensorProto.UINT8)]
    imports = [helper.make_opsetid(domain, 1) for domain in ("custom", "sparsebook")]
    graph = graph_of([odd, user], inputs, [value("y", [3])])
    model = model_of(graph, opset_imports=[helper.make_opsetid("", 17), *imports])
    with pytest.raises(InvalidGraph, match="'p' is no constant"):
        payloads(model, Path("nowhere.onnx"))
