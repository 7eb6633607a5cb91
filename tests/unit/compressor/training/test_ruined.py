"""What is kept, and what is said, when something goes wrong in the middle: a metric without a number, a worker that refuses."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto

from sparsebook_compressor import Config, Report, compress
from sparsebook_compressor.errors import (
    BadData,
    BudgetNotMet,
    NotTrainable,
    StorageFull,
)
from sparsebook_compressor.protocol import Refusal
from sparsebook_compressor.training.course import budget
from tests.unit.compressor.models import graph_of, model_of, node, value
from tests.unit.compressor.training.bench import CLASSES, Program, blobs, mlp, save, save_data

RAW: dict[str, Any] = {
    "weights": {"*": {"density": 0.3, "bits": 3}},
    "train": {"epochs": 2, "learning_rate": 0.003},
    "prune": {"rounds": 2},
    "output": "dense",
}


def strict(path: Path) -> Any:
    """JSON as RFC 8259 has it."""

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def own_metric(folder: Path, *nodes: NodeProto, array: str | None = None) -> Path:
    """A metric from the scores y, from those of the original, and from an array."""
    given = [value("y", ["n", CLASSES]), value("teacher_y", ["n", CLASSES])]
    if array is not None:
        given.append(value(array, ["n", 1]))
    constants = {"least": np.full((), 1e-3, np.float32)}
    graph = graph_of(list(nodes), given, [value("metric", [])], constants)
    return save(folder / "metric.onnx", model_of(graph))


def nearness(folder: Path) -> Path:
    """The logarithm of what is left of a small margin: NaN but for models that are all but the original."""
    return own_metric(
        folder,
        node("Sub", ["y", "teacher_y"], ["error"]),
        node("Mul", ["error", "error"], ["square"]),
        node("ReduceMean", ["square"], ["mean"], keepdims=0),
        node("Sub", ["least", "mean"], ["margin"]),
        node("Log", ["margin"], ["metric"]),
    )


def test_a_metric_of_ones_own_that_is_no_number_between_stages_is_noted(tmp_path: Path) -> None:
    model, data = save(tmp_path / "mlp.onnx", mlp()), save_data(tmp_path / "blobs.npz", blobs())
    out = tmp_path / "out"
    metric = nearness(tmp_path)
    report = compress(model, out, Config.parse(RAW), data=data, metric=metric, trainer=Program())
    assert report.training is not None
    stages = {row.stage: row for row in report.training.stages}
    assert stages["original"].metric == pytest.approx(np.log(1e-3), rel=1e-3)
    assert (stages["original"].drop, report.training.metric_after) == (0, None)
    for stage in ("pruned", "retrained", "shared", "tuned", "artifact"):
        assert (stages[stage].metric, stages[stage].drop) == (None, None)
        assert any(
            note.startswith(f"{stage}: the metric on the test part is no finite number")
            for note in report.notes
        )
    assert strict(out / "report.json")["training"]["stages"][-1]["metric"] is None
    assert Report.from_json((out / "report.json").read_text()) == report


def test_a_metric_of_ones_own_that_is_no_number_meets_no_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "_POINT", 0.5)
    model, data = save(tmp_path / "mlp.onnx", mlp()), save_data(tmp_path / "blobs.npz", blobs())
    out = tmp_path / "out"
    raw = {
        "train": RAW["train"],
        "budget": {"max_drop": 0.1},
        "output": "dense",
        # Without pruning it would be a number.
        "weights": {"*": {"density": 0.5}},
    }
    with pytest.raises(BudgetNotMet, match="no finite number"):
        compress(
            model,
            out,
            Config.parse(raw),
            data=data,
            metric=nearness(tmp_path),
            trainer=Program(),
        )
    points = strict(out / "report.json")["training"]["points"]
    assert [(point["metric"], point["drop"], point["met"]) for point in points] == [
        (None, None, False)
    ] * 2


def test_a_metric_that_is_no_number_of_the_original_is_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    """On the first sample, which is looked at when loss and metric are decided, it is one."""
    metric = own_metric(
        tmp_path,
        node("ReduceMean", ["y"], ["level"], keepdims=0),
        node("ReduceMin", ["share"], ["smallest"], keepdims=0),
        node("Log", ["smallest"], ["log"]),
        node("Add", ["level", "log"], ["metric"]),
        array="share",
    )
    arrays = blobs(300) | {"share": np.ones((300, 1), np.float32)}
    held_out = blobs(40, seed=1) | {"share": np.full((40, 1), -1, np.float32)}
    arrays |= {f"eval_{name}": array for name, array in held_out.items()}
    model, data = save(tmp_path / "mlp.onnx", mlp()), save_data(tmp_path / "blobs.npz", arrays)
    program, out = Program(), tmp_path / "out"
    with pytest.raises(BadData, match=r"metric\.onnx.*eval part is no finite number"):
        compress(model, out, Config.parse(RAW), data=data, metric=metric, trainer=program)
    assert program.orders == []
    assert not out.exists()


@dataclass
class Refusing:
    """Refuses the orders of these numbers, from 0, as a worker does that has no kernel for them."""

    numbers: tuple[int, ...]
    seen: list[Path] = field(default_factory=list)

    def __call__(self, order: Path, dataset: Path) -> None:
        self.seen.append(order)
        if len(self.seen) - 1 in self.numbers:
            raise NotTrainable("no kernel for the gradient of Frobnicate")


def given(folder: Path, model: ModelProto) -> tuple[Path, Path]:
    return save(folder / "mlp.onnx", model), save_data(folder / "blobs.npz", blobs())


def test_what_was_reached_before_the_worker_refused_is_kept_and_said(tmp_path: Path) -> None:
    """The second round is not retrained, and what comes behind is done all the same."""
    model, data = given(tmp_path, mlp())
    program = Program(Refusing((1,)))
    report = compress(model, tmp_path / "out", Config.parse(RAW), data=data, trainer=program)
    protocol = report.training
    assert protocol is not None
    assert [(phase.stage, phase.number) for phase in protocol.phases] == [
        ("retrain", 1),
        ("tune", 1),
    ]
    reason = "no kernel for the gradient of Frobnicate"
    assert protocol.refused == (Refusal("retrain", 2, reason),)
    assert any(note.startswith("retrain 2 ") and reason in note for note in report.notes)
    assert [row.density for row in report.weights] == [192 / 640, 77 / 256]
    assert protocol.phases[0].kept_epoch > 0
    stages = [row.stage for row in protocol.stages]
    assert stages == ["original", "pruned", "retrained", "shared", "tuned", "artifact"]
    assert Report.from_json((tmp_path / "out" / "report.json").read_text()) == report


@dataclass
class Failing:
    """Raises in place of an order, by its number from 0."""

    number: int
    error: BaseException
    seen: int = 0

    def __call__(self, order: Path, dataset: Path) -> None:
        self.seen += 1
        if self.seen - 1 == self.number:
            raise self.error


@pytest.mark.parametrize(
    ("program", "problem", "reason"),
    [
        (Program(killed=1), "internal", "the trainer ended with -9"),
        (Program(Failing(1, StorageFull("no room for it"))), "storage-full", "no room for it"),
    ],
)
def test_what_was_reached_before_the_worker_failed_is_kept_and_said(
    program: Program, problem: str, reason: str, tmp_path: Path
) -> None:
    model, data = given(tmp_path, mlp())
    report = compress(model, tmp_path / "out", Config.parse(RAW), data=data, trainer=program)
    protocol = report.training
    assert protocol is not None
    done = [(phase.stage, phase.number) for phase in protocol.phases]
    assert done == [("retrain", 1), ("tune", 1)]
    (refused,) = protocol.refused
    assert (refused.stage, refused.number, refused.problem) == ("retrain", 2, problem)
    assert reason in refused.reason
    (note,) = (note for note in report.notes if note.startswith("retrain 2 "))
    assert f"the worker failed ({problem}): {refused.reason}; " in note
    assert Report.from_json((tmp_path / "out" / "report.json").read_text()) == report


def test_a_worker_that_fails_at_once_fails_the_job(tmp_path: Path) -> None:
    model, data = given(tmp_path, mlp())
    program = Program(Failing(0, StorageFull("no room for it")))
    with pytest.raises(StorageFull, match="no room for it"):
        compress(model, tmp_path / "out", Config.parse(RAW), data=data, trainer=program)
    assert not (tmp_path / "out").exists()


def test_an_interrupt_ends_the_job_whatever_was_reached(tmp_path: Path) -> None:
    model, data = given(tmp_path, mlp())
    program = Program(Failing(1, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        compress(model, tmp_path / "out", Config.parse(RAW), data=data, trainer=program)
    assert len(program.orders) == 2
    assert not (tmp_path / "out").exists()


def test_a_search_goes_on_where_the_worker_refuses_to_tune(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not asked for that again."""
    monkeypatch.setattr(budget, "LEAST_DENSITY", 0.25)
    monkeypatch.setattr(budget, "_LEAST_BITS", 6)
    monkeypatch.setattr(budget, "_MOST_NARROWED", 0)
    model, data = given(tmp_path, mlp())
    raw = {"train": RAW["train"], "budget": {"max_drop": 1.0}, "output": "dense"}
    report = compress(
        model, tmp_path / "out", Config.parse(raw), data=data, trainer=Program(Refusing((1,)))
    )
    assert report.training is not None
    assert {phase.stage for phase in report.training.phases} == {"retrain"}
    assert len(report.training.points) == 3
    assert [(each.stage, each.number) for each in report.training.refused] == [("tune", 1)]
