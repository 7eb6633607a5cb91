"""The same artifacts in every ONNX Runtime that is promised: the newest, 1.24, 1.23, and the training build of 1.19."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sparsebook_runtime
from benchmarks.inputs import MAGIKA, PPOCR_RECOGNITION, files, magika_features, text_lines
from sparsebook_compressor import Config, compress
from sparsebook_runtime import library_path
from tests.e2e import models

ENVIRONMENTS = {
    "newest": Path(sys.executable),
    "1.24": Path(".venv-ort-1.24/bin/python"),
    "1.23": Path(".venv-ort-1.23/bin/python"),
    "1.19": Path(".venv-trainer/bin/python"),
}
# The library's doors, and the ONNX Runtimes that have them.
DOORS = {"operators": ENVIRONMENTS, "provider": ("newest", "1.24")}
# Only the standard library, NumPy and ONNX Runtime: what every environment has.
SCRIPT = """
import json, sys
import numpy as np, onnxruntime as ort
library, door, operator, dense, inputs = sys.argv[1:]
outputs = []
for path in (operator, dense):
    options = ort.SessionOptions()
    if path == operator and door == "operators":
        for _ in range(2):  # the second time does nothing
            options.register_custom_ops_library(library)
    if path == operator and door == "provider":
        ort.register_execution_provider_library("sparsebook", library)
        devices = [d for d in ort.get_ep_devices() if d.ep_name.startswith("Sparsebook")]
        options.add_provider_for_devices(devices, {})
        session = ort.InferenceSession(path, options)
        assert session.get_providers() == ["SparsebookExecutionProvider", "CPUExecutionProvider"]
    else:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    samples = np.load(inputs)
    outputs.append(np.concatenate([session.run(None, {name: s[None]})[0] for s in samples]))
error = np.abs(outputs[0] - outputs[1]).max() / np.abs(outputs[1]).max()
print(json.dumps({"version": ort.__version__, "error": float(error)}))
"""
# The package's own file, since only the newest environment has it installed.
PACKAGE = """
import importlib.util, sys
import onnxruntime as ort
spec = importlib.util.spec_from_file_location("sparsebook_runtime", sys.argv[1])
package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
options = ort.SessionOptions()
package.register(options)
package.register(options)
try:
    print("provider", len(package.register_execution_provider()))
except RuntimeError as error:
    print(error)
if hasattr(ort, "register_execution_provider_library"):
    try:
        ort.register_execution_provider_library("again", str(package.library_path()))
    except Exception as error:
        print(error)
"""


def run_in(environment: str, *arguments: str) -> str:
    python = ENVIRONMENTS[environment]
    assert python.exists(), f"{python} is missing: make .venv-ort-1.24 .venv-ort-1.23 .venv-trainer"
    done = subprocess.run(
        [str(python), "-c", *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path, Path]]:
    """Operator artifact, dense artifact and inputs of each model."""
    folder = tmp_path_factory.mktemp("bundles")
    layers = folder / "recurrent.onnx"
    layers.write_bytes(models.recurrent().SerializeToString())
    steps = np.random.default_rng(1).standard_normal((3, 15, 20)).astype(np.float32)
    cases = {
        "recurrent": (layers, steps),
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


@pytest.mark.parametrize("model", ["magika", "ppocr", "recurrent"])
@pytest.mark.parametrize(
    ("environment", "door"),
    [(environment, door) for door, known in DOORS.items() for environment in known],
)
def test_operators_equal_dense_weights(
    environment: str, door: str, model: str, bundles: dict[str, tuple[Path, Path, Path]]
) -> None:
    arguments = [SCRIPT, str(library_path()), door, *map(str, bundles[model])]
    found = json.loads(run_in(environment, *arguments))
    assert environment == "newest" or found["version"].startswith(environment)
    assert found["error"] <= 1e-4


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_a_version_says_of_the_execution_provider(environment: str) -> None:
    said = run_in(environment, PACKAGE, sparsebook_runtime.__file__)
    if environment in DOORS["provider"]:
        assert said == "provider 1\n"
        return
    assert "needs ONNX Runtime 1.24 or newer, this is " + environment in said
    assert "call sparsebook_runtime.register(session_options)" in said
    if environment == "1.23":  # which can be given the library, and is told the same by it
        assert re.search(
            "sparsebook: the execution provider .* this is 1.23.*custom operators", said
        )
