"""ONNX Runtime's training API, imported without PyTorch.

`onnxruntime/training/__init__.py` of 1.19.2 imports its `optim`, which imports torch, though nothing that is used here
needs either: an empty module of that name takes its place. onnx 1.17.0 writes IR 10 by itself, the last that 1.19.2 reads.
"""

import sys
import types

sys.modules.setdefault("onnxruntime.training.optim", types.ModuleType("onnxruntime.training.optim"))

import onnxruntime  # noqa: E402 - the line above has to run first
from onnxruntime.training import artifacts, onnxblock  # noqa: E402
from onnxruntime.training.api import CheckpointState, Module, Optimizer  # noqa: E402

# onnx names every unknown dimension, and dimensions of two names are never summed over in a gradient, although one of them may
# be 1 when the graph runs. Without its names the gradient asks for the shapes then.
onnxblock.TrainingBlock.infer_shapes_on_base = lambda self: self.base

# Building a gradient graph logs every pass of the optimiser as information.
onnxruntime.set_default_logger_severity(3)

__all__ = ["CheckpointState", "Module", "Optimizer", "artifacts", "onnxblock", "onnxruntime"]
