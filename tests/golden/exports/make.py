"""Writes the exports beside this file: the same small nets out of every framework, as its own exporter writes them.

    .venv-exporters/bin/python tests/golden/exports/make.py [--into FOLDER] [FRAMEWORK …]

It runs in an environment of its own (requirements/exporters.in) and imports nothing of Sparsebook. An export that lies here is not
written again; `make exporters-test` writes all of them into another folder and runs the tests on those.

The nets: `mlp` 20-48-32-5; `cnn` two convolutions, one of them depthwise, and a product; `lstm` 12-24 with a product behind;
`transformer` a table of words and one encoder layer. scikit-learn has the first alone, and others whose weights are matrices.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
SEED = 0
OPSET = 17


def sklearn() -> dict[str, bytes]:
    import sklearn
    from skl2onnx import to_onnx
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((400, 20)).astype(np.float32)
    labels = (x[:, :5] + 0.3 * rng.standard_normal((400, 5))).argmax(axis=1)
    y = np.tanh(x @ rng.standard_normal((20, 8))).astype(np.float32)
    wide = rng.standard_normal((400, 60)).astype(np.float32)
    hidden = {"hidden_layer_sizes": (48, 32), "max_iter": 20, "random_state": SEED}
    made = {
        "mlp": MLPClassifier(**hidden).fit(x, labels),
        "mlp-regressor": MLPRegressor(**hidden).fit(x, y),
        "pipeline": make_pipeline(
            StandardScaler(), PCA(40, random_state=SEED), LogisticRegression(max_iter=50)
        ).fit(wide, labels),
    }
    VERSIONS["scikit-learn"] = sklearn.__version__
    samples = {"pipeline": wide}
    return {
        name: to_onnx(
            each, samples.get(name, x)[:1], target_opset=OPSET, options=_plain(each)
        ).SerializeToString()
        for name, each in made.items()
    }


def _plain(estimator: object) -> dict[int, dict[str, bool]] | None:
    """Probabilities as an array, not as a list of maps."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    return {id(last): {"zipmap": False}} if hasattr(last, "predict_proba") else None


