"""Where the training runs. CUDA is there in the plain `onnxruntime-training` build on a machine with a GPU."""

import numpy as np

from sparsebook_training.errors import Failed
from sparsebook_training.torchless import onnxruntime

DEVICES = ("auto", "cpu", "cuda")


def choose(asked: str) -> str:
    """The device to train on: "cpu" or "cuda".

    Args:
        asked: one of `DEVICES`; "auto" takes CUDA where an array can be put there.

    Raises:
        Failed: CUDA is asked for and not there.
    """
    if asked == "cpu":
        return "cpu"
    try:
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise RuntimeError("this build of onnxruntime-training is for CPUs")
        onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32), "cuda", 0)
    except RuntimeError as error:
        if asked == "auto":
            return "cpu"
        raise Failed(
            "internal",
            f"there is no CUDA to train on: {error}; use --device cpu, or install requirements/trainer-cuda.lock",
        ) from error
    return "cuda"
