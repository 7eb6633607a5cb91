"""A compression that retrains, from file to bundle: what comes out, what is said, and what is left when it goes wrong."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto

from sparsebook_compressor import Config, Progress, Report, compress, errors
from sparsebook_compressor.errors import (
    BadData,
    BadValue,
    Diverged,
    InternalError,
    NoTrainer,
    NotTrainable,
    SparsebookError,
    StorageFull,
)
from sparsebook_runtime import library_path
from tests.unit.compressor.models import graph_of, model_of, node, value
from tests.unit.compressor.training.bench import (
    CLASSES,
    FEATURES,
    Program,
    blobs,
    mlp,
    save,
    save_data,
)

TRAIN = {"epochs": 1}
# Both weights are smaller as payloads; the second one has 256 elements.
WEIGHTS = {"fc1": {"density": 0.3, "bits": 3}, "fc2": {"density": 0.6, "bits": 3}}
RAW: dict[str, Any] = {
    "weights": WEIGHTS,
    "train": TRAIN,
    "prune": {"rounds": 1},
    "output": "dense",
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The model and its data."""
    folder = tmp_path_factory.mktemp("given")
    return save(folder / "mlp.onnx", mlp()), save_data(folder / "blobs.npz", blobs())


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where the bundle goes; whatever happened, nothing is beside it in the end."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    yield folder / "bundle"
    assert set(folder.iterdir()) <= {folder / "bundle"}


@dataclass
class Hider:
    """Takes the test part away as long as anything is decided by data, and gives it back for the last measurement.

    Attributes:
        beside: the folder in which the compression has its scratch folder.
        steps: all that was reported.
    """

    beside: Path
    steps: list[Progress] = field(default_factory=list)
    times: int = 0

    def __call__(self, step: Progress) -> None:
        self.steps.append(step)
        away = self.beside.parent / "test part"
        found = list(self.beside.glob(".*/data/test"))
        if step.stage not in ("admit", "survey", "plan", "verify") and found:
            self.scratch = found[0]
            found[0].rename(away)
            self.times += 1
        elif step.stage == "verify" and away.exists():
            away.rename(self.scratch)


@dataclass
class Run:
    """A bundle with its account."""

    report: Report
    out: Path
    program: Program
    hider: Hider

    @property
    def model(self) -> bytes:
        return (self.out / "model.onnx").read_bytes()


def look(order: Path, dataset: Path) -> None:
    """The worker sees neither the test part nor the user's file."""
    assert sorted(path.name for path in order.iterdir()) == ["model.onnx", "order.json"]
    assert not any(path.name.startswith("test") for path in dataset.rglob("*"))
    model = onnx.load(order / "model.onnx", load_external_data=False)
    assert all(not tensor.external_data for tensor in model.graph.initializer)
    described = json.loads((dataset / "dataset.json").read_text())
    assert set(described["parts"]) == {"train", "eval"}


