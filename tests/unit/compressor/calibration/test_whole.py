"""Calibration from file to bundle: what is reached, what is reported, and what is refused."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from sparsebook_compressor import Config, Report, compress
from sparsebook_compressor.calibration import course
from sparsebook_compressor.coding import Coded
from sparsebook_compressor.config import Output
from sparsebook_compressor.errors import BadData, BadValue, BudgetNotMet
from sparsebook_compressor.rewrite.halves import ROUNDING
from sparsebook_runtime import library_path
from tests.unit.compressor.kinds.families import FAMILIES
from tests.unit.compressor.models import free, graph_of, model_of, node, value

IN, HIDDEN, OUT = 48, 96, 64


def mixed(rng: np.random.Generator, count: int) -> np.ndarray:
    """Inputs that move together, as real ones do: eight sources and a little noise, off zero."""
    sources = np.random.default_rng(9).standard_normal((8, IN))
    found = rng.standard_normal((count, 8)) @ sources + 0.1 * rng.standard_normal((count, IN))
    return (found + 0.5).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dense layers; the first has a bias behind it, the second is a Gemm with one."""
    rng = np.random.default_rng(0)
    constants = {
        "w1": rng.standard_normal((IN, HIDDEN)).astype(np.float32) / 7,
        "b1": rng.standard_normal(HIDDEN).astype(np.float32),
        "w2": rng.standard_normal((OUT, HIDDEN)).astype(np.float32) / 10,
        "b2": rng.standard_normal(OUT).astype(np.float32),
    }
    nodes = [
        node("MatMul", ["x", "w1"], ["m"]),
        node("Add", ["m", "b1"], ["a"]),
        node("Relu", ["a"], ["h"]),
        node("Gemm", ["h", "w2", "b2"], ["y"], transB=1),
    ]
    graph = graph_of(nodes, [value("x", ["n", IN])], [free("y", 2)], constants)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, x=mixed(rng, 256), eval_x=mixed(rng, 64), test_x=mixed(rng, 64))
    return path


def small(model: Path, out: Path, data: Path | None, **raw: Any) -> Report:
    config = Config.parse({"preset": "small", **raw})
    return compress(model, out, config, data=data, operator_library=library_path())


def test_it_meets_its_budget_on_samples_that_it_never_saw(
    model: Path, data: Path, tmp_path: Path
) -> None:
    report = small(model, tmp_path / "out", data, budget={"max_drop": 0.05})
    facts = report.calibration
    assert facts is not None
    assert (facts.inputs, facts.samples, facts.eval_samples, facts.test_samples) == (
        "given",
        256,
        64,
        64,
    )
    assert facts.met
    assert facts.after is not None
    assert facts.after > 0.94
    assert facts.passes[facts.kept].metric == pytest.approx(facts.after, abs=0.02)
    # Verify runs the artifact itself, with the operators: the same figure by another way.
    assert 1 - report.fidelity.outputs[0].relative_error == pytest.approx(facts.after, abs=1e-3)
    assert [row.name for row in facts.weights] == ["w1", "w2"]
    for row, stored in zip(facts.weights, report.weights, strict=True):
        assert row.seen == "second moments"
        assert row.bias
        assert row.sensitivity > 0
        assert row.density == pytest.approx(stored.density)
        assert 0 < row.bits < 8
    assert Report.from_json(report.to_json()) == report


def test_a_softmax_that_is_sure_hides_no_error(model: Path, data: Path, tmp_path: Path) -> None:
    """Sensitivities are those of the scores: with a Softmax so steep that outputs are zeros and ones, they are what they were."""
    plain = small(model, tmp_path / "plain", data, budget={"max_drop": 0.05}).calibration
    sure = onnx.load(model)
    scale = numpy_helper.from_array(np.float32(1000), "scale")
    sure.graph.initializer.append(scale)
    sure.graph.node.append(node("Mul", ["y", "scale"], ["z"]))
    sure.graph.node.append(node("Softmax", ["z"], ["p"], axis=-1))
    sure.graph.output[0].CopyFrom(free("p", 2))
    onnx.save(sure, tmp_path / "sure.onnx")
    asked = {"max_drop": 0.3, "metric": "fidelity"}
    found = small(tmp_path / "sure.onnx", tmp_path / "sure", data, budget=asked).calibration
    assert plain is not None
    assert found is not None
    # But for what is the same for all classes, which a Softmax takes no notice of.
    for one, other in zip(plain.weights, found.weights, strict=True):
        assert other.sensitivity == pytest.approx(one.sensitivity, rel=0.2)