def torch() -> dict[str, bytes]:
    import torch
    from torch import nn

    torch.manual_seed(SEED)

    class Last(nn.Module):
        """A recurrent layer, and a product of its last step."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(12, 24, batch_first=True)
            self.head = nn.Linear(24, 5)

        def forward(self, x: "torch.Tensor") -> "torch.Tensor":
            return self.head(self.layer(x)[0][:, -1])

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(60, 24)
            self.layer = nn.TransformerEncoderLayer(24, 4, 48, dropout=0.0, batch_first=True)

        def forward(self, ids: "torch.Tensor") -> "torch.Tensor":
            return self.layer(self.table(ids)) @ self.table.weight.T

    nets = {
        "mlp": (
            nn.Sequential(
                nn.Linear(20, 48), nn.ReLU(), nn.Linear(48, 32), nn.GELU(), nn.Linear(32, 5)
            ),
            torch.randn(2, 20),
        ),
        "cnn": (
            nn.Sequential(
                nn.Conv2d(3, 16, 3, padding=1),
                nn.BatchNorm2d(16),
                nn.ReLU6(),
                nn.Conv2d(16, 16, 5, groups=16),
                nn.Hardswish(),
                nn.ConvTranspose2d(16, 8, 4, stride=2),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(8, 24),
            ),
            torch.randn(2, 3, 12, 12),
        ),
        "lstm": (Last(), torch.randn(2, 7, 12)),
        "transformer": (Words(), torch.randint(0, 60, (2, 7))),
    }
    VERSIONS["torch"] = torch.__version__
    made = {}
    for name, (net, sample) in nets.items():
        for way, dynamo in (("", True), ("-script", False)):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                options = {"external_data": False} if dynamo else {"opset_version": OPSET}
                torch.onnx.export(net.eval(), (sample,), str(path), dynamo=dynamo, **options)
                made[name + way] = _without_traces(path)
    return made


def _without_traces(path: Path) -> bytes:
    """An export without the places in source files from where its nodes come: they name folders of the machine."""
    import onnx

    model = onnx.load(path)
    for holder in (model.graph, *model.functions):
        for node in holder.node:
            node.doc_string = ""
            del node.metadata_props[:]
    return model.SerializeToString()


def tensorflow() -> dict[str, bytes]:
    import tensorflow as tf
    import tf2onnx

    tf.keras.utils.set_random_seed(SEED)
    layers = tf.keras.layers
    nets = {
        "mlp": [
            tf.keras.Input((20,)),
            layers.Dense(48, activation="relu"),
            # tf2onnx writes gelu with an op Erfc, which neither ONNX nor ONNX Runtime has.
            layers.Dense(32, activation="swish"),
            layers.Dense(5),
        ],
        "cnn": [
            tf.keras.Input((12, 12, 3)),
            layers.Conv2D(16, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(5),
            layers.Conv2DTranspose(8, 4, strides=2),
            layers.GlobalAveragePooling2D(),
            layers.Dense(24),
        ],
        "lstm": [tf.keras.Input((7, 12)), layers.LSTM(24), layers.Dense(5)],
    }
    VERSIONS.update({"tensorflow": tf.__version__, "tf2onnx": tf2onnx.__version__})
    made = {}
    for name, parts in nets.items():
        net = tf.keras.Sequential(parts)
        call = tf.function(lambda x, net=net: net(x, training=False))
        kind = [tf.TensorSpec((None, *net.input_shape[1:]), tf.float32, name="x")]
        model, _ = tf2onnx.convert.from_function(call, kind, opset=OPSET)
        made[name] = model.SerializeToString()
    return made


def paddle() -> dict[str, bytes]:
    import paddle
    from paddle import nn

    paddle.seed(SEED)

    class Last(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(12, 24)
            self.head = nn.Linear(24, 5)

        def forward(self, x: "paddle.Tensor") -> "paddle.Tensor":
            return self.head(self.layer(x)[0][:, -1])

    nets = {
        "mlp": (
            nn.Sequential(
                nn.Linear(20, 48), nn.ReLU(), nn.Linear(48, 32), nn.GELU(), nn.Linear(32, 5)
            ),
            [None, 20],
        ),
        "cnn": (
            nn.Sequential(
                nn.Conv2D(3, 16, 3, padding=1),
                nn.BatchNorm2D(16),
                nn.ReLU6(),
                nn.Conv2D(16, 16, 5, groups=16),
                nn.Hardswish(),
                nn.Conv2DTranspose(16, 8, 4, stride=2),
                nn.AdaptiveAvgPool2D(1),
                nn.Flatten(),
                nn.Linear(8, 24),
            ),
            [None, 3, 12, 12],
        ),
        "lstm": (Last(), [None, 7, 12]),
    }
    VERSIONS["paddlepaddle"] = paddle.__version__
    made = {}
    for name, (net, shape) in nets.items():
        net.eval()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            kind = [paddle.static.InputSpec(shape, "float32", "x")]
            paddle.onnx.export(net, str(path), input_spec=kind, opset_version=OPSET)
            made[name] = path.with_suffix(".onnx").read_bytes()
    return made


VERSIONS: dict[str, str] = {}
FRAMEWORKS: dict[str, Callable[[], dict[str, bytes]]] = {
    "sklearn": sklearn,
    "torch": torch,
    "tensorflow": tensorflow,
    "paddle": paddle,
}


def main() -> None:
    """Write what is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("frameworks", nargs="*", metavar="FRAMEWORK", help=", ".join(FRAMEWORKS))
    parser.add_argument("--into", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    if not arguments.frameworks:  # they do not all bear each other in one process
        for framework in FRAMEWORKS:
            command = [sys.executable, __file__, framework, "--into", str(arguments.into)]
            subprocess.run(command, check=True)
        return
    arguments.into.mkdir(parents=True, exist_ok=True)
    manifest = arguments.into / "manifest.json"
    known = json.loads(manifest.read_text()) if manifest.exists() else {}
    for framework in arguments.frameworks:
        VERSIONS.clear()
        for name, data in FRAMEWORKS[framework]().items():
            path = arguments.into / f"{framework}-{name}.onnx"
            if not path.exists():
                path.write_bytes(data)
                known[path.name] = dict(VERSIONS)
                print(path.name, len(data))
    manifest.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
