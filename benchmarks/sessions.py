"""A session for models that may be artifacts of ours."""

from pathlib import Path

import onnxruntime as ort

import sparsebook_runtime


def session(model: Path) -> ort.InferenceSession:
    """A model, compressed or not, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    sparsebook_runtime.register(options)
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
