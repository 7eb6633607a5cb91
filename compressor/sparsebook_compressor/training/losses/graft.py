"""Joining a loss or metric of the caller's own to the training graph."""

import onnx
from onnx import ModelProto, TensorProto, compose, version_converter

from sparsebook_compressor.admit import opset
from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.measure import first_line
from sparsebook_compressor.training.aim.own import OwnGraph
from sparsebook_compressor.training.losses.wires import Wires


def graft(wires: Wires, own: OwnGraph) -> str:
    """Append a graph's nodes under names of their own; the name of its scalar.

    Raises:
        BadValue: it cannot be converted to the training graph's opset.
    """
    nodes = wires.nodes
    prefix = nodes.fresh("own") + "."
    body = compose.add_prefix(_converted(own, nodes.opset), prefix, inplace=True).graph
    for name, (kind, which) in own.inputs.items():
        match kind, which:
            case "output", int(index):
                value, held = wires.output(index), _held(index in wires.objective.floats)
            case "teacher", int(index):
                value, held = wires.teacher(index), _held(index in wires.objective.floats)
            case _:
                value = wires.array(str(which))
                held = wires.type_of(str(which))
        wanted = own.types[name]
        if held != wanted:
            value = nodes.add("Cast", value, to=wanted)
        nodes.add("Identity", value, out=prefix + name)
    nodes.graph.node.extend(body.node)
    nodes.graph.initializer.extend(body.initializer)
    return prefix + own.output


def _held(is_float: bool) -> int:
    return TensorProto.FLOAT if is_float else TensorProto.INT64


def _converted(own: OwnGraph, version: int) -> ModelProto:
    """A copy at another opset."""
    model = ModelProto()
    model.CopyFrom(own.model)
    if opset(model) == version:
        return model
    try:
        converted = version_converter.convert_version(model, version)
        onnx.checker.check_model(converted)
    except (
        Exception
    ) as error:  # the converter throws RuntimeError, ValidationError and its own C++ errors
        raise BadValue(
            f"{own.name}: cannot be converted from opset {opset(model)} to {version}, the model's: {first_line(error)}; "
            f"export it for opset {version}"
        ) from error
    return converted
