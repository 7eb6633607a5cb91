from dataclasses import replace
from pathlib import Path

import pytest

from sparsebook_compressor import Report, compress
from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue, GateNotMet
from sparsebook_compressor.gates import missed
from sparsebook_compressor.report import Latency
from tests.e2e import models


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("gates")
    (folder / "tiny.onnx").write_bytes(models.small())
    config = Config.parse({"output": "portable", "budget": {"max_latency_ms": 1e6}})
    return compress(folder / "tiny.onnx", folder / "out", config)


def of(report: Report, ratio: float, median: float) -> Report:
    latency = Latency(median, median, median, 5)
    return replace(report, ratio=ratio, fidelity=replace(report.fidelity, latency=latency))


def budget(**gates: float) -> Config:
    return Config.parse({"budget": gates})


def test_a_gate_is_met_at_its_very_value(report: Report) -> None:
    found = of(report, 10.0, 5.0)
    assert missed(budget(min_ratio=10.0, max_latency_ms=5.0).budget, found) is None
    assert missed(Config().budget, found) is None


def test_what_is_missed_is_said(report: Report) -> None:
    found = missed(budget(min_ratio=10, max_latency_ms=5).budget, of(report, 9.9996, 5.01))
    assert isinstance(found, GateNotMet)
    assert "min_ratio 10: the artifact is 9.999 times smaller" in str(found)
    assert "max_latency_ms 5: an inference takes 5.01 ms (median of 5" in str(found)


def test_a_latency_that_nobody_knows_is_a_missed_gate(tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(models.small())
    config = budget(max_latency_ms=1e6)
    with pytest.raises(GateNotMet, match="nothing was measured: no operator library"):
        compress(tmp_path / "tiny.onnx", tmp_path / "out", config)
    assert (tmp_path / "out/model.onnx").exists()


def test_the_latency_is_in_the_report(report: Report) -> None:
    latency = report.fidelity.latency
    assert latency is not None
    assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("value", [0, -1, float("inf"), "9", True])
def test_gates_have_a_range(value: object) -> None:
    for gate in ("min_ratio", "max_latency_ms"):
        with pytest.raises(BadValue, match=f"budget.{gate}"):
            Config.parse({"budget": {gate: value}})
