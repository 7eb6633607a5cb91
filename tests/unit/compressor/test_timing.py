"""How often models are called to be timed, and what a report says of it."""

from pathlib import Path

import pytest

from sparsebook_compressor import Config, Report, compress, measure, pipeline, timing
from sparsebook_compressor.errors import GateNotMet
from sparsebook_compressor.timing import Effort, in_turns
from sparsebook_runtime import library_path
from tests.e2e import models


def calls(effort: Effort) -> tuple[str, list[int]]:
    """Who was called, in the order of calls, and how many calls of each counted."""
    called: list[str] = []
    found = in_turns([lambda: called.append("a"), lambda: called.append("b")], effort)
    return "".join(called), [latency.calls for latency in found]


def test_models_take_turns() -> None:
    assert calls(Effort(0, 1, 3, 60.0, 60.0)) == ("ababab", [3, 3])


def test_first_calls_are_not_counted() -> None:
    assert calls(Effort(2, 1, 3, 60.0, 60.0)) == ("ababababab", [3, 3])


def test_without_time_the_fewest_are_made() -> None:
    assert calls(Effort(1, 4, 9, 0.0, 60.0)) == ("ab" * 5, [4, 4])


def test_a_model_that_takes_too_long_is_called_once_more() -> None:
    """Its call beside the first one counts, so that there is a figure."""
    assert calls(Effort(1, 4, 9, 0.0, 0.0)) == ("ab", [1, 1])


def test_quartiles() -> None:
    (found,) = in_turns([lambda: None], Effort(0, 5, 5, 0.0, 60.0))
    assert 0 < found.low_ms <= found.median_ms <= found.high_ms


def made(folder: Path, name: str, config: Config | None = None) -> Report:
    (folder / "tiny.onnx").write_bytes(models.small())
    return compress(folder / "tiny.onnx", folder / name, config, operator_library=library_path())


def test_every_report_has_the_latency_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counted(runs, effort):  # type: ignore[no-untyped-def]
        asked.append(len(runs))
        return timing.in_turns(runs, effort)

    monkeypatch.setattr(measure, "in_turns", counted)
    reports = [made(tmp_path, "together")]
    monkeypatch.setattr(measure, "MOST_TOGETHER", 0)
    reports.append(made(tmp_path, "one by one"))
    assert asked == [2, 1, 1]
    for report in reports:
        assert report.fidelity.latency is not None
        assert report.fidelity.latency_before is not None
        assert "not measured" not in (tmp_path / "together/report.html").read_text()
    # What is timed is no part of the artifact.
    first = (tmp_path / "together/model.onnx").read_bytes()
    assert first == (tmp_path / "one by one/model.onnx").read_bytes()


def test_what_is_run_in_parts_is_timed_for_a_gate_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "MOST_WHOLE", 100)
    monkeypatch.setattr(measure, "PART_BYTES", 5000)
    found = made(tmp_path, "parts")
    assert found.fidelity.parts > 1
    assert found.fidelity.latency is None
    assert "too large to be run whole beside a job" in (tmp_path / "parts/report.html").read_text()
    with pytest.raises(GateNotMet, match="an inference takes"):
        made(tmp_path, "gate", Config.parse({"budget": {"max_latency_ms": 1e-9}}))
