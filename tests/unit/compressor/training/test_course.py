"""The account of a course: stages, settings, what was frozen, and what is to be said although a bundle is there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparsebook_compressor import Config
from sparsebook_compressor.errors import BudgetNotMet, Diverged
from sparsebook_compressor.protocol import EpochRow, Phase, Point
from sparsebook_compressor.training.course.budget import Epochs, Search
from sparsebook_compressor.training.course.course import Course
from tests.unit.compressor.training.bench import Bench, blobs, mlp
from tests.unit.compressor.training.test_packing import carried_out, nested

RAW: dict[str, Any] = {
    "weights": {"*": {"density": 0.4, "bits": 3}},
    "train": {"epochs": 2},
    "prune": {"rounds": 1},
}
POINT = Point(1, 100, 10.0, 0.5, 0.9, 0.05, met=True, chosen=True)
EPOCHS = (EpochRow(0, None, 1.0, 0.5), EpochRow(1, None, None, None))
PHASE = Phase("retrain", 1, 0.5, 1.0, 2, EPOCHS, 0, "diverged", 1.0, None, "cpu")


def test_stages_are_measured_on_the_test_part_and_the_artifact_where_it_runs(
    tmp_path: Path,
) -> None:
    bench = Bench.of(tmp_path, nested(), blobs(), **RAW, output="dense")
    test = tmp_path / "data" / "test"
    test.rename(tmp_path / "away")
    course, _, artifact = carried_out(bench)
    (tmp_path / "away").rename(test)
    protocol = course.protocol(artifact, None)
    names = ["original", "pruned", "retrained", "shared", "tuned", "artifact"]
    assert [stage.stage for stage in protocol.stages] == names
    assert protocol.stages[-1].metric == protocol.stages[-2].metric
    assert all(0 <= stage.metric <= 1 for stage in protocol.stages)
    assert {name for name, _ in protocol.frozen} == {"then.w", "other.w"}
    assert all("If" in reason for _, reason in protocol.frozen)
    assert protocol.settings["scope"] == "weight"
    assert protocol.settings["max_drop"] is None
    assert protocol.splits["test"] == {"part": "test", "samples": 40, "origin": "split off"}
    # Without the operator library an artifact of operators cannot be run: the tuned graph stands for it.
    course.config = Config.parse({**RAW, "output": "operator"})
    again = course.protocol(artifact, None)
    assert again.stages == protocol.stages[:-1]
    assert course.fault() is None


@pytest.fixture
def course(tmp_path: Path) -> Course:
    bench = Bench.of(tmp_path, mlp(), blobs(60), **RAW, budget={"max_drop": 0.01})
    return Course(bench.plan, bench.weights, bench.tuning, bench.config, tmp_path / "stages")


def searched(course: Course, point: Point) -> None:
    course._search = Search(course.plan, (point,), point, Epochs.of(5))


def test_a_training_that_never_was_finite_is_a_fault(course: Course) -> None:
    assert course.fault() is None
    course.tuning.journal.phases.append(PHASE)
    fault = course.fault()
    assert isinstance(fault, Diverged)
    assert str(fault).startswith("retrain 1: the loss was not finite")
    # An epoch before it was good, and is kept.
    course.tuning.journal.phases[:] = [replace(PHASE, kept_epoch=3)]
    assert course.fault() is None


def test_a_budget_that_is_met_is_no_fault_though_a_point_of_the_search_diverged(
    course: Course,
) -> None:
    course.tuning.journal.phases.append(PHASE)
    searched(course, POINT)
    assert course.fault() is None


def test_a_budget_that_is_not_met_names_the_best_that_was_found(course: Course) -> None:
    searched(course, replace(POINT, met=False))
    fault = course.fault()
    assert isinstance(fault, BudgetNotMet)
    for part in ("max_drop 0.01", "0.05", "100 bytes", "10.0x"):
        assert part in str(fault)
