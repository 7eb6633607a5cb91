"""The paper's rival in Figure 6 and Table 7: every dense layer as a product of two smaller ones, fine-tuned.

W [in, out] = U S V is cut to its k largest singular values and stored as U sqrt(S) [in, k] and sqrt(S) V [k, out]. Convolutions and
the last layer, whose rank is the number of classes, stay as they are. The result is a plain ONNX file of floats.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from benchmarks import mnist
from benchmarks.fitting import Recipe, fit
from benchmarks.kept_runs import Hits
from benchmarks.lenets import LENETS
from benchmarks.paper_runs import RUNS, hits

RECIPE = Recipe(epochs=5, learning_rate=5e-4, batch_size=64, weight_decay=0.05, seed=0)


@dataclass(frozen=True, eq=False)
class Factored:
    """A factored baseline: the share of the floats that the rank was chosen for, bytes of the file, and its hits."""

    share: float
    bytes: int
    hits: Hits

    @property
    def error(self) -> float:
        """Share of the test images that it gets wrong."""
        return 1 - float(self.hits.mean())


def factored(net: str, share: float) -> Factored:
    """Factor a baseline and fine-tune it, or read what was kept of that.

    Args:
        net: which baseline.
        share: of a layer's floats that its two factors may have.
    """
    lenet = LENETS[net]
    parts = [json.dumps([share, asdict(RECIPE)]).encode(), lenet.trained.read_bytes()]
    key = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    path = RUNS / f"{net}-svd-{key[:16]}.onnx"
    data = mnist.read()
    if not path.exists():
        model = factor(onnx.load(lenet.trained), share)
        fit(model, data, lenet.shape, RECIPE)
        RUNS.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(model.SerializeToString())
        partial.replace(path)
    return Factored(share, path.stat().st_size, hits(path, lenet, data.test))


def factor(model: ModelProto, share: float) -> ModelProto:
    """The model with all Gemm weights but the last cut to the rank that leaves a share of their floats; at least rank 1."""
    made = ModelProto()
    made.CopyFrom(model)
    tensors = {tensor.name: tensor for tensor in made.graph.initializer}
    nodes = []
    last = [node.output[0] for node in made.graph.node if node.op_type == "Gemm"][-1]
    for node in made.graph.node:
        if node.op_type != "Gemm" or node.output[0] == last:
            nodes.append(node)
            continue
        name = node.input[1]
        weight = numpy_helper.to_array(tensors[name])
        into, out = weight.shape
        rank = max(1, int(share * into * out / (into + out)))
        if rank * (into + out) >= into * out:
            nodes.append(node)
            continue
        left, middle, right = np.linalg.svd(weight.astype(np.float64), full_matrices=False)
        root = np.sqrt(middle[:rank])
        halves = {"left": left[:, :rank] * root, "right": root[:, np.newaxis] * right[:rank]}
        made.graph.initializer.remove(tensors[name])
        made.graph.initializer.extend(
            numpy_helper.from_array(half.astype(np.float32), f"{name}.{side}")
            for side, half in halves.items()
        )
        between = f"{node.output[0]}.rank"
        nodes.append(helper.make_node("MatMul", [node.input[0], f"{name}.left"], [between]))
        inputs = [between, f"{name}.right", *node.input[2:]]
        nodes.append(helper.make_node("Gemm", inputs, list(node.output)))
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    onnx.checker.check_model(made)
    return made
