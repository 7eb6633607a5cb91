"""Slopes of scalars by ONNX Runtime training's gradients and by central differences.

Runs in the environment of the fine-tuning worker: `python gradients.py FOLDER`. FOLDER holds `graph.onnx`, whose first output is
the sum of all others, `inputs.npz` and `cases.json`: {"scalar": ["initializer", ...]}. Each scalar depends on its own initializers
alone, so that those of all scalars are moved at once. Writes `slopes.json`: {"scalar": [[by gradient, by differences, norm], ...]}.
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

STEP = 0.002


class First(onnxblock.Block):
    """The graph's first output is the loss."""

    def build(self, *outputs: str) -> str:
        return outputs[0]


def main(folder: Path) -> None:
    cases = json.loads((folder / "cases.json").read_text())
    wanted = [name for names in cases.values() for name in names]
    inputs = dict(np.load(folder / "inputs.npz"))
    with tempfile.TemporaryDirectory() as made:
        artifacts.generate_artifacts(
            onnx.load(folder / "graph.onnx"),
            requires_grad=wanted,
            loss=First(),
            additional_output_names=list(cases),
            artifact_directory=made,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        state = api.CheckpointState.load_checkpoint(f"{made}/checkpoint")
        module = api.Module(
            f"{made}/training_model.onnx", state, f"{made}/eval_model.onnx", session_options=options
        )
    feed = [inputs[name] for name in module.input_names()]
    module.train()
    module(*feed)
    slopes = {name: np.array(state.parameters[name].grad) for name in wanted}
    module.eval()
    start = {name: np.array(state.parameters[name].data) for name in wanted}
    rng = np.random.default_rng(0)
    found: dict[str, list[list[float]]] = {case: [] for case in cases}
    for names in zip(*cases.values(), strict=True):
        signs = {name: rng.choice([-1.0, 1.0], start[name].shape) for name in names}
        values = []
        for by in (STEP, -STEP):
            for name in names:
                moved = start[name] + by * signs[name]
                state.parameters[name].data = moved.astype(np.float32)
            values.append(np.array(module(*feed)[1:], np.float64))
        for name in names:
            state.parameters[name].data = start[name]
        differences = (values[0] - values[1]) / (2 * STEP)
        for case, name, difference in zip(cases, names, differences, strict=True):
            gradient = float((slopes[name] * signs[name]).sum())
            found[case].append([gradient, float(difference), float(np.linalg.norm(slopes[name]))])
    (folder / "slopes.json").write_text(json.dumps(found))


if __name__ == "__main__":
    onnxruntime.set_default_logger_severity(3)
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # the training session's threads outlive the interpreter now and then
