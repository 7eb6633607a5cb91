"""The fine-tuning worker: a program that trains a prepared ONNX graph and talks through files (docs/training.md).

It has an environment of its own, because onnxruntime-training owns the module name `onnxruntime`; nothing imports it.
"""

__version__ = "0.1.0"