@pytest.fixture(scope="module")
def trained(given: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that went well, in the output `operator`."""
    folder = tmp_path_factory.mktemp("trained") / "bundles"
    folder.mkdir()
    program, hider = Program(look), Hider(folder)
    model, data = given
    report = compress(
        model,
        folder / "bundle",
        Config.parse({**RAW, "output": "operator", "train": {"epochs": 4}, "prune": {"rounds": 2}}),
        data=data,
        trainer=program,
        operator_library=library_path(),
        progress=hider,
    )
    assert list(folder.iterdir()) == [folder / "bundle"]
    return Run(report, folder / "bundle", program, hider)


def test_the_report_is_the_whole_account(trained: Run) -> None:
    report, protocol = trained.report, trained.report.training
    assert protocol is not None
    assert Report.from_json((trained.out / "report.json").read_text()) == report
    assert [stage.stage for stage in protocol.stages] == [
        "original",
        "pruned",
        "retrained",
        "shared",
        "tuned",
        "artifact",
    ]
    by_name = {stage.stage: stage.metric for stage in protocol.stages}
    assert all(stage.drop == by_name["original"] - stage.metric for stage in protocol.stages)
    assert by_name["retrained"] > by_name["pruned"]
    assert by_name["artifact"] == by_name["tuned"]
    assert (protocol.metric_before, protocol.metric_after) == (
        by_name["original"],
        by_name["artifact"],
    )
    assert [(phase.stage, phase.number) for phase in protocol.phases] == [
        ("retrain", 1),
        ("retrain", 2),
        ("tune", 1),
    ]
    assert protocol.settings["round_epochs"] == [2, 2]
    assert {part: facts["samples"] for part, facts in protocol.splits.items()} == {
        "train": 320,
        "eval": 40,
        "test": 40,
    }
    assert protocol.versions["onnxruntime"] == "1.19.2"
    assert protocol.points == ()
    assert protocol.selection.startswith("lowest loss on the eval part")
    assert protocol.refused == ()
    assert Config.parse(report.config) == Config.parse(
        {**RAW, "output": "operator", "train": {"epochs": 4}, "prune": {"rounds": 2}}
    )
    assert report.fidelity.samples == 40
    assert not any("without retraining" in note for note in report.notes)


def test_densities_are_reached_and_told(trained: Run) -> None:
    protocol = trained.report.training
    assert protocol is not None
    assert [row.density for row in trained.report.weights] == [0.3, 154 / 256]
    kept = [round(640 * 0.3**0.5) + round(256 * 0.6**0.5), 192 + 154, 192 + 154]
    assert [phase.density for phase in protocol.phases] == [count / 896 for count in kept]


def test_thresholds_are_told_of_every_weight_and_round(trained: Run) -> None:
    protocol = trained.report.training
    assert protocol is not None
    cuts = {(cut.number, cut.weight): cut for cut in protocol.cuts}
    assert set(cuts) == {(number, name) for number in (1, 2) for name in ("fc1", "fc2")}
    assert [cuts[2, name].survivors for name in ("fc1", "fc2")] == [192, 154]
    for cut in protocol.cuts:
        assert cut.threshold is not None
        assert cut.threshold > 0


def test_the_original_on_the_eval_part_stands_beside_the_epochs(
    given: tuple[Path, Path], out: Path
) -> None:
    """With nothing pruned yet it is what the worker finds before training."""
    raw = {**RAW, "weights": {"*": {"density": 1.0, "bits": 4}}}
    model, data = given
    report = compress(model, out, Config.parse(raw), data=data, trainer=Program())
    assert report.training is not None
    found, first = report.training.original, report.training.phases[0].epochs[0]
    assert found is not None
    assert found.eval_loss == pytest.approx(first.eval_loss, rel=1e-4)
    assert found.metric == pytest.approx(first.metric)
    assert found.metric is not None


def test_every_order_has_a_seed_of_its_own(trained: Run) -> None:
    orders = trained.program.orders
    assert [order["seed"] for order in orders] == [0, 1, 2]
    assert [order["epochs"] for order in orders] == [2, 2, 1]
    assert all(order["keep_start"] for order in orders)


def test_the_test_part_is_not_there_until_all_is_decided(trained: Run) -> None:
    assert trained.hider.times == 1


def test_progress_never_falls_and_tells_of_the_training(trained: Run) -> None:
    steps = trained.hider.steps
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] <= 1
    training = [step for step in steps if step.training is not None]
    assert {step.stage for step in training} == {"retrain", "tune"}
    assert all(step.training is not None and 0 <= step.training.fraction <= 1 for step in training)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(
    given: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = given
    found = []
    for name, seed in (("a", 2**63 - 1), ("b", 2**63 - 1), ("c", 0)):
        raw = {**RAW, "output": "operator", "seed": seed}
        compress(model, tmp_path / name, Config.parse(raw), data=data, trainer=Program())
        found.append((tmp_path / name / "model.onnx").read_bytes())
    assert found[0] == found[1] != found[2]


def test_data_may_come_in_several_files(
    given: tuple[Path, Path], out: Path, tmp_path: Path
) -> None:
    model, _ = given
    whole = blobs()
    cuts = [0, 150, 151, 400]
    files = [
        save_data(
            tmp_path / f"{start}.npz", {name: each[start:end] for name, each in whole.items()}
        )
        for start, end in pairwise(cuts)
    ]
    report = compress(model, out, Config.parse(RAW), data=files, trainer=Program())
    protocol = report.training
    assert protocol is not None
    assert {part: facts["samples"] for part, facts in protocol.splits.items()} == {
        "train": 320,
        "eval": 40,
        "test": 40,
    }
    # The same samples in the same parts: the original is as good on them as on the whole file's.
    assert protocol.metric_before == pytest.approx(0.975)
    assert protocol.phases[0].kept_epoch == 1


def test_without_a_trainer_data_only_compares(given: tuple[Path, Path], out: Path) -> None:
    model, data = given
    raw = {key: entry for key, entry in RAW.items() if key != "train"}
    report = compress(model, out, Config.parse(raw), data=data)
    assert report.training is None
    assert report.fidelity.inputs == "given"
    assert any("no fine-tuning worker" in note for note in report.notes)
    assert (out / "model.onnx").exists()


def test_training_can_be_switched_off(given: tuple[Path, Path], out: Path) -> None:
    model, data = given
    program = Program()
    raw = {**RAW, "train": {"loss": "none"}}
    report = compress(model, out, Config.parse(raw), data=data, trainer=program)
    assert report.training is None
    assert program.orders == []


def test_a_test_part_alone_compares(given: tuple[Path, Path], out: Path, tmp_path: Path) -> None:
    model, _ = given
    data = save_data(tmp_path / "test.npz", {f"test_{key}": each for key, each in blobs().items()})
    raw = {key: entry for key, entry in RAW.items() if key != "train"}
    program = Program()
    report = compress(model, out, Config.parse(raw), data=data, trainer=program)
    assert report.training is None
    assert program.orders == []
    assert any("test part alone" in note for note in report.notes)


def refused(kind: type[SparsebookError], model: Path, out: Path, raw: Any, **more: Any) -> str:
    """The message; nothing is trained and nothing is left."""
    program = more.pop("trainer", Program())
    with pytest.raises(kind) as caught:
        compress(model, out, Config.parse(raw), trainer=program, **more)
    assert not out.exists()
    assert program is None or program.orders == []
    return str(caught.value)


ASKED: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({"train": {"epochs": 1}}, {}, "train"),
    ({"budget": {"max_drop": 0.1}}, {}, "budget.max_drop"),
    ({}, {"loss": "own.onnx"}, "own.onnx"),
    ({}, {"metric": "own.onnx"}, "own.onnx"),
]


@pytest.mark.parametrize(("raw", "own", "named"), ASKED, ids=["train", "budget", "loss", "metric"])
def test_what_only_retraining_can_do_is_never_left_out_silently(
    raw: dict[str, Any],
    own: dict[str, str],
    named: str,
    given: tuple[Path, Path],
    out: Path,
    tmp_path: Path,
) -> None:
    model, data = given
    graphs = {key: tmp_path / name for key, name in own.items()}
    if own:
        square = [node("Mul", ["y", "y"], ["s"]), node("ReduceMean", ["s"], ["l"], keepdims=0)]
        graph = graph_of(square, [value("y", ["n", CLASSES])], [value("l", [])])
        save(tmp_path / "own.onnx", model_of(graph))
    assert named in refused(BadValue, model, out, raw, **graphs)
    assert named in refused(NoTrainer, model, out, raw, data=data, trainer=None, **graphs)
    test = save_data(tmp_path / "test.npz", {f"test_{key}": each for key, each in blobs().items()})
    assert "test_" in refused(BadData, model, out, raw, data=test, **graphs)
    if "train" not in raw:
        off = {**raw, "train": {"loss": "none"}}
        assert named in refused(BadValue, model, out, off, data=data, **graphs)


def test_a_rate_without_a_round_to_work_in_is_refused(given: tuple[Path, Path], out: Path) -> None:
    raw = {**RAW, "train": {"rate": 0.1}}
    assert "prune.rounds" in refused(BadValue, given[0], out, raw, data=given[1])


def damaged(**changes: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    arrays = blobs()
    return {name: changes.get(name, lambda each: each)(array) for name, array in arrays.items()}


def poison(array: np.ndarray) -> np.ndarray:
    made = array.copy()
    made[7, 3] = np.nan
    return made


def beyond(array: np.ndarray) -> np.ndarray:
    made = array.copy()
    made[11] = CLASSES
    return made


BAD: dict[str, dict[str, np.ndarray]] = {
    "a label out of range": damaged(labels=beyond),
    "a negative label": damaged(labels=lambda each: each - 1),
    "fewer labels": damaged(labels=lambda each: each[:-1]),
    "NaN": damaged(x=poison),
    "a wrong shape": damaged(x=lambda each: each[:, :-1]),
    "another input": {"z": blobs()["x"]},
    "two samples": {name: array[:2] for name, array in blobs().items()},
    "labels of a shape that suits nothing": damaged(labels=lambda each: np.stack([each] * 3, 1)),
}


@pytest.mark.parametrize("name", BAD)
def test_data_that_does_not_fit_is_refused_before_anything_is_trained(
    name: str, given: tuple[Path, Path], out: Path, tmp_path: Path
) -> None:
    data = save_data(tmp_path / "bad.npz", BAD[name])
    assert refused(BadData, given[0], out, RAW, data=data)


def choosing() -> ModelProto:
    """No gradient passes the ArgMax that makes the only output of floats."""
    rng = np.random.default_rng(0)
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("ArgMax", ["h"], ["i"], axis=1, keepdims=1),
        node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        node("Mul", ["f", "two"], ["y"]),
    ]
    weights = {
        "w": rng.standard_normal((FEATURES, 40)).astype(np.float32),
        "two": np.full((), 2, np.float32),
    }
    return model_of(graph_of(nodes, [value("x", ["n", FEATURES])], [value("y", ["n", 1])], weights))


def test_a_graph_without_gradients_is_compressed_all_the_same_and_said(
    out: Path, tmp_path: Path
) -> None:
    model = save(tmp_path / "choosing.onnx", choosing())
    data = save_data(tmp_path / "x.npz", x=blobs()["x"])
    program = Program()
    report = compress(
        model, out, Config.parse({"preset": "paper", "output": "dense"}), data=data, trainer=program
    )
    assert report.training is None
    assert any(note.startswith("nothing was retrained: ") for note in report.notes)
    assert program.orders == []


def test_a_graph_without_gradients_is_refused_where_training_is_asked_for(
    out: Path, tmp_path: Path
) -> None:
    model = save(tmp_path / "choosing.onnx", choosing())
    data = save_data(tmp_path / "x.npz", x=blobs()["x"])
    refused(NotTrainable, model, out, RAW | {"weights": {}}, data=data)


def refuse(order: Path, dataset: Path) -> None:
    raise NotTrainable("no kernel for the gradient of Frobnicate")


def test_a_graph_that_the_trainer_refuses_is_compressed_as_without_training(
    given: tuple[Path, Path], out: Path, tmp_path: Path
) -> None:
    model, data = given
    raw = {key: entry for key, entry in RAW.items() if key != "train"}
    report = compress(model, out, Config.parse(raw), data=data, trainer=Program(refuse))
    assert report.training is None
    assert "nothing was retrained: no kernel for the gradient of Frobnicate" in report.notes
    compress(model, tmp_path / "plain", Config.parse(raw))
    plain = (tmp_path / "plain" / "model.onnx").read_bytes()
    assert (out / "model.onnx").read_bytes() == plain


def test_a_graph_that_the_trainer_refuses_fails_where_training_is_asked_for(
    given: tuple[Path, Path], out: Path
) -> None:
    model, data = given
    with pytest.raises(NotTrainable, match="Frobnicate"):
        compress(model, out, Config.parse(RAW), data=data, trainer=Program(refuse))
    assert not out.exists()


def steep(folder: Path) -> tuple[Path, Path]:
    """A linear model of inputs in the hundreds: at every rate that is tried, each step overshoots more than the one before."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((FEATURES, 30)).astype(np.float32)
    graph = graph_of(
        [node("MatMul", ["x", "w"], ["y"])],
        [value("x", ["n", FEATURES])],
        [value("y", ["n", 30])],
        {"w": weight},
    )
    x = 300 * blobs(200)["x"]
    data = save_data(folder / "steep.npz", x=x, labels=x @ weight)
    return save(folder / "steep.onnx", model_of(graph)), data


def test_a_loss_that_is_not_finite_is_said_when_the_bundle_is_there(
    out: Path, tmp_path: Path
) -> None:
    model, data = steep(tmp_path)
    train = {"epochs": 8, "learning_rate": 10.0, "optimizer": "sgd", "schedule": "constant"}
    raw = {"output": "dense", "weights": {"w": {"density": 0.5, "bits": 4}}, "train": train}
    with pytest.raises(Diverged, match="last good state"):
        compress(model, out, Config.parse(raw), data=data, trainer=Program())
    report = Report.from_json((out / "report.json").read_text())
    assert report.training is not None
    first, *_ = report.training.phases
    assert (first.ended, first.kept_epoch, first.retries) == ("diverged", 0, 2)
    assert first.learning_rate == 10 / 16
    assert any("not finite" in note for note in report.notes)
    # What it holds is whole: the pruned model, shared.
    held = onnx.numpy_helper.to_array(onnx.load(out / "model.onnx").graph.initializer[0])
    assert np.count_nonzero(held) == 300
    assert np.isfinite(held).all()
    assert report.weights[0].relative_error < 0.5


def test_a_lower_rate_that_worked_is_noted(given: tuple[Path, Path], out: Path) -> None:
    model, data = given
    train = {"epochs": 1, "learning_rate": 10.0, "optimizer": "sgd"}
    raw = {"preset": "paper", "train": train, "prune": {"rounds": 1}, "output": "dense"}
    program = Program()
    report = compress(model, out, Config.parse(raw), data=data, trainer=program)
    assert report.training is not None
    first = report.training.phases[0]
    assert first.kept_epoch == 1
    assert first.retries > 0
    rates = [order["learning_rate"] for order in program.orders[: 1 + first.retries]]
    assert rates == [10 / 4**number for number in range(1 + first.retries)]
    assert first.learning_rate == rates[-1]
    assert [attempt.learning_rate for attempt in first.retried] == rates[:-1]
    assert all(attempt.kept_epoch == 0 for attempt in first.retried)
    assert all(attempt.epochs[0] == first.epochs[0] for attempt in first.retried)
    assert f"it was lowered to {first.learning_rate:g}" in " ".join(report.notes)


def test_a_trainer_that_dies_at_once_leaves_nothing_behind(
    given: tuple[Path, Path], out: Path
) -> None:
    program = Program(killed=0)
    with pytest.raises(InternalError, match="ended with -9"):
        compress(given[0], out, Config.parse(RAW), data=given[1], trainer=program)
    assert len(program.orders) == 1
    assert not out.exists()


def fill_up(order: Path, dataset: Path) -> None:
    raise StorageFull("no room")


def interrupt(order: Path, dataset: Path) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("before", "kind"), [(fill_up, StorageFull), (interrupt, KeyboardInterrupt)]
)
def test_whatever_stops_it_leaves_nothing_behind(
    before: Callable[[Path, Path], None],
    kind: type[BaseException],
    given: tuple[Path, Path],
    out: Path,
) -> None:
    with pytest.raises(kind):
        compress(given[0], out, Config.parse(RAW), data=given[1], trainer=Program(before))
    assert not out.exists()


