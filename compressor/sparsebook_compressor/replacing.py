"""Putting a coded weight into the model, in the form that the output asks for."""

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.coding import Coded
from sparsebook_compressor.config import Output
from sparsebook_compressor.graph.tensors import STORED
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.rewrite import dense, fusing, operator, portable
from sparsebook_compressor.rewrite.surgery import Surgeon
from sparsebook_compressor.stages.representable import representable

F32 = npt.NDArray[np.float32]


def expected_bytes(result: Coded, payload: bytes, output: Output) -> int:
    """What a weight would take in the artifact, all but exact; in the dense output, in the operator's."""
    if output == "portable":
        facts, row = result.facts, result.row
        return portable.expected_bytes(row.elements, facts.nonzeros, result.centroids)
    return len(payload)


def not_smaller(expected: int) -> str:
    """Why a weight stays as it is."""
    return f"what it becomes ({expected} bytes) would not be smaller"


def replace(
    surgeon: Surgeon,
    weight: Weight,
    result: Coded,
    coded: CodedWeight,
    payload: bytes,
    output: Output,
) -> int:
    """Put what became of a weight in its place; the bytes that it takes."""
    match output:
        case "operator":
            return operator.replace(surgeon, weight, payload)
        case "portable":
            return portable.replace(surgeon, weight, coded)
        case "dense":
            return dense.replace(surgeon, weight, coded)


def finish(surgeon: Surgeon, output: Output) -> None:
    """Once every weight is replaced: make the cuts, and let operators take in what stands behind them."""
    surgeon.finish()
    if output == "operator":
        fusing.fuse(surgeon.model)


def replace_by_floats(surgeon: Surgeon, weight: Weight, values: F32) -> None:
    """Put other floats, float32[elements], in a weight's place, as its own dtype can hold them."""
    held = representable(values.reshape(weight.shape), weight.dtype)
    stored = held.astype(STORED[weight.dtype])
    surgeon.replace_tensor(weight, weight.value, stored)
