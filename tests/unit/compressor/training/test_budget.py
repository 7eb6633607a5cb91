"""The budget search: within the budget or said so, and every point on the way told."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from sparsebook_compressor import Config, Report, compress
from sparsebook_compressor.errors import BadData, BudgetNotMet
from sparsebook_compressor.protocol import Point, Protocol
from sparsebook_compressor.rewrite import portable
from sparsebook_compressor.training.course import budget
from sparsebook_compressor.training.orders import finetuning
from sparsebook_runtime import library_path
from tests.unit.compressor.models import node, value
from tests.unit.compressor.test_pipeline_training import Hider, steep
from tests.unit.compressor.training.bench import HIDDEN, Program, blobs, mlp, save, save_data

TRAIN = {"epochs": 5, "learning_rate": 0.003}


@pytest.fixture(autouse=True)
def _short_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rungs, 0.5 and 0.3, and one step of narrower codes."""
    monkeypatch.setattr(budget, "LEAST_DENSITY", 0.25)
    monkeypatch.setattr(budget, "_LEAST_BITS", 5)
    monkeypatch.setattr(budget, "_MOST_NARROWED", 1)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("given")
    return save(folder / "mlp.onnx", mlp()), save_data(folder / "blobs.npz", blobs())


def searched(
    given: tuple[Path, Path], out: Path, max_drop: float, hider: Hider | None = None, **raw: Any
) -> tuple[Report, Protocol, list[Point]]:
    out.parent.mkdir(parents=True, exist_ok=True)
    raw = {"train": TRAIN, "budget": {"max_drop": max_drop, "metric": "fidelity"}, **raw}
    report = compress(
        given[0],
        out,
        Config.parse(raw),
        data=given[1],
        trainer=Program(),
        operator_library=library_path(),
        progress=hider,
    )
    return told(report)


def told(report: Report) -> tuple[Report, Protocol, list[Point]]:
    assert report.training is not None
    return report, report.training, list(report.training.points)


def the_chosen(points: list[Point]) -> Point:
    (chosen,) = [point for point in points if point.chosen]
    return chosen


def check(points: list[Point], limit: float) -> None:
    assert [point.number for point in points] == list(range(1, 1 + len(points)))
    before = points[0].metric + points[0].drop
    for point in points:
        assert point.drop == pytest.approx(before - point.metric)
        assert point.met == (point.drop <= limit + 1e-9)
        assert point.ratio == pytest.approx(896 * 4 / point.bytes)
        elements = {"fc1": 640, "fc2": 256}
        kept = sum(elements[each.name] * each.density for each in point.plan)
        assert kept / 896 == pytest.approx(point.density)


def test_a_budget_that_is_met(given: tuple[Path, Path], tmp_path: Path) -> None:
    """And what the config decides of a weight stays: the density of fc2, the bits of fc1."""
    weights = {"fc2": {"density": 0.75}, "fc1": {"bits": 4}}
    hider = Hider(tmp_path / "bundles")
    report, protocol, points = searched(
        given, tmp_path / "bundles" / "out", 0.9, hider, weights=weights
    )
    check(points, 0.9)
    assert [point.met for point in points] == [True] * len(points)
    # Two rungs; fc2 at 5 bits; fc2, the only one whose bits are open, at 4 bits; and what was found trained longer.
    assert len(points) == 5
    fc2 = 0.75 * 256
    assert points[0].density == pytest.approx((0.5 * 640 + fc2) / 896, rel=0.05)
    assert points[1].density == pytest.approx((0.3 * 640 + fc2) / 896, rel=0.05)
    assert [[each.bits for each in point.plan] for point in points[:4]] == [
        [4, 6],
        [4, 6],
        [4, 5],
        [4, 4],
    ]
    assert {(cut.number, cut.weight) for cut in protocol.cuts} == {
        (number, name) for number in (1, 2, 5) for name in ("fc1", "fc2")
    }
    chosen = the_chosen(points)
    assert chosen.bytes <= min(point.bytes for point in points[:2])
    rows = {row.name: row for row in report.weights}
    assert rows["fc2"].density == 0.75
    assert rows["fc1"].code_bits == 4
    assert rows["fc2"].code_bits <= 5
    assert sum(row.bytes_after for row in report.weights) == chosen.bytes
    assert Report.from_json(report.to_json()) == report
    assert hider.times == 1
    fractions = [step.fraction for step in hider.steps]
    assert fractions == sorted(fractions)
    # Every point is further than the one before, and what was passed over is behind the last one.
    tuned = [
        step.fraction for step in hider.steps if step.stage == "tune" and step.training is None
    ]
    assert len(tuned) == len(set(tuned)) == len(points)
    assert tuned[0] < 0.2
    assert 0.8 < tuned[-1] < 0.9
    assert {phase.number for phase in protocol.phases} == {1, 2, 3, 4, 5}
    assert protocol.settings["max_drop"] == 0.9
    assert (protocol.settings["round_epochs"], protocol.settings["tune_epochs"]) == ([], 1)
    assert (protocol.settings["point_epochs"], protocol.settings["final_epochs"]) == (1, 3)
    trained = {(phase.stage, phase.number): len(phase.epochs) - 1 for phase in protocol.phases}
    assert trained["retrain", 1] == 1
    assert trained["retrain", 5] == 3
    assert {trained["tune", number] for number in range(1, 6)} == {1}
    stages = [stage.stage for stage in protocol.stages]
    assert stages == ["original", "pruned", "retrained", "shared", "tuned", "artifact"]
    assert protocol.stages[-1].metric == pytest.approx(protocol.stages[-2].metric, abs=1e-4)


