"""The gradient of a loss of the caller's own: whether it has one, and its graph rebuilt from operators that have one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from onnx import ModelProto, SparseTensorProto, numpy_helper

from sparsebook_compressor.errors import BadValue, NotTrainable
from sparsebook_compressor.graph.tensors import read_sparse
from sparsebook_compressor.graph.view import Holder
from sparsebook_compressor.trainable.facts import Facts
from sparsebook_compressor.trainable.gradients import Gradients, follow
from sparsebook_compressor.trainable.lift import raise_constants
from sparsebook_compressor.trainable.names import name_nodes
from sparsebook_compressor.trainable.opsets import convert
from sparsebook_compressor.trainable.rewriting import rewrite


def differentiable(
    model: ModelProto, output: str, read: Mapping[str, int], where: str, path: Path
) -> tuple[ModelProto, tuple[int, ...]]:
    """The same loss, of an opset from 13 to 21, with operators that ONNX Runtime training can differentiate.

    Args:
        model: a checked graph, which is not changed.
        output: name of its scalar.
        read: inputs that are outputs of the model -> their index.
        where: for messages.
        path: of its file.

    Returns:
        A graph of the same values, up to the rounding of float32; and the indices of the outputs that it has a gradient for.

    Raises:
        BadValue: it has no gradient with regard to any output of the model, or only through an operator that has none.
    """
    try:
        rebuilt, gradients = _rebuilt(model, output, path)
    except NotTrainable as error:
        raise BadValue(f"{where}: {error}") from error
    blocked = next((name for name in read if name in gradients.blocked), None)
    if blocked is not None:
        raise BadValue(
            f"{where}: cannot be trained for the output {blocked!r}: {gradients.blocked[blocked]}; write it with operators "
            "that have a gradient (docs/trainable.md lists them)"
        )
    learned = tuple(sorted(index for name, index in read.items() if name in gradients.reached))
    if not learned:
        raise BadValue(
            f"{where}: has no gradient: the model's {_listed(list(read))} not reach its value, or only through integers and "
            "comparisons (ArgMax, Equal), which do not change when a weight moves a little; compute it from scores or "
            "probabilities"
        )
    return rebuilt, learned


def _rebuilt(model: ModelProto, output: str, path: Path) -> tuple[ModelProto, Gradients]:
    made = ModelProto()
    made.CopyFrom(model)
    constants: dict[str, Holder] = {}
    raise_constants(made, path, constants)
    made = convert(made)
    raise_constants(made, path, constants)
    _fill(made, constants, path)
    name_nodes(made)
    outcome = rewrite(made)
    name_nodes(made)
    return made, follow(made, Facts(made), outcome, {output})


def _fill(model: ModelProto, constants: Mapping[str, Holder], path: Path) -> None:
    """Put the data of large constants back: a training graph takes those of a loss as they are."""
    for tensor in model.graph.initializer:
        holder = constants.get(tensor.name)
        if isinstance(holder, SparseTensorProto):
            array = read_sparse(holder, path).reshape(holder.dims)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        elif holder is not None:
            name = tensor.name
            tensor.CopyFrom(holder)
            tensor.name = name


def _listed(names: Sequence[str]) -> str:
    quoted = [repr(name) for name in names]
    return f"outputs {' and '.join(quoted)} do" if quoted[1:] else f"output {quoted[0]} does"
