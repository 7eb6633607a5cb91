"""Run in the newcomer's own environment: a classifier of scikit-learn's digits as model.onnx, trained on as new.onnx, and a sample."""

from pathlib import Path

import numpy
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

digits = load_digits()
x, labels = (digits.data / 16).astype("float32"), digits.target
model = MLPClassifier((256, 128), random_state=0)
for name, rows in (("model.onnx", slice(0, 1200)), ("new.onnx", slice(1200, None))):
    for _ in range(20):
        model.partial_fit(x[rows], labels[rows], classes=range(10))
    exported = to_onnx(model, x[:1], options={"zipmap": False})
    Path(name).write_bytes(exported.SerializeToString())
numpy.save("sample.npy", x[:1])
