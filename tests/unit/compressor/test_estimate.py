"""An estimate in seconds is near what a compression comes to."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsebook_compressor import Config, compress, estimate
from tests.unit.compressor.models import free, graph_of, model_of, node, value


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights larger than a sample, of unlike sizes; one is left alone."""
    rng = np.random.default_rng(0)
    constants = {
        "w1": rng.standard_t(4, (300, 900)).astype(np.float32),
        "w2": (rng.standard_normal((900, 200)) / 9).astype(np.float32),
        "w3": rng.standard_normal((200, 40)).astype(np.float32),
        "bias": rng.standard_normal(40).astype(np.float32),
    }
    nodes = [
        node("MatMul", ["x", "w1"], ["a"]),
        node("MatMul", ["a", "w2"], ["b"]),
        node("Gemm", ["b", "w3", "bias"], ["y"]),
    ]
    graph = graph_of(nodes, [value("x", ["n", 300])], [free("y", 2)], constants)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    return path


CONFIGS: dict[str, dict[str, Any]] = {
    "safe": {},
    "paper": {"preset": "paper"},
    "context": {"preset": "paper", "codec": "context"},
    "auto": {"codec": "auto"},
    "portable": {"preset": "paper", "output": "portable"},
    "portable safe": {"output": "portable"},
    "dense": {"preset": "paper", "output": "dense"},
    "threshold": {"weights": {"*": {"threshold": 1.0, "bits": 4}}},
    "global": {"preset": "paper", "prune": {"scope": "global"}},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_bytes_are_near_those_of_the_artifact(name: str, model: Path, tmp_path: Path) -> None:
    config = Config.parse(CONFIGS[name])
    found = estimate(model, config)
    report = compress(model, tmp_path / "out", config, verify=False)
    assert found.input == report.input
    assert found.bytes_before == report.input.bytes
    assert found.bytes_expected == pytest.approx(report.artifact.bytes, rel=0.05, abs=2500)
    assert found.ratio == found.bytes_before / found.bytes_expected
    assert [row.name for row in found.rows] == [row.name for row in report.weights]
    for guess, row in zip(found.rows, report.weights, strict=True):
        assert (guess.shape, guess.role, guess.elements) == (row.shape, row.role, row.elements)
        assert guess.bytes_before == row.bytes_before
        assert guess.density == pytest.approx(row.density, rel=0.1, abs=0.01)
        assert guess.relative_error == pytest.approx(row.relative_error, rel=0.15, abs=0.003)
    assert [(row.name, row.reason) for row in found.kept] == [
        (row.name, row.reason) for row in report.kept
    ]


def test_nothing_is_written(model: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in model.parent.iterdir()}
    estimate(model)
    assert {file.name: file.stat().st_mtime_ns for file in model.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("weights", "risk"),
    [
        ({}, "low"),
        ({"*": {"density": 0.7, "bits": 5}}, "medium"),
        ({"w2": {"density": 0.05, "bits": 2}}, "high"),
    ],
)
def test_the_risk_follows_the_largest_error(
    weights: dict[str, Any], risk: str, model: Path
) -> None:
    found = estimate(model, Config.parse({"weights": weights}))
    assert found.risk == risk
    worst = max(found.rows, key=lambda row: row.relative_error)
    assert f"({worst.name})" in found.why


def test_the_same_estimate_twice(model: Path) -> None:
    config = Config.parse({"preset": "paper", "share": {"init": "random"}, "seed": 4})
    assert estimate(model, config) == estimate(model, config)


def test_contexts_of_rows_are_seen(tmp_path: Path) -> None:
    """Rows of unlike density, which Huffman's codec does not tell apart: an estimate knows what the other codec makes of them."""
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((600, 300)).astype(np.float32)
    weight[::2] *= 0.05
    nodes = [node("MatMul", ["x", "w"], ["y"])]
    graph = graph_of(nodes, [value("x", ["n", 600])], [free("y", 2)], {"w": weight})
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    weights = {"*": {"density": 0.1, "bits": 4}}
    plain = estimate(path, Config.parse({"weights": weights}))
    config = Config.parse({"weights": weights, "codec": "context"})
    found = estimate(path, config)
    report = compress(path, tmp_path / "out", config, verify=False)
    assert found.bytes_expected < 0.96 * plain.bytes_expected
    assert found.bytes_expected == pytest.approx(report.artifact.bytes, rel=0.05)
