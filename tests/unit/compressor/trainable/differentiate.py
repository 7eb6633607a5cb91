"""Gradients by ONNX Runtime training beside central finite differences.

Runs in the environment of the fine-tuning worker: `python differentiate.py FOLDER...`. A FOLDER holds `graph.onnx`, whose outputs
are scalars, `inputs.npz` and `order.json`:

    {"losses": {"case": "its scalar"}, "parameters": {"case": ["initializer", ...]}, "step": 0.01,
     "turns": 8}

The first output is the sum of the losses. Each parameter is moved along a random direction of signs, those of all cases at once:
a case's loss depends on its own parameters alone. `result.json`: {"case": {"initializer": [by gradient, by differences, scale]}}.
"""

import importlib
import json
import os
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

# onnxruntime.training imports torch through this module, of which nothing here needs anything.
sys.modules["onnxruntime.training.optim"] = types.ModuleType("onnxruntime.training.optim")
artifacts = importlib.import_module("onnxruntime.training.artifacts")
onnxblock = importlib.import_module("onnxruntime.training.onnxblock")
api = importlib.import_module("onnxruntime.training.api")


class First(onnxblock.Block):
    """The graph's first output is the loss."""

    def build(self, *outputs: str) -> str:
        return outputs[0]


# onnx names every unknown dimension, and dimensions of two names are never summed over in a gradient, although one of them may
# be 1. Without its names the gradient asks for the shapes when it runs.
onnxblock.TrainingBlock.infer_shapes_on_base = lambda self: self.base


def main(folder: Path) -> None:
    order = json.loads((folder / "order.json").read_text())
    losses, parameters, step = order["losses"], order["parameters"], order["step"]
    turns = min(order["turns"], max(map(len, parameters.values())))
    wanted = [name for names in parameters.values() for name in names]
    feeds = dict(np.load(folder / "inputs.npz"))
    with tempfile.TemporaryDirectory() as made:
        artifacts.generate_artifacts(
            onnx.load(folder / "graph.onnx"),
            requires_grad=wanted,
            loss=First(),
            additional_output_names=list(losses.values()),
            artifact_directory=made,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        state = api.CheckpointState.load_checkpoint(f"{made}/checkpoint")
        model = api.Module(
            f"{made}/training_model.onnx", state, f"{made}/eval_model.onnx", session_options=options
        )
        arrays = [feeds[name] for name in model.input_names()]
        model.train()
        model(*arrays)
        slopes = {name: np.array(state.parameters[name].grad) for name in wanted}
        assert all(np.isfinite(slope).all() for slope in slopes.values())
        model.eval()

        def moved(names: list[str], signs: dict[str, np.ndarray], by: float) -> dict[str, float]:
            before = {name: np.array(state.parameters[name].data) for name in names}
            for name in names:
                state.parameters[name].data = (before[name] + by * signs[name]).astype(np.float32)
            values = model(*arrays)
            for name in names:
                state.parameters[name].data = before[name]
            return dict(zip(losses, map(float, values[1:]), strict=True))

        rng = np.random.default_rng(0)
        result: dict[str, dict[str, list[float]]] = {case: {} for case in losses}
        for turn in range(turns):
            names = {case: mine[turn] for case, mine in parameters.items() if turn < len(mine)}
            signs = {name: rng.choice([-1.0, 1.0], slopes[name].shape) for name in names.values()}
            up = moved(list(names.values()), signs, step)
            down = moved(list(names.values()), signs, -step)
            for case, name in names.items():
                by_gradient = float((slopes[name] * signs[name]).sum())
                by_differences = (up[case] - down[case]) / (2 * step)
                scale = float(np.linalg.norm(slopes[name]))
                result[case][name] = [by_gradient, by_differences, scale]
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    onnxruntime.set_default_logger_severity(3)
    for each in sys.argv[1:]:
        main(Path(each))
    sys.stdout.flush()
    os._exit(0)  # the training session's threads outlive the interpreter now and then
