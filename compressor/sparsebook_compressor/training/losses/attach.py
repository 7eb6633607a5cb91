"""Loss and metric of an objective on a training graph, whose outputs they become."""

from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor.errors import NotTrainable
from sparsebook_compressor.training.aim.objective import Objective
from sparsebook_compressor.training.data.dataset import Dataset, teacher_name
from sparsebook_compressor.training.losses.losses import add_loss
from sparsebook_compressor.training.losses.metric_nodes import add_metric
from sparsebook_compressor.training.losses.wires import Wires
from sparsebook_compressor.training.nodes import OUTPUTS, Nodes, names, rename

__all__ = ["OUTPUTS", "adapt_inputs", "attach"]


def attach(model: ModelProto, objective: Objective, dataset: Dataset) -> ModelProto:
    """A copy of a training graph that ends in its loss and its metric.

    Args:
        model: outputs named as the original's, opset 12 to 21; not changed. Initializers may be without data.
        objective: what to attach.
        dataset: what the worker will feed; the original's outputs that `objective.teachers` names are recorded.

    Returns:
        The copy: inputs named as the dataset's arrays and of their dtypes; outputs `loss`, `metric_sum` and
        `metric_weight`, float scalars.

    Raises:
        BadValue: a loss or metric of the caller's own cannot be joined to the graph.
        NotTrainable: a weight or an input of the model has a name that the graph needs.
    """
    made = ModelProto()
    made.CopyFrom(model)
    renamed = _free_names(made, objective, dataset)
    adapt_inputs(made, dataset, sampled=True)
    wires = Wires(made, objective, dataset, renamed)
    values = (add_loss(wires), *add_metric(wires))
    del made.graph.output[:]
    for name, value in zip(OUTPUTS, values, strict=True):
        # A scalar whatever the shape inferred: a loss of the caller's own may give one element on an axis.
        shaped = wires.nodes.add("Reshape", value, wires.nodes.constant([], int), out=name)
        made.graph.output.append(helper.make_tensor_value_info(shaped, TensorProto.FLOAT, []))
    return made


def _free_names(model: ModelProto, objective: Objective, dataset: Dataset) -> dict[str, str]:
    """Rename values that have names which outputs and further inputs need; old name -> new name.

    Raises:
        NotTrainable: an initializer or an input has such a name.
    """
    inputs = {spec.name for spec in dataset.specs}
    needed = {*OUTPUTS, *map(teacher_name, objective.teachers)}
    arrays = {*dataset.arrays} - inputs
    _require_free(model, inputs, needed, arrays)
    produced = {name for node in model.graph.node for name in node.output if name}
    clash = produced & {*needed, *arrays}
    every = names(model)
    renamed = {}
    for name in sorted(clash):
        fresh = f"{name}.model"
        while fresh in every:
            fresh += "_"
        renamed[name] = fresh
    if renamed:
        rename(model, lambda name: renamed.get(name, name), produced=True)
    return renamed


def _require_free(model: ModelProto, inputs: set[str], needed: set[str], arrays: set[str]) -> None:
    weights = {tensor.name for tensor in model.graph.initializer}
    if taken := sorted((weights | inputs) & needed):
        what = "an input" if taken[0] in inputs else "a weight"
        raise NotTrainable(
            f"{what} of the model is named {taken[0]!r}, as a value that the training graph needs for itself; rename it in "
            "the model"
        )
    if taken := sorted(weights & arrays):
        raise NotTrainable(
            f"a weight of the model is named {taken[0]!r}, as the array of the data that the loss or metric reads; rename "
            "one of the two"
        )


def adapt_inputs(model: ModelProto, dataset: Dataset, *, sampled: bool) -> None:
    """Take the arrays as the dataset holds them.

    Args:
        model: is changed.
        dataset: whose arrays have the original's dtypes, where the graph may be widened.
        sampled: whether samples that are whole feeds come with an axis of one entry before them, as a worker feeds them.
    """
    specs = {spec.name: spec for spec in dataset.specs}
    fed: dict[str, str] = {}
    nodes = Nodes(model)
    first = len(model.graph.node)
    for value in model.graph.input:
        spec = specs.get(value.name)
        if spec is None or spec.dtype is None:
            continue
        tensor, wanted = value.type.tensor_type, value.type.tensor_type.elem_type
        name = value.name
        if sampled and name in dataset.whole:
            name = nodes.squeeze_first(name)
            dims = [dim.dim_value or dim.dim_param for dim in tensor.shape.dim]
            value.type.CopyFrom(helper.make_tensor_type_proto(wanted, [1, *dims]))
        held = helper.np_dtype_to_tensor_dtype(spec.dtype)
        if held != wanted:
            name = nodes.add("Cast", name, to=wanted)
            value.type.tensor_type.elem_type = held
        if name != value.name:
            fed[value.name] = name
    if not fed:
        return
    own = list(model.graph.node[first:])
    del model.graph.node[first:]
    rename(model, lambda name: fed.get(name, name), produced=False)
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*own, *rest])
