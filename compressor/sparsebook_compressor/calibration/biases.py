"""Biases behind weights: what an error in a weight does to the mean of a layer's outputs, its bias takes back.

Nagel et al., arXiv 1906.04721, section 4.2, with means that were seen instead of means that batch normalisation tells.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from sparsebook_compressor.calibration.sites import Site
from sparsebook_compressor.calibration.workbench import constants_named
from sparsebook_compressor.graph.scopes import scopes
from sparsebook_compressor.graph.tensors import elements_of

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

_BIAS_INPUT = 2


@dataclass(frozen=True, eq=False)
class Bias:
    """A float32 constant of the main graph that is added to a layer's outputs and to nothing else.

    Attributes:
        name: of the constant.
        values: float32[outputs].
    """

    name: str
    values: F32

    def corrected(self, site: Site, before: F32, after: F32, was: F64, now: F64) -> F32:
        """The bias that keeps the mean of the outputs.

        Args:
            site: of the weight.
            before: the weight, float32[elements].
            after: what became of it.
            was: mean input of the original, float64[groups, columns].
            now: mean input with the layers before this one compressed.
        """
        wanted = np.einsum("grc,gc->gr", site.matrices(before).astype(np.float64), was)
        found = np.einsum("grc,gc->gr", site.matrices(after).astype(np.float64), now)
        moved: F32 = (self.values + (wanted - found).reshape(-1)).astype(np.float32)
        return moved


def biases(model: ModelProto, sites: list[Site]) -> dict[str, Bias]:
    """Biases of weights, by the weights' names."""
    graph = model.graph
    reads: Counter[str] = Counter()
    for scope in scopes(model):
        reads.update(name for node in scope.body.node for name in node.input)
        reads.update(scope.outputs)
    inputs = {value.name for value in graph.input}
    consumers = {name: node for node in graph.node for name in node.input}
    found: dict[str, Bias] = {}
    for site in sites:
        name = _name_of(site, consumers, reads)
        if name and name not in inputs and reads[name] == 1 and len(site.weight.uses) == 1:
            values = _values(graph, name)
            if values is not None and values.size == site.groups * site.rows:
                found[site.weight.name] = Bias(name, values)
    return found


def _name_of(site: Site, consumers: dict[str, NodeProto], reads: Counter[str]) -> str | None:
    node = site.use.node
    if site.kind not in ("product", "conv"):
        return None
    match node.op_type:
        case "Conv" | "FusedConv":
            return node.input[_BIAS_INPUT] if len(node.input) == _BIAS_INPUT + 1 else None
        case "Gemm" | "FusedGemm":
            scaled = any(a.name in ("alpha", "beta") and a.f != 1 for a in node.attribute)
            has_bias = len(node.input) > _BIAS_INPUT
            return node.input[_BIAS_INPUT] if has_bias and not scaled else None
        case "MatMul":
            behind = consumers.get(node.output[0])
            if behind is None or behind.op_type != "Add" or reads[node.output[0]] != 1:
                return None
            return next((name for name in behind.input if name != node.output[0]), None)
    return None


def _values(graph: GraphProto, name: str) -> F32 | None:
    """A constant vector, float32[n]; None for anything else."""
    for tensor in constants_named(graph, name):
        vector = bool(tensor.dims) and tensor.dims[-1] == elements_of(tensor)
        if tensor.data_type == TensorProto.FLOAT and vector and not tensor.external_data:
            return np.array(numpy_helper.to_array(tensor), np.float32).reshape(-1)
    return None