def test_feedback_and_allocation_beat_sharing_for_as_many_bits(
    model: Path, data: Path, tmp_path: Path
) -> None:
    report = small(model, tmp_path / "small", data, budget={"max_drop": 0.1})
    facts = report.calibration
    assert facts is not None
    bits = sum(
        row.bits * float(np.prod(w.shape))
        for row, w in zip(facts.weights, report.weights, strict=True)
    )
    mean = max(1.0, bits / sum(float(np.prod(w.shape)) for w in report.weights))
    plain = compress(
        model,
        tmp_path / "plain",
        Config.parse(
            {
                "preset": "paper",
                "share": {"objective": "bits"},
                "train": {"loss": "none"},
                "weights": {"*": {"density": 1.0, "bits": mean}},
            }
        ),
        data=data,
        operator_library=library_path(),
    )
    ours, theirs = (each.fidelity.outputs[0].relative_error for each in (report, plain))
    assert ours < 0.75 * theirs


def test_a_ratio_can_be_the_goal(model: Path, data: Path, tmp_path: Path) -> None:
    report = small(model, tmp_path / "out", data, budget={"min_ratio": 6})
    assert 6 <= report.ratio < 6.6
    assert report.calibration is not None
    assert report.calibration.goal == "budget.min_ratio 6"


def test_a_budget_that_cannot_be_met_leaves_the_best_bundle(
    model: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        BudgetNotMet, match=r"budget\.max_drop 1e-09: the best of \d passes came to"
    ):
        small(model, tmp_path / "out", data, budget={"max_drop": 1e-9})
    assert (tmp_path / "out" / "model.onnx").exists()


def test_without_data_inputs_are_made_up_and_the_report_says_so(
    model: Path, tmp_path: Path
) -> None:
    report = small(model, tmp_path / "out", None)
    assert report.calibration is not None
    assert report.calibration.inputs == "synthetic"
    assert any("calibrated on synthetic inputs" in note for note in report.notes)
    assert report.ratio > 4


def test_what_is_reported_was_not_fitted_to(tmp_path: Path) -> None:
    """More inputs than samples: on those that it was fitted to, a weight is better than it is."""
    rng = np.random.default_rng(0)
    kept = {"w": rng.standard_normal((1024, 24)).astype(np.float32)}
    graph = graph_of(
        [node("MatMul", ["x", "w"], ["y"])], [value("x", ["n", 1024])], [free("y", 2)], kept
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    report = small(path, tmp_path / "out", None)
    assert report.calibration is not None
    assert report.calibration.after is not None
    error = 1 - report.calibration.after
    assert error > 0.03
    assert report.fidelity.outputs[0].relative_error == pytest.approx(error, rel=0.25)
    assert (report.fidelity.inputs, report.fidelity.samples) == ("synthetic", 8)


def test_scores_that_a_mask_rules_out_say_nothing(tmp_path: Path) -> None:
    """Minus infinity before a final Softmax; sensitivities came out as NaN."""
    rng = np.random.default_rng(0)
    kept = {
        "w": rng.standard_normal((IN, 32)).astype(np.float32),
        "mask": np.where(np.arange(32) % 3, 0, -np.inf).astype(np.float32),
    }
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Add", ["h", "mask"], ["a"]),
        node("Softmax", ["a"], ["y"], axis=-1),
    ]
    graph = graph_of(nodes, [value("x", ["n", IN])], [free("y", 2)], kept)
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    report = small(path, tmp_path / "out", None, budget={"max_drop": 0.1})
    assert report.calibration is not None
    assert report.calibration.met
    (row,) = report.calibration.weights
    assert 0 < row.sensitivity < np.inf


def test_a_classifier_that_ends_in_maps_is_judged_by_their_numbers(tmp_path: Path) -> None:
    (family,) = (each for each in FAMILIES if each.name == "ZipMap")
    path = tmp_path / "model.onnx"
    path.write_bytes(family.build().SerializeToString())
    report = small(path, tmp_path / "out", None, budget={"max_drop": 0.1})
    assert report.calibration is not None
    assert report.calibration.met
    assert {output.name for output in report.fidelity.outputs} == {"label", "maps"}


def test_integers_are_as_few_as_the_model_asks_for(tmp_path: Path) -> None:
    (family,) = (each for each in FAMILIES if each.name == "GatherND")
    path = tmp_path / "model.onnx"
    path.write_bytes(family.build().SerializeToString())
    report = small(path, tmp_path / "out", None)
    assert report.calibration is not None
    assert report.fidelity.skipped is None


def test_a_model_without_inputs_is_refused(tmp_path: Path) -> None:
    kept = {"a": np.ones((2, IN), np.float32), "w": np.ones((IN, 32), np.float32)}
    graph = graph_of([node("MatMul", ["a", "w"], ["y"])], [], [free("y", 2)], kept)
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    with pytest.raises(BadValue, match="no inputs"):
        small(path, tmp_path / "out", None)


