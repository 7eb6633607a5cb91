"""Trained weights into the model: shared ones coded, others and the vectors as floats."""

import dataclasses
from collections.abc import Container, Mapping

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto

from sparsebook_compressor.clock import Clock
from sparsebook_compressor.coding import Coded, encode_weight
from sparsebook_compressor.config import Output
from sparsebook_compressor.graph.tensors import STORED
from sparsebook_compressor.graph.view import Kept, Weight
from sparsebook_compressor.looking import look_at
from sparsebook_compressor.plan import Plan
from sparsebook_compressor.replacing import replace, replace_by_floats
from sparsebook_compressor.rewrite.surgery import Surgeon, fill
from sparsebook_compressor.stages.representable import representable
from sparsebook_compressor.summary import Done
from sparsebook_compressor.trainable import Vector
from sparsebook_compressor.training.course.rounds import as_coded
from sparsebook_compressor.training.orders.values import Values

_DENSE = "but its codes would not be smaller than its floats"


def pack_trained(
    surgeon: Surgeon,
    plan: Plan,
    weights: Mapping[str, Weight],
    vectors: tuple[Vector, ...],
    values: Values,
    retrained: Container[str],
    output: Output,
    clock: Clock,
) -> Done:
    """Put every planned weight as it is now into the model, and the vectors that were trained along.

    Args:
        surgeon: holds the model.
        plan: the rows that were carried out.
        weights: by name.
        vectors: where trained vectors go.
        values: what everything is now.
        retrained: names of the weights that training has changed.
        output: what the artifact is to be.
        clock: is told.
    """
    coded: list[Coded] = []
    kept = list(plan.kept)
    shared = values.codebooks
    for row in plan.rows:
        weight = weights[row.name]
        if row.name not in shared:
            with clock.stage("pack"):
                replace_by_floats(surgeon, weight, values.read(row.name))
            done = "pruned and retrained" if row.name in retrained else "pruned"
            kept.append(Kept(weight.name, weight.shape, weight.stored_bytes, f"{done}, {_DENSE}"))
            continue
        with clock.stage("encode"):
            now = as_coded(weight, values)
            result, payload = encode_weight(weight, row, now)
            begun = values.begun(row.name)
            moved = not np.array_equal(begun.codebook, values.codebooks[row.name])
            start = begun.codebook if moved else None
            look = look_at(row.name, now.coded, result.facts, begun.histogram, start)
        with clock.stage("pack"):
            size = replace(surgeon, weight, result, now.coded, payload, output)
        coded.append(dataclasses.replace(result.stored_as(size), look=look))
    _write_vectors(surgeon.model, vectors, values)
    return Done(tuple(coded), tuple(kept))


def _write_vectors(model: ModelProto, vectors: tuple[Vector, ...], values: Values) -> None:
    trained = values.vectors
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and len(node.output) == 1:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    tensors[node.output[0]] = attribute.t
    for vector in vectors:
        if vector.initializer in trained:
            _write(tensors[vector.name], trained[vector.initializer])


def _write(tensor: TensorProto, values: npt.NDArray[np.float32]) -> None:
    name, dims = tensor.name, list(tensor.dims)
    stored = representable(values, tensor.data_type).astype(STORED[tensor.data_type])
    fill(tensor, name, stored.reshape(dims))
