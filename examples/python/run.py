"""Runs an artifact whose output is `operator` or `portable`.

    python run.py bundle/model.onnx < input > output

The model has one float input, whose free dimensions are taken as 1, and its first output is float; both are raw numbers here.
"""

import sys

import numpy
import onnxruntime

import sparsebook_runtime


def main(model: str) -> None:
    """Read one input, run the artifact on it, write the output."""
    options = onnxruntime.SessionOptions()
    sparsebook_runtime.register(options)  # `portable` does without this line
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    taken = session.get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in taken.shape]
    x = numpy.frombuffer(sys.stdin.buffer.read(), numpy.float32).reshape(shape)
    y = session.run(None, {taken.name: x})[0]
    sys.stdout.buffer.write(y.tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
