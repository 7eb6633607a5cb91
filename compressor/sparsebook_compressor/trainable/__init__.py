"""Graph preparation: an inference graph made into one that ONNX Runtime training can differentiate."""

from sparsebook_compressor.trainable.preparation import prepare
from sparsebook_compressor.trainable.result import Frozen, Trainable, Vector

__all__ = ["Frozen", "Trainable", "Vector", "prepare"]
