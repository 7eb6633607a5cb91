"""Small classifiers, samples for them, and fine-tuning with the real trainer program behind it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from sparsebook_compressor import admit, feeds
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import (
    BadData,
    InternalError,
    NotTrainable,
    SparsebookError,
    StorageFull,
)
from sparsebook_compressor.graph.view import Weight, survey
from sparsebook_compressor.plan import Plan, make_plan
from sparsebook_compressor.progress import TrainingProgress
from sparsebook_compressor.training.aim.own import OwnGraphs
from sparsebook_compressor.training.course.beginning import Means, Original, begin
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_compressor.training.orders.finetuning import FineTuning
from sparsebook_compressor.training.orders.trainer import Trainer
from tests.unit.compressor.models import graph_of, model_of, node, value
from tests.unit.training import nursery

ROOT = nursery.ROOT
FEATURES, HIDDEN, CLASSES = 20, 32, 8
_ERRORS: dict[str, type[SparsebookError]] = {
    error.problem: error for error in (NotTrainable, BadData, StorageFull, InternalError)
}


@dataclass
class Program:
    """A `Trainer`: the trainer program in a process of its own, whose standard input stays open until it has ended.

    Attributes:
        orders: every order.json that was carried out.
        before: is called with the order and the dataset before each.
        killed: the number of the order, from 0, in which the program is killed; None for none.
    """

    before: Callable[[Path, Path], None] = lambda order, dataset: None
    killed: int | None = None

    def __post_init__(self) -> None:
        self.orders: list[dict[str, Any]] = []

    def __call__(
        self,
        order: Path,
        dataset: Path,
        work: Path,
        listener: Callable[[TrainingProgress], None],
    ) -> Path:
        self.orders.append(json.loads((order / "order.json").read_text()))
        self.before(order, dataset)
        last: dict[str, Any] = {}
        with nursery.start(order, dataset, work) as process:
            if self.killed == len(self.orders) - 1:
                process.kill()
            for line in process.stdout:
                last = json.loads(line)
                if last["kind"] == "progress":
                    listener(TrainingProgress(**{k: v for k, v in last.items() if k != "kind"}))
            said = process.stderr.read()
        if last.get("kind") == "failed":
            raise _ERRORS[last["problem"]](last["detail"])
        if last.get("kind") != "done":
            raise InternalError(f"the trainer ended with {process.returncode}: {said[-500:]}")
        return work / "result"


def blobs(samples: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    """Seeded clusters that overlap a little."""
    rng = np.random.default_rng([1, seed])
    centres = np.random.default_rng(99).standard_normal((CLASSES, FEATURES))
    labels = rng.integers(0, CLASSES, samples)
    x = centres[labels] + 0.7 * rng.standard_normal((samples, FEATURES))
    return {"x": x.astype(np.float32), "labels": labels.astype(np.int64)}


def mlp(**more: Any) -> ModelProto:
    """x -> Gemm fc1 -> Relu -> Gemm fc2 -> scores: right on about 99% of the blobs."""
    weights = fitted()
    nodes = [
        node("Gemm", ["x", "fc1", "b1"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "fc2", "b2"], ["y"]),
    ]
    return model_of(
        graph_of(nodes, [value("x", ["n", FEATURES])], [value("y", ["n", CLASSES])], weights),
        **more,
    )


def fitted() -> dict[str, np.ndarray]:
    """Weights of `mlp`: random features, and scores from them by least squares."""
    rng = np.random.default_rng(5)
    fc1 = rng.standard_normal((FEATURES, HIDDEN)) / np.sqrt(FEATURES)
    b1 = 0.1 * rng.standard_normal(HIDDEN)
    given = blobs(1000, seed=7)
    hidden = np.maximum(given["x"] @ fc1 + b1, 0)
    columns = np.hstack([hidden, np.ones((len(hidden), 1))])
    found = np.linalg.lstsq(columns, 8 * np.eye(CLASSES)[given["labels"]], rcond=None)[0]
    arrays = {"fc1": fc1, "b1": b1, "fc2": found[:-1], "b2": found[-1]}
    return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}


def save(path: Path, model: ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def save_data(path: Path, *groups: dict[str, np.ndarray], **arrays: np.ndarray) -> Path:
    for group in groups:
        arrays |= group
    np.savez(path, **arrays)
    return path


@dataclass
class Bench:
    """Everything that fine-tuning needs, ready for a stage; files lie in `folder`."""

    folder: Path
    model: ModelProto
    plan: Plan
    weights: dict[str, Weight]
    tuning: FineTuning
    config: Config
    trainer: Trainer

    @classmethod
    def of(
        cls,
        folder: Path,
        model: ModelProto,
        arrays: dict[str, np.ndarray],
        trainer: Trainer | None = None,
        **raw: Any,
    ) -> "Bench":
        folder.mkdir(parents=True, exist_ok=True)
        path = save(folder / "model.onnx", model)
        config = Config.parse({"preset": "paper", **raw})
        parsed = admit.load(path)
        view = survey(parsed, path)
        plan = make_plan(view, config)
        specs = feeds.input_specs(parsed)
        data = save_data(folder / "data.npz", arrays)
        dataset = Dataset.prepare([data], specs, folder / "data", config.seed)
        trainer = trainer or Program()
        means = Means(trainer, folder / "scratch", Clock(None, training=True))
        original = Original(path, parsed, view)
        tuning = begin(original, plan, dataset, config, OwnGraphs(), means)
        weights = {weight.name: weight for weight in view.weights}
        return cls(folder, parsed, plan, weights, tuning, config, trainer)
