"""The comparison of peers: bytes at the same fidelity, means over models, and the quick run on a tiny model from end to end."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import peer_verdicts, peers, results
from benchmarks.peer_curves import Against, Point, against, delta_rate, front, overall, worst
from benchmarks.peer_layers import python_of
from benchmarks.peer_others import QUANTISERS
from benchmarks.peer_rows import OURS, PEER, Made, Row, relative_error

CURVE = [Point(1000, 0.01), Point(100, 0.1)]


def test_a_peer_between_two_of_ours_is_read_off_in_logarithms() -> None:
    found = against(CURVE, Point(632, math.sqrt(0.01 * 0.1)))
    assert found.where == "inside"
    assert found.ratio == pytest.approx(math.sqrt(1000 * 100) / 632)
    assert against(CURVE, Point(500, 0.01)) == Against("inside", 2.0)
    assert against(CURVE, Point(500, 0.1)) == Against("inside", 0.2)


def test_a_peer_beyond_our_curve_is_bounded_and_a_closer_one_is_not_judged() -> None:
    assert against(CURVE, Point(200, 0.5)) == Against("bound", 0.5)
    assert against(CURVE, Point(200, 0.001)) == Against("outside", None)
    assert against([], Point(200, 0.001)) == Against("outside", None)


def test_curves_are_compared_over_the_errors_that_both_reach() -> None:
    half = [Point(500, 0.01), Point(50, 0.1)]
    assert delta_rate(half, CURVE) == pytest.approx(0.5)
    assert delta_rate(half, [*CURVE, Point(10, 10.0), Point(5000, 0.001)]) == pytest.approx(0.5)
    assert delta_rate(half, [Point(20, 0.2), Point(10, 0.4)]) is None
    assert delta_rate(half, [Point(20, 0.05)]) is None
    # From a half of theirs to as many: the square root of a half in the middle of the logarithms.
    assert delta_rate([Point(500, 0.01), Point(100, 0.1)], CURVE) == pytest.approx(math.sqrt(0.5))
    # Theirs has a corner in the middle, where it needs a tenth; ours is straight.
    bent = [Point(1000, 0.01), Point(32, math.sqrt(0.001)), Point(10, 0.1)]
    parts = [math.log(1), math.log(1000 / math.sqrt(10) / 32), math.log(100 / 10)]
    mean = (parts[0] + parts[1]) / 4 + (parts[1] + parts[2]) / 4
    assert delta_rate(CURVE, bent) == pytest.approx(math.exp(mean))


def test_the_best_peer_along_the_curves_is_the_best_at_every_error() -> None:
    def row(who: str, kind: str, point: Point) -> Row:
        return Row("m", "f", who, "", kind, bytes=point.bytes, error=point.error)

    rows = [row("Sparsebook", OURS, point) for point in CURVE]
    rows += [row("a", PEER, Point(2000, 0.01)), row("b", PEER, Point(400, 0.1))]
    assert peer_verdicts.delta_rates(rows) == {"the best peer": pytest.approx(math.sqrt(1 / 8))}


def test_what_is_larger_and_further_off_is_no_part_of_the_curve() -> None:
    beaten = [Point(1200, 0.02), Point(1000, 0.05), Point(90, 0.0)]
    assert front([*CURVE, *beaten]) == CURVE


def test_the_best_peer_is_where_we_need_most() -> None:
    several = [Against("inside", 0.5), Against("bound", 0.9), Against("outside", None)]
    assert worst(several) == Against("bound", 0.9)
    assert worst(several[2:]) == Against("outside", None)


def test_a_family_counts_once() -> None:
    families = {
        "pair": [Against("inside", 0.25), Against("inside", 1.0)],
        "one": [Against("inside", 2.0)],
        "none": [Against("outside", None)],
    }
    mean, count = overall(families)
    assert (mean, count) == (pytest.approx(1.0), 2)
    assert overall({"none": [Against("outside", None)]}) == (None, 0)


def test_the_error_is_of_outputs_of_floats_each_counting_alike() -> None:
    ids = np.array([1, 2])
    large, small = np.full(4, 100.0, np.float32), np.full(2, 0.01, np.float32)
    expected = [[ids, large, small]]
    assert relative_error(expected, expected) == 0
    assert relative_error(expected, [[ids + 1, large, 0 * small]]) == pytest.approx(math.sqrt(0.5))
    with pytest.raises(ValueError, match="other shapes"):
        relative_error(expected, [[ids, large[:2], small]])


def test_verdicts_are_against_the_best_setting_of_each_peer() -> None:
    def row(who: str, kind: str, size: int, error: float) -> Row:
        return Row("m", "f", who, "", kind, bytes=size, error=error)

    rows = [row("Sparsebook", OURS, point.bytes, point.error) for point in CURVE]
    rows += [row("a", PEER, 2000, 0.01), row("a", PEER, 125, 0.1), row("b", PEER, 400, 0.1)]
    found = {line[0]: (line[1], line[3]) for line in peer_verdicts.verdicts(rows)}
    assert found == {"the best peer": ("1", "0.800"), "a": ("1", "0.800"), "b": ("1", "0.250")}
    rows += [row("a", PEER, 2000, 0.001), row("c", PEER, 100, 0.5), row("c", PEER, 1, 0.001)]
    counts = {line[0]: line[-2:] for line in peer_verdicts.verdicts(rows)}
    assert counts == {"the best peer": ("1", "2"), "a": ("", "1"), "b": ("", ""), "c": ("1", "1")}


def test_the_quick_run_goes_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "tiny.onnx"
    onnx.save(_tiny(), model)
    monkeypatch.setattr(results, "FOLDER", tmp_path / "out")
    monkeypatch.setattr(peers, "FOLDER", tmp_path / "out")
    monkeypatch.setattr("benchmarks.peer_plot.FOLDER", tmp_path / "out")
    asked = ["peers", "--quick", "--model", str(model), "--samples", "8", "4", "4"]
    monkeypatch.setattr(sys, "argv", [*asked, "--seconds", "0.05"])
    peers.main()
    written = json.loads((tmp_path / "out/peers-quick.json").read_text())
    rows = {(row["who"], row["setting"]): row for row in written["results"]}
    original = rows["original", "made"]
    assert (original["bytes"], original["error"]) == (model.stat().st_size, 0.0)
    for way in ("safe", "paper, no data", "small 0.05"):
        huffman, context = (rows["Sparsebook", f"{way}, {c}"] for c in ("huffman", "context"))
        assert huffman["error"] == context["error"] > 0
        assert huffman["milliseconds"] > 0
        ours = f"our {way.split(',')[0]}"
        assert rows["zstd -19", ours]["error"] == pytest.approx(huffman["error"], rel=1e-4)
        coo = rows["COO sparse_initializer", ours]
        assert coo["error"] == pytest.approx(huffman["error"], rel=1e-4)
        assert (coo["bytes"] < original["bytes"] / 2) == way.startswith("paper")
    for kind in QUANTISERS:
        assert rows["ONNX Runtime", kind]["failure"] is None, rows["ONNX Runtime", kind]
        assert 0 < rows["ONNX Runtime", kind]["error"] < 0.5
    assert written["versions"]
    assert (tmp_path / "out/peers-quick.svg").stat().st_size > 1000
    assert "tiny" in capsys.readouterr().out
    # What is kept is not measured again.
    monkeypatch.setattr(peers, "measure", lambda *_: pytest.fail("measured again"))
    peers.main()


def test_a_file_that_does_not_open_says_why(tmp_path: Path) -> None:
    model, broken = tmp_path / "tiny.onnx", tmp_path / "broken.onnx"
    onnx.save(_tiny(), model)
    broken.write_bytes(b"no model")
    row = Row("tiny", "tiny", "x", "", PEER, bytes=8)
    x = np.ones((2, 64), np.float32)
    files = [Made(row, model), Made(row, broken)]
    (first, second), _ = peers.run_all(files, {"x": x}, 0.01)
    assert first.error == 0
    assert second.error is None
    assert second.failure


def test_every_peer_has_a_lock() -> None:
    for name in ("ort", "nncf", "nncodec", "zipnn", "deepsparse"):
        assert Path(f"requirements/peer-{name}.lock").exists()
        assert python_of(name).parts[0] == f".venv-peer-{name}"


def _tiny() -> onnx.ModelProto:
    """Two layers, 64 to 48 to 16."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("w", (64, 48)), ("v", (48, 16)))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])
    graph = helper.make_graph(nodes, "tiny", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
