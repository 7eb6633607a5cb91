"""The report says which operators take each weight, and how it lies in memory where the artifact was verified."""

from pathlib import Path

import numpy as np

from sparsebook_compressor import Config, Report, compress
from sparsebook_runtime import library_path
from tests.unit.compressor.models import free, graph_of, model_of, node, value, values

WEIGHTS = {
    "product": values(64, 48),
    "kernel": values(16, 4, 3, 3),
    "depthwise": values(16, 1, 5, 5),
    "twice": values(48, 48),
}
# `twice` is multiplied by and added to; ONNX Runtime has the operator for the one, `Decode` gives floats for the other.
OPERATORS = {
    "product": ("MatMul",),
    "kernel": ("Conv",),
    "depthwise": ("Conv",),
    "twice": ("Decode", "MatMul"),
}


def model(folder: Path) -> Path:
    nodes = [
        node("MatMul", ["x", "product"], ["a"]),
        node("MatMul", ["a", "twice"], ["b"]),
        node("Add", ["b", "twice"], ["y"]),
        node("Conv", ["image", "kernel"], ["c"]),
        node("Conv", ["c", "depthwise"], ["z"], group=16),
    ]
    inputs = [value("x", [48, 64]), value("image", [1, 4, 12, 12])]
    outputs = [free("y", 2), free("z", 4)]
    path = folder / "model.onnx"
    path.write_bytes(model_of(graph_of(nodes, inputs, outputs, WEIGHTS)).SerializeToString())
    return path


def compressed(folder: Path, output: str, *, verify: bool) -> Report:
    config = Config.parse({"preset": "safe", "output": output})
    name = f"{output}-{verify}"
    return compress(
        model(folder), folder / name, config, operator_library=library_path(), verify=verify
    )


def test_operators_and_forms_are_told(tmp_path: Path) -> None:
    report = compressed(tmp_path, "operator", verify=True)
    assert {row.name: tuple(sorted(row.operators)) for row in report.weights} == OPERATORS
    forms = {row.name: row.form for row in report.weights}
    assert forms["depthwise"] == "taps"
    assert "dense" in forms["twice"].split(", ")
    assert len(forms["twice"].split(", ")) == 2
    assert set(forms["product"].split("+")) <= {"window", "floats", "block", "codes"}
    assert set(forms["kernel"].split("+")) <= {"block", "codes"}
    assert Report.from_json(report.to_json()) == report


def test_without_verification_nothing_is_said_of_forms(tmp_path: Path) -> None:
    report = compressed(tmp_path, "operator", verify=False)
    assert {row.name: tuple(sorted(row.operators)) for row in report.weights} == OPERATORS
    assert {row.form for row in report.weights} == {""}


def test_other_outputs_have_no_operators(tmp_path: Path) -> None:
    report = compressed(tmp_path, "portable", verify=True)
    assert {(row.operators, row.form) for row in report.weights} == {((), "")}


def test_reports_of_older_versions_are_read(tmp_path: Path) -> None:
    text = compressed(tmp_path, "portable", verify=False).to_json()
    lines = [
        line for line in text.splitlines() if '"operators"' not in line and '"form"' not in line
    ]
    older = "\n".join(lines)
    assert Report.from_json(older).weights == Report.from_json(text).weights
    assert np.isfinite(Report.from_json(older).ratio)