def test_an_impossible_budget_leaves_the_best_that_was_found(
    given: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "bundles" / "out"
    with pytest.raises(BudgetNotMet, match="max_drop 0: the least drop"):
        searched(given, out, 0.0)
    assert list(out.parent.iterdir()) == [out]
    report, _, points = told(Report.from_json((out / "report.json").read_text()))
    check(points, 0.0)
    # Half, then gentler, then nothing pruned at all.
    assert [round(point.density, 2) for point in points] == [0.5, 0.8, 1.0]
    assert [{each.bits for each in point.plan} for point in points] == [{6}, {8}, {8}]
    chosen = the_chosen(points)
    assert chosen.drop == min(point.drop for point in points) > 0
    assert not chosen.met
    assert sum(row.bytes_after for row in report.weights) == chosen.bytes
    kept = sum(row.density * row.elements for row in report.weights)
    assert kept / 896 == pytest.approx(chosen.density)


def test_behind_a_rung_that_breaks_the_budget_smaller_steps_are_tried(
    given: tuple[Path, Path], tmp_path: Path
) -> None:
    """The first two points do not depend on the limit: the first one's very drop lets it pass, and not the second."""
    weights = {"*": {"bits": 5}}
    _, _, points = searched(given, tmp_path / "wide" / "out", 1.0, weights=weights)
    # Bits are decided, so that nothing is narrowed.
    assert len(points) == 3
    first, second = points[0].drop, points[1].drop
    assert first < second
    limit = first
    _, _, found = searched(given, tmp_path / "narrow" / "out", limit, weights=weights)
    check(found, limit)
    assert (found[0].drop, found[1].drop) == (first, second)
    assert (found[0].met, found[1].met) == (True, False)
    assert found[2].density == pytest.approx((0.5 * 0.3) ** 0.5, rel=0.05)
    chosen = the_chosen(found)
    assert chosen.met
    assert chosen.density <= 0.5 * 1.01


def test_where_the_config_decides_everything_there_is_one_point_and_it_is_trained_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And though no training of it was finite: what counts is whether the budget is met."""
    monkeypatch.setattr(finetuning, "_MOST_RETRIES", 0)
    report, protocol, points = searched(
        steep(tmp_path),
        tmp_path / "bundles" / "out",
        1.0,
        weights={"w": {"density": 0.5, "bits": 4}},
        train={"epochs": 8, "learning_rate": 10.0, "optimizer": "sgd", "schedule": "constant"},
    )
    assert len(points) == 2
    assert {point.density for point in points} == {0.5}
    assert "diverged" in {phase.ended for phase in protocol.phases}
    assert report.weights[0].density == 0.5


def test_where_half_is_too_much_gentler_rungs_lead_to_a_point_within_the_budget(
    given: tuple[Path, Path], tmp_path: Path
) -> None:
    """Sharing alone is within the budget here: behind it smaller steps are tried, and narrower codes from 7 bits on."""
    report, _, points = searched(
        given, tmp_path / "out", 0.01, output="portable", train={"epochs": 1, "learning_rate": 1e-9}
    )
    check(points, 0.01)
    assert [point.met for point in points[:3]] == [False, False, True]
    assert (points[2].density, {each.bits for each in points[2].plan}) == (1.0, {8})
    assert points[3].density == pytest.approx(0.8**0.5, rel=0.05)
    assert any({each.bits for each in point.plan} == {7} for point in points)
    chosen = the_chosen(points)
    assert chosen.met
    assert chosen.bytes == min(point.bytes for point in points if point.met)
    # A portable file has no Huffman codes: what is counted is what it takes, nodes and all.
    assert chosen.bytes == sum(
        portable.expected_bytes(row.elements, round(row.density * row.elements), row.centroids)
        for row in report.weights
    )


def test_what_the_loss_does_not_see_is_left_as_planned(tmp_path: Path) -> None:
    """A second head: labels and metric are of the first output."""
    model = mlp()
    head = np.random.default_rng(3).standard_normal((HIDDEN, 40)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(head, "head"))
    model.graph.node.append(node("MatMul", ["r", "head"], ["z"]))
    model.graph.output.append(value("z", ["n", 40]))
    given = save(tmp_path / "heads.onnx", model), save_data(tmp_path / "blobs.npz", blobs())
    report, protocol, points = searched(
        given, tmp_path / "out", 1.0, budget={"max_drop": 1.0, "metric": "accuracy"}, output="dense"
    )
    planned = {
        (each.density, each.bits) for point in points for each in point.plan if each.name == "head"
    }
    # What the preset finds by the weight alone.
    assert planned == {(1.0, 7)}
    assert protocol.unfelt == ("head",)
    (note,) = [note for note in report.notes if "however far" in note]
    assert "'head'" in note
    held = onnx.load(tmp_path / "out" / "model.onnx")
    after = {each.name: onnx.numpy_helper.to_array(each) for each in held.graph.initializer}
    assert np.abs(after["head"] - head).max() < 0.1
    assert Report.from_json(report.to_json()) == report


def test_too_few_samples_for_a_budget(given: tuple[Path, Path], tmp_path: Path) -> None:
    """Refused before anything is trained."""
    few = {
        f"{part}{name}": array[:count]
        for part, count in (("", 100), ("eval_", 19), ("test_", 30))
        for name, array in blobs().items()
    }
    program = Program()
    with pytest.raises(BadData, match="the eval part has 19 samples"):
        compress(
            given[0],
            tmp_path / "out",
            Config.parse({"train": TRAIN, "budget": {"max_drop": 0.5}}),
            data=save_data(tmp_path / "few.npz", few),
            trainer=program,
            operator_library=library_path(),
        )
    assert program.orders == []
    assert not (tmp_path / "out").exists()