def test_every_problem_has_a_slug() -> None:
    assert {kind.problem for kind in (Diverged, NotTrainable, NoTrainer, errors.BudgetNotMet)} == {
        "diverged",
        "not-trainable",
        "budget-not-met",
    }


def test_an_array_that_an_own_loss_does_not_take_in_the_eval_part_is_named(tmp_path: Path) -> None:
    nodes = [
        node("Gather", ["table", "row"], ["wanted"]),
        node("Sub", ["y", "wanted"], ["e"]),
        node("Mul", ["e", "e"], ["q"]),
        node("ReduceMean", ["q"], ["loss"], keepdims=0),
    ]
    given = [value("y", ["n", CLASSES]), value("row", ["n"], TensorProto.INT64)]
    table = {"table": np.eye(CLASSES, dtype=np.float32)}
    loss = save(tmp_path / "own.onnx", model_of(graph_of(nodes, given, [value("loss", [])], table)))
    train, held = blobs(64), blobs(8, seed=1)
    rows = held["labels"].copy()
    rows[5] = CLASSES
    data = save_data(
        tmp_path / "rows.npz",
        {"x": train["x"], "row": train["labels"], "eval_x": held["x"], "eval_row": rows},
    )
    with pytest.raises(BadData, match=r"samples 0 to 7 of the eval part: .*holds for 'row' there"):
        compress(
            save(tmp_path / "mlp.onnx", mlp()),
            tmp_path / "bundle",
            Config.parse(RAW),
            data=data,
            loss=loss,
            trainer=Program(),
        )
    assert not (tmp_path / "bundle").exists()
