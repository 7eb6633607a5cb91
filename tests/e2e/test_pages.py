"""What a newcomer pastes from README.md and docs/tuning.md does what the page says."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from sparsebook_compressor import TuningReport
from tests.e2e import models
from tests.e2e.commands import Cli

ROOT = Path(__file__).parents[2]
BASELINE = ROOT / "benchmarks/baselines/lenet-300-100.onnx"


def script(page: str, begins: str, ends: str) -> str:
    """The lines between two lines of a page."""
    found = re.search(
        rf"^{re.escape(begins)}\n(.*?)^{re.escape(ends)}$", (ROOT / page).read_text(), re.M | re.S
    )
    assert found is not None
    return found[1]


def test_the_walk_through_of_the_readme(cli: Cli) -> None:
    (cli.folder / ".models").symlink_to(ROOT / ".models")
    code = script("README.md", ".venv/bin/python - <<'END'", "END")
    subprocess.run([sys.executable, "-c", code], check=True)
    with np.load("data.npz") as data:
        assert {name: data[name].shape for name in data} == {
            "image": (5000, 784),
            "labels": (5000,),
        }
    assert cli("compress", BASELINE, "--preset", "paper", "-o", "plain").status == 0
    tuned = cli("tune", "plain/model.onnx", "--data", "data.npz", "-o", "tuned", "--json")
    report = TuningReport.from_json(tuned.out)
    text = (ROOT / "README.md").read_text()
    promised = re.search(r"([\d.]+)% of the test part\n.* later: ([\d.]+)%, no larger", text)
    assert promised is not None
    # Other processors round otherwise.
    found = [100 * (metric or 0) for metric in (report.metric_before, report.metric_after)]
    assert found == pytest.approx([float(figure) for figure in promised.groups()], abs=2)


def test_tuning_from_python(cli: Cli) -> None:
    assert cli("compress", "tiny.onnx", "--preset", "paper", "-o", "bundle").status == 0
    inputs = models.samples(300)
    (scores,) = onnxruntime.InferenceSession("tiny.onnx").run(None, inputs)
    np.savez("data.npz", **inputs, labels=np.argmax(scores, axis=-1))
    code = script("docs/tuning.md", "```python", "```")
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, after = map(float, said.stdout.split())
    assert 0 <= before <= after <= 1
    assert (cli.folder / "tuned/model.onnx").is_file()