def test_a_corrected_bias_keeps_the_mean_of_the_outputs(
    model: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    small(model, out, data, output="dense", budget={"max_drop": 0.2})
    before, after = (
        {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
        for path in (model, out / "model.onnx")
    )
    assert not np.array_equal(before["b1"], after["b1"])
    with np.load(data) as arrays:
        x = arrays["x"]
    # Vectors of much energy count less (stages/moments.py), so that the plain mean is kept all but exactly.
    drift = {}
    for name, bias in (("kept", before["b1"]), ("corrected", after["b1"])):
        drift[name] = np.abs(
            (x @ after["w1"] + bias - x @ before["w1"] - before["b1"]).mean(0)
        ).mean()
    assert drift["corrected"] < 0.5 * drift["kept"]


def test_weights_that_the_config_decides_are_left_to_it(
    model: Path, data: Path, tmp_path: Path
) -> None:
    weights = {"w2": {"density": 0.5, "bits": 4}}
    report = small(model, tmp_path / "out", data, weights=weights, budget={"max_drop": 0.05})
    assert report.calibration is not None
    assert [row.name for row in report.calibration.weights] == ["w1"]
    assert {row.name: row.density for row in report.weights}["w2"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("raw", "mentions"),
    [
        ({"train": {"epochs": 3}}, "'small' trains nothing"),
        ({"prune": {"scope": "global"}}, "prune.scope"),
        ({"budget": {"metric": "retrieval"}}, "needs data to measure with"),
    ],
    ids=str,
)
def test_what_it_does_not_do_is_refused(
    raw: dict[str, Any], mentions: str, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadValue, match=mentions):
        small(model, tmp_path / "out", None, **raw)


def test_a_test_part_alone_is_nothing_to_look_at(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "test.npz"
    np.savez(path, test_x=mixed(np.random.default_rng(2), 8))
    with pytest.raises(BadData, match="looks at plain samples"):
        small(model, tmp_path / "out", path)


def far_values(model: Path, path: Path) -> Path:
    """A model whose second weight has a few elements a thousand times the others': no 255 values are near all of them."""
    changed = onnx.load(model)
    tensor = next(each for each in changed.graph.initializer if each.name == "w2")
    values = numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[:: HIDDEN + 1] = np.random.default_rng(2).standard_t(1, OUT) * 3
    tensor.CopyFrom(numpy_helper.from_array(values, "w2"))
    path.write_bytes(changed.SerializeToString())
    return path


@pytest.mark.parametrize("output", ["operator", "portable"])
def test_a_weight_is_halved_where_a_codebook_is_too_coarse_for_the_budget(
    output: str, model: Path, data: Path, tmp_path: Path
) -> None:
    path = far_values(model, tmp_path / "far.onnx")
    fine, budget = tmp_path / "fine", {"max_drop": 1.5e-3}
    report = small(path, fine, data, output=output, budget=budget)
    assert report.calibration is not None
    assert report.calibration.met
    (left,) = [kept for kept in report.kept if "finer than 255 values" in kept.reason]
    row = next(each for each in report.calibration.weights if each.name == left.name)
    assert (row.density, row.bits, row.loss) == (1.0, 16.0, ROUNDING)
    made = onnx.load(fine / "model.onnx")
    (tensor,) = [t for t in made.graph.initializer if t.data_type == TensorProto.FLOAT16]
    assert tensor.name == f"{left.name}.half"
    assert left.bytes == len(tensor.raw_data) == 2 * math.prod(left.shape)
    coarse = small(path, tmp_path / "coarse", data, output=output, budget={"max_drop": 0.1})
    assert not [kept for kept in coarse.kept if "finer" in kept.reason]
    assert coarse.artifact.bytes < report.artifact.bytes


def test_a_weight_that_would_not_be_smaller_is_kept(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes of few elements can take more bytes than floats, with what stands around them."""

    def expected(result: Coded, payload: bytes, output: Output) -> int:
        return result.bytes_before if result.row.name == "w1" else len(payload)

    monkeypatch.setattr(course, "expected_bytes", expected)
    report = small(model, tmp_path / "out", data)
    (kept,) = [each for each in report.kept if each.name == "w1"]
    assert kept.reason == f"what it becomes ({4 * IN * HIDDEN} bytes) would not be smaller"
    assert [row.name for row in report.weights] == ["w2"]
    held = onnx.load(tmp_path / "out" / "model.onnx")
    before = {each.name: each for each in onnx.load(model).graph.initializer}
    (tensor,) = [each for each in held.graph.initializer if each.name == "w1"]
    np.testing.assert_array_equal(
        numpy_helper.to_array(tensor), numpy_helper.to_array(before["w1"])
    )
