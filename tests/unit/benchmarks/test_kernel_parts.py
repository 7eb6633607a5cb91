"""What the benchmark of kernels is made of, on layers of a few weights. No timing is held against anything."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from benchmarks import kernel_artifacts, kernel_decode, kernel_runs, kernel_whole
from benchmarks.contest import Entry, contest, sweeping
from benchmarks.kernel_bars import NEVER_SLOWER, Bar, Line, lines, summary
from benchmarks.kernel_layers import CONV, DENSE, QUICK_CONV, QUICK_DENSE, Conv, Dense
from benchmarks.kernel_runs import Conditions, conv_row, dense_rows
from benchmarks.lenets import LENETS
from sparsebook_service.bench.result import Seconds

CONDITIONS = Conditions(seconds=0.01, sweep=1 << 20)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_artifacts, "KEPT", tmp_path / "kept")


def test_a_contest_takes_turns_and_sweeps_before_every_call() -> None:
    calls: list[str] = []
    entries = {
        "a": Entry(lambda: calls.append("a"), lambda: calls.append("before a")),
        "b": Entry(lambda: calls.append("b")),
    }
    found = contest(entries, 0.0, sweep=lambda: calls.append("sweep"), least=3)
    assert calls[:2] == ["a", "b"]
    assert calls[2:7] == ["sweep", "before a", "a", "sweep", "b"]
    assert len(calls) == 2 + 3 * 5
    assert [len(seconds) for seconds in found.values()] == [3, 3]


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_a_fully_connected_layer_is_measured_against_both_forms_and_int8(op: str) -> None:
    layer = Dense("tiny", 40, 24, 0.25, 4, op)
    one, eight = dense_rows(layer, (1, 8), CONDITIONS)
    assert set(one["evicted"]) == set(one["warm"]) == {"gemm", "matmul", "sparse", "int8"}
    assert set(eight["warm"]) == {"gemm", "matmul", "sparse"}
    for row in (one, eight):
        assert row["relative_error"] < 1e-5
        assert all(np.isfinite(timing["median"]) for timing in row["evicted"].values())
    assert len(list(lines([one, eight]))) == 3


@pytest.mark.parametrize(
    "layer",
    [
        Conv("tiny", 8, 7, 8, 3, 0.30, 4),
        Conv("tiny", 8, 9, 16, 5, 0.20, 4, group=2),
        Conv("tiny", 8, 7, 16, 3, 0.30, 4, stride=2),
    ],
    ids=lambda layer: layer.shape,
)
def test_a_convolution_is_measured_in_every_layout_that_it_can_have(layer: Conv) -> None:
    row = conv_row(layer, CONDITIONS)
    assert set(row["warm"]) == {"nchw", "nchwc", "sparse"}
    assert ("chained" in row) == layer.chains
    assert set(row.get("chained", ())) in (set(), {"nchwc", "sparse"})


def test_of_both_ways_to_measure_a_convolution_the_worse_one_is_judged() -> None:
    row = {
        "section": "conv",
        "layer": "tiny",
        "shape": "8-8 3x3@7",
        "density": 0.3,
        "warm": {
            name: _seconds(value) for name, value in (("nchw", 4), ("nchwc", 3), ("sparse", 1))
        },
        "chained": {name: _seconds(value) for name, value in (("nchwc", 2), ("sparse", 1))},
    }
    alone, chained, mean = lines([row])
    assert (alone.seen, alone.bar) == (3, None)
    assert chained.seen == mean.seen == pytest.approx(2)
    assert chained.bar is not None


def _seconds(value: float) -> dict[str, float]:
    return {"median": value, "low": value, "high": value, "calls": 9}


def test_a_tiny_convolution_gives_what_plain_floats_give() -> None:
    row = conv_row(Conv("tiny", 8, 7, 8, 3, 0.30, 4), CONDITIONS)
    assert row["relative_error"] < 1e-5


def test_models_behind_decode_give_what_plain_floats_give() -> None:
    steps = np.ones((3, 1, 8), np.float32)
    lstm = kernel_decode.lstm(3, 8, 16)
    running = ort.InferenceSession(lstm.SerializeToString(), providers=["CPUExecutionProvider"])
    assert running.run(None, {"x": steps})[0].shape == (3, 1, 1, 16)
    settings = kernel_runs.layer_settings(0.3, 4)
    path = kernel_artifacts.artifact("lstm", lambda: lstm, settings)
    feed = {"x": steps}
    ours = kernel_runs.Bound.of(kernel_runs.session(path.read_bytes(), 1), feed)
    theirs = kernel_runs.Bound.of(kernel_runs.session(kernel_artifacts.plain(path), 1), feed)
    ours.run()
    theirs.run()
    assert kernel_runs.difference(ours.y, theirs.y) < 1e-5
    assert kernel_artifacts.artifact("lstm", lambda: lstm, settings) == path


def test_nets_that_were_trained_are_measured_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_whole, "RUNS", tmp_path)
    monkeypatch.setattr(kernel_whole, "REAL", {"absent": tmp_path / "absent.onnx"})
    assert list(kernel_whole.trained_pairs()) == []
    made = kernel_artifacts.artifact_of(LENETS["lenet-300-100"].trained, {"preset": "paper"})
    (tmp_path / "lenet-300-100-key").mkdir()
    made.rename(tmp_path / "lenet-300-100-key/model.onnx")
    ((name, original, artifact),) = kernel_whole.trained_pairs()
    row = kernel_whole.latency_row(name, original, artifact, 8, CONDITIONS)
    assert row["relative_error"] < 1e-5
    (line,) = lines([row])
    assert (line.what, line.how) == ("lenet-300-100, trained", "whole, batch 8")


def test_the_layers_are_those_of_the_paper_and_of_resnet() -> None:
    assert {layer.name for layer in DENSE} >= {"alexnet fc6", "vgg16 fc6", "transformer 50%"}
    assert len({(layer.name, layer.density) for layer in (*DENSE, *CONV)}) == len(DENSE) + len(CONV)
    assert set(QUICK_DENSE) < set(DENSE)
    assert set(QUICK_CONV) < set(CONV)
    assert QUICK_DENSE
    assert QUICK_CONV


def test_a_line_says_whether_its_bar_is_met() -> None:
    seen = ((0.9, NEVER_SLOWER), (0.96, NEVER_SLOWER), (9.0, Bar(6, 9)), (1.0, None))
    table = [Line("w", "h", "1", "2", times, bar) for times, bar in seen]
    assert [line.verdict for line in table] == ["MISSED", "met", "aim", ""]
    assert summary(table) == "of 3 bars 2 are met, 1 of them at what was aimed for"


def test_convolutions_are_judged_together_as_well() -> None:
    rows = [
        {
            "section": "conv",
            "layer": "c",
            "shape": "s",
            "density": density,
            "warm": {
                name: Seconds.of([took]).model_dump()
                for name, took in (("nchw", 4.0), ("sparse", ours))
            },
        }
        for density, ours in ((0.20, 1.0), (0.30, 1.0), (0.38, 4.0))
    ]
    *_, upper, lower = lines(rows)
    assert (upper.how, upper.seen) == ("30-38%, geometric mean of 2", pytest.approx(2.0))
    assert (lower.how, lower.seen) == ("20%, geometric mean of 1", pytest.approx(4.0))


def test_a_sweep_is_at_least_64_mebibytes_unless_asked() -> None:
    assert 64 << 20 <= kernel_runs.sweep_bytes(None) <= 1 << 30
    assert kernel_runs.sweep_bytes(3) == 3 << 20
    assert sweeping(1 << 12)() == 1 << 9
