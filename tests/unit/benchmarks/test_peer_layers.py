"""The benchmark that puts other engines beside the operators, with an engine that is ONNX Runtime again."""

import json
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from benchmarks import kernel_artifacts, peer_child, peer_layers
from benchmarks.kernel_layers import Dense
from sparsebook_runtime import library_path
from sparsebook_service.bench.result import Seconds

LAYER = Dense("tiny", 24, 16, 0.25, 4)


def row(engine: str, theirs: float, ours: float) -> dict[str, Any]:
    took = {"onnxruntime": 4.0, engine: theirs, "sparsebook": ours}
    timings = {name: Seconds.of([value]).model_dump() for name, value in took.items()}
    facts = {"section": "fc", "layer": "l", "shape": "s", "batch": 1, "engine": engine}
    return {**facts, "timings": timings}


def test_an_engine_is_measured_beside_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_artifacts, "KEPT", tmp_path / "kept")
    compressed = peer_layers._compressed(LAYER)
    files = {**peer_layers._files(compressed, tmp_path / "plain.onnx"), "shape": [2, 24]}
    assert onnx.load(files["plain"]).graph.node[0].op_type == "Gemm"
    order = {"engine": "same", "library": str(library_path()), "seed": 0, "seconds": 0.01}
    (tmp_path / "order.json").write_text(
        json.dumps({**order, "sweep": 1 << 16, "layer": files, "small": files})
    )
    monkeypatch.setitem(
        peer_child.ENGINES, "same", lambda path, x: ("9", peer_child._onnxruntime(path, x, None))
    )
    monkeypatch.setattr(
        sys, "argv", ["peer_child", str(tmp_path / "order.json"), str(tmp_path / "answer.json")]
    )
    peer_child.main()
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["version"] == "9"
    assert set(answer["seconds"]) == {"onnxruntime", "sparsebook", "same"}
    assert all(error < 1e-5 for error in answer["relative_errors"].values())
    assert all(took > 0 for seconds in answer["seconds"].values() for took in seconds)


def test_an_engine_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_layers, "python_of", lambda _: Path(sys.executable))
    found = peer_layers._ask({"engine": "nobody's"}, tmp_path)
    assert "KeyError" in found["error"]
    cells = peer_layers.cells({**row("x", 1.0, 1.0), **found})
    assert len(cells) == len(peer_layers.COLUMNS)
    (line,) = peer_layers.means([{**row("x", 1.0, 1.0), **found}])
    assert line == ("x", peer_layers.KINDS["fc"], "0", "", "1")


def test_the_means_are_of_what_ran() -> None:
    rows = [row("x", 2.0, 1.0), row("x", 8.0, 1.0), row("y", 1.0, 1.0)]
    kind = peer_layers.KINDS["fc"]
    assert peer_layers.means(rows) == [("x", kind, "2", "4.00x", ""), ("y", kind, "1", "1.00x", "")]
    assert peer_layers.cells(rows[0])[-3:] == ("2.00x", "4.00x", "2.00x")


def test_every_engine_has_its_environment() -> None:
    for engine in peer_layers.ENGINES:
        assert engine in peer_child.ENGINES
        assert Path(f"requirements/peer-{engine}.lock").exists()
        assert peer_layers.python_of(engine).parts[0] == f".venv-peer-{engine}"
