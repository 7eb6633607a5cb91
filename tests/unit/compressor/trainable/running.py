"""Prepared graphs filled with their weights, merged, and run in the worker's environment."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, SparseTensorProto, TensorProto, helper, numpy_helper

from sparsebook_compressor.admit import load
from sparsebook_compressor.graph import tensors
from sparsebook_compressor.graph.view import GraphView, survey
from sparsebook_compressor.trainable import Trainable, prepare

ROOT = Path(__file__).parents[4]
PYTHON = ROOT / ".venv-trainer/bin/python"
STEP = 2e-4
BATCH = 64
# Gradients below this are 0 as far as differences of float32 sums can tell.
FAINT = 1e-2


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model file, its view, and what was made of it."""

    path: Path
    view: GraphView
    trainable: Trainable

    @classmethod
    def of(cls, path: Path, **how: Any) -> "Prepared":
        model = load(path)
        view = survey(model, path)
        return cls(path, view, prepare(model, view, **how))

    @property
    def parameters(self) -> list[str]:
        """Initializers that are trained."""
        frozen = {each.weight for each in self.trainable.frozen}
        weights = [name for weight, name in self.trainable.weights.items() if weight not in frozen]
        return weights + [vector.initializer for vector in self.trainable.vectors]

    def filled(self) -> ModelProto:
        """The trainable model with the original's weights."""
        model = ModelProto()
        model.CopyFrom(self.trainable.model)
        by_name = {tensor.name: tensor for tensor in model.graph.initializer}
        weights = {weight.name: weight for weight in self.view.weights}
        for weight, name in self.trainable.weights.items():
            _fill(by_name[name], weights[weight].read())
        for name, holder in self.trainable.constants.items():
            tensor = by_name[name]
            if isinstance(holder, SparseTensorProto):
                _fill(tensor, tensors.read_sparse(holder, self.path))
            elif tensors.is_float(holder):
                _fill(tensor, tensors.read(holder, self.path))
            else:
                tensor.raw_data = tensors.external_bytes(holder, self.path).tobytes()
        return model


def _fill(tensor: TensorProto, values: np.ndarray) -> None:
    tensor.CopyFrom(
        numpy_helper.from_array(values.reshape(tuple(tensor.dims)).astype(np.float32), tensor.name)
    )


def run(model: "ModelProto | Path", feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """All outputs, by the newest ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    given = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    names = {each.name for each in session.get_inputs()}
    return list(session.run(None, {k: v for k, v in feeds.items() if k in names}))


def difference(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """The largest difference of the outputs, relative to the largest element of each."""
    return max(
        float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max(initial=0))
        / max(float(np.abs(a.astype(np.float64)).max(initial=0)), 1e-6)
        for a, b in zip(one, other, strict=True)
    )


def worst(found: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, float]:
    """By task: the largest difference of the two slopes, relative to the gradient's norm."""
    return {
        name: max(abs(one - other) / max(norm, FAINT) for one, other, norm in slopes.values())
        for name, slopes in found.items()
    }


@dataclass(frozen=True, eq=False)
class Task:
    """A case for `differentiate`: a graph, what it is fed with, and its trained initializers."""

    name: str
    model: ModelProto
    feeds: Mapping[str, np.ndarray]
    parameters: Sequence[str]
    outputs: Sequence[np.ndarray]


def merged(tasks: Sequence[Task]) -> tuple[ModelProto, dict[str, np.ndarray], dict]:
    """One graph of all tasks; the loss of each is the sum of its float outputs, randomly weighed."""
    whole = onnx.GraphProto(name="tasks")
    feeds: dict[str, np.ndarray] = {}
    losses: dict[str, str] = {}
    parameters: dict[str, list[str]] = {}
    for number, task in enumerate(tasks):
        prefix = f"t{number}/"
        graph = onnx.compose.add_prefix(task.model, prefix).graph
        whole.node.extend(graph.node)
        whole.initializer.extend(graph.initializer)
        whole.input.extend(graph.input)
        feeds |= {f"{prefix}{name}": array for name, array in task.feeds.items()}
        parameters[task.name] = [f"{prefix}{name}" for name in task.parameters]
        losses[task.name] = _loss(whole, prefix, task)
    _sum(whole, "loss", list(losses.values()))
    for name in ("loss", *losses.values()):
        whole.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, []))
    model = helper.make_model(whole, opset_imports=tasks[0].model.opset_import)
    model.ir_version = tasks[0].model.ir_version
    del model.graph.value_info[:]
    return model, feeds, {"losses": losses, "parameters": parameters}


def _loss(graph: onnx.GraphProto, prefix: str, task: Task) -> str:
    rng = np.random.default_rng(7)
    parts = []
    for value, array in zip(task.model.graph.output, task.outputs, strict=True):
        if array.dtype != np.float32:
            continue
        name = f"{prefix}{value.name}"
        factor = rng.uniform(0.5, 1.5, array.shape) * rng.choice([-1, 1], array.shape)
        # The outputs as they are at the start are taken off, so that differences of the loss are not lost in its digits.
        for constant, values in (("r", factor), ("o", array)):
            tensor = numpy_helper.from_array(values.astype(np.float32), f"{name}/{constant}")
            graph.initializer.append(tensor)
        graph.node.append(
            helper.make_node("Sub", [name, f"{name}/o"], [f"{name}/d"], f"{name}/Sub")
        )
        graph.node.append(
            helper.make_node("Mul", [f"{name}/d", f"{name}/r"], [f"{name}/m"], f"{name}/Mul")
        )
        reduce = helper.make_node(
            "ReduceSum", [f"{name}/m"], [f"{name}/s"], f"{name}/ReduceSum", keepdims=0
        )
        graph.node.append(reduce)
        parts.append(f"{name}/s")
    _sum(graph, f"{prefix}loss", parts)
    return f"{prefix}loss"


def _sum(graph: onnx.GraphProto, name: str, parts: Sequence[str]) -> None:
    so_far = parts[0]
    for index, part in enumerate(parts[1:]):
        graph.node.append(
            helper.make_node("Add", [so_far, part], [f"{name}/{index}"], f"{name}/Add{index}")
        )
        so_far = f"{name}/{index}"
    graph.node.append(helper.make_node("Identity", [so_far], [name], f"{name}/Identity"))


def differentiate(
    tasks: Sequence[Task], folder: Path, step: float = STEP, turns: int = 8
) -> dict[str, dict[str, list[float]]]:
    """By task and initializer: slope by gradient, slope by finite differences, norm of the gradient.

    Of each task, `turns` initializers are moved; the gradients of the others have to be finite. Tasks are merged into graphs of `BATCH`: the gradient builder's time grows with the square of a graph's size.
    """
    batches = []
    for start in range(0, len(tasks), BATCH):
        model, feeds, order = merged(tasks[start : start + BATCH])
        batch = folder / str(start)
        batch.mkdir(parents=True)
        (batch / "graph.onnx").write_bytes(model.SerializeToString())
        np.savez(batch / "inputs.npz", **feeds)
        (batch / "order.json").write_text(json.dumps({**order, "step": step, "turns": turns}))
        batches.append(batch)
    program = Path(__file__).with_name("differentiate.py")
    done = subprocess.run(
        [PYTHON, "-P", program, *batches], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, dict[str, list[float]]] = {}
    for batch in batches:
        found |= json.loads((batch / "result.json").read_text())
    return found
