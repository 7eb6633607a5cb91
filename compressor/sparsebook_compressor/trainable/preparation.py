"""From an inference graph to one that can be trained: the order of the passes."""

from collections.abc import Collection, Mapping, Sequence

from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor.admit import opset
from sparsebook_compressor.errors import NotTrainable
from sparsebook_compressor.graph.view import GraphView
from sparsebook_compressor.trainable.facts import Facts
from sparsebook_compressor.trainable.gradients import Gradients, follow
from sparsebook_compressor.trainable.lift import Lifted, land_marked, lift, raise_constants
from sparsebook_compressor.trainable.maps import unzip
from sparsebook_compressor.trainable.names import name_nodes
from sparsebook_compressor.trainable.opsets import convert, without_functions
from sparsebook_compressor.trainable.result import Frozen, Trainable
from sparsebook_compressor.trainable.rewriting import rewrite
from sparsebook_compressor.trainable.vectors import candidates, vectors
from sparsebook_compressor.trainable.widen import widen


def prepare(
    model: ModelProto,
    view: GraphView,
    *,
    outputs: Collection[str] | None = None,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
) -> Trainable:
    """Make a copy of a graph differentiable, as far as that goes.

    Args:
        model: as `admit.load` gives it, large initializers being references into its file; not modified.
        view: its weights.
        outputs: names of those outputs that the loss will look at; all where none are named. A weight whose way to one of
            them has no gradient is frozen.
        shapes: input -> the shape of what training will feed, None for a dimension that stays free. Some ops can only be
            rebuilt where dimensions are known.

    Raises:
        NotTrainable: no weight gets a gradient, or the graph cannot be brought to an opset that training reads.
    """
    if not view.weights:
        raise NotTrainable(
            "the model has no weight that could be trained; leave the data out, or say train.loss 'none'"
        )
    source = view.weights[0].source
    lifted = lift(model, source)
    said = _flatten(lifted)
    said += [f"{name}: the matrix in the place of its maps" for name in unzip(lifted.model)]
    raise_constants(lifted.model, source, lifted.constants)
    if widen(lifted.model):
        said.append("float16, bfloat16 and float64: float32 everywhere")
    before = opset(lifted.model)
    lifted = Lifted(convert(lifted.model), lifted.weights, lifted.constants)
    if opset(lifted.model) != before:
        said.append(f"opset {before}: converted to opset {opset(lifted.model)}")
    raise_constants(lifted.model, source, lifted.constants)
    prepared = lifted.model
    _fix_shapes(prepared, shapes or {})
    name_nodes(prepared)
    wishes = candidates(prepared, model)
    outcome = rewrite(prepared)
    name_nodes(prepared)
    facts = Facts(prepared)
    wanted = {value.name for value in prepared.graph.output}
    gradients = follow(prepared, facts, outcome, wanted & set(outputs) if outputs else wanted)
    _tidy(prepared, lifted)
    frozen = _frozen(view, lifted, gradients)
    if len(frozen) == len(view.weights):
        reasons = sorted({each.reason for each in frozen})
        raise NotTrainable(
            f"no weight gets a gradient: {frozen[0].weight!r}: {frozen[0].reason}"
            + (f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else "")
            + "; docs/trainable.md lists the operators that have one: export the model with these, or say train.loss 'none'"
        )
    trained = {name for name in wishes if gradients.reason_against(name) is None}
    return Trainable(
        model=prepared,
        weights=lifted.weights,
        constants=lifted.constants,
        vectors=vectors(wishes, trained - set(lifted.weights.values())),
        frozen=frozen,
        rewritten=(*said, *outcome.done),
    )


def _fix_shapes(model: ModelProto, shapes: Mapping[str, Sequence[int | None]]) -> None:
    """Declare the inputs to be of these shapes."""
    for value in model.graph.input:
        if value.name in shapes:
            dims = [
                f"{value.name}/{axis}" if dim is None else dim
                for axis, dim in enumerate(shapes[value.name])
            ]
            # Samples of all inputs lie on the first axis: one name for it, so that they are known to be as many.
            if dims and shapes[value.name][0] is None:
                dims[0] = "batch"
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, dims))


def _flatten(lifted: Lifted) -> list[str]:
    """Local functions written out where they are called; what is to be said about it."""
    count = len(lifted.model.functions)
    if not count:
        return []
    lifted.model.CopyFrom(without_functions(lifted.model))
    land_marked(lifted)
    return [f"{count} local functions: written out where they are called"]


def _frozen(view: GraphView, lifted: Lifted, gradients: Gradients) -> tuple[Frozen, ...]:
    found = []
    for weight in view.weights:
        name = lifted.weights.get(weight.name)
        reason = "nobody calls the function it is in" if name is None else None
        if name is not None:
            reason = gradients.reason_against(name)
        if reason is not None:
            found.append(Frozen(weight.name, reason))
    return tuple(found)


def _tidy(prepared: ModelProto, lifted: Lifted) -> None:
    """Leave out constants that nobody consumes any more, and what shape inference wrote."""
    del prepared.graph.value_info[:]
    facts = Facts(prepared, infer=False)
    kept = [tensor for tensor in prepared.graph.initializer if facts.is_consumed(tensor.name)]
    copies = [TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del prepared.graph.initializer[:]
    prepared.graph.initializer.extend(copies)
    names = {tensor.name for tensor in copies}
    for name in set(lifted.constants) - names:
        del lifted.constants[name]
