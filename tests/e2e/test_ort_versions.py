"""The same artifacts in every ONNX Runtime that is promised: the newest, 1.23, and the training build of 1.19."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.inputs import MAGIKA, PPOCR_RECOGNITION, files, magika_features, text_lines
from sparsebook_compressor import Config, compress
from sparsebook_runtime import library_path

ENVIRONMENTS = {
    "newest": Path(sys.executable),
    "1.23": Path(".venv-ort-1.23/bin/python"),
    "1.19": Path(".venv-trainer/bin/python"),
}
# Only the standard library, NumPy and ONNX Runtime: what every environment has.
SCRIPT = """
import json, sys
import numpy as np, onnxruntime as ort
library, operator, dense, inputs = sys.argv[1:]
outputs = []
for path in (operator, dense):
    options = ort.SessionOptions()
    if path == operator:
        options.register_custom_ops_library(library)
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    samples = np.load(inputs)
    outputs.append(np.concatenate([session.run(None, {name: s[None]})[0] for s in samples]))
error = np.abs(outputs[0] - outputs[1]).max() / np.abs(outputs[1]).max()
print(json.dumps({"version": ort.__version__, "error": float(error)}))
"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path, Path]]:
    """Operator artifact, dense artifact and inputs of each model."""
    folder = tmp_path_factory.mktemp("bundles")
    cases = {
        "magika": (MAGIKA, magika_features(files(8))),
        "ppocr": (PPOCR_RECOGNITION, text_lines(4)[0]),
    }
    made = {}
    for name, (model, inputs) in cases.items():
        outputs = []
        for output in ("operator", "dense"):
            out = folder / f"{name}-{output}"
            compress(model, out, Config.parse({"preset": "paper", "output": output}), verify=False)
            outputs.append(out / "model.onnx")
        np.save(folder / f"{name}.npy", inputs)
        made[name] = (outputs[0], outputs[1], folder / f"{name}.npy")
    return made


@pytest.mark.parametrize("model", ["magika", "ppocr"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_operators_equal_dense_weights(
    environment: str, model: str, bundles: dict[str, tuple[Path, Path, Path]]
) -> None:
    python = ENVIRONMENTS[environment]
    assert python.exists(), f"{python} is missing: make .venv-ort-1.23 .venv-trainer"
    command = [str(python), "-c", SCRIPT, str(library_path()), *map(str, bundles[model])]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert environment == "newest" or found["version"].startswith(environment)
    assert found["error"] <= 1e-4
