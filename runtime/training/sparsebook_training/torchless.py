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

# Building a gradient graph logs every pass of the optimiser as information.
onnxruntime.set_default_logger_severity(3)

__all__ = ["CheckpointState", "Module", "Optimizer", "artifacts", "onnxblock", "onnxruntime"]
