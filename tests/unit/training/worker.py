"""Orders, datasets and the worker program, as its users write and start them."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

PYTHON = Path(".venv-trainer/bin/python")
ORDER = {
    "format": 1,
    "metric": "mean",
    "select": "metric",
    "batch_size": 32,
    "feed": 32,
    "epochs": 4,
    "learning_rate": 0.01,
    "optimizer": "adamw",
    "schedule": "cosine",
    "weight_decay": 0.0,
    "patience": None,
    "keep_start": True,
    "seed": 0,
}
Samples = dict[str, np.ndarray]


@dataclass
class Job:
    """Folders of one training.

    Attributes:
        folder: of the order, the dataset and the work.
    """

    folder: Path

    @property
    def order(self) -> Path:
        return self.folder / "order"

    @property
    def dataset(self) -> Path:
        return self.folder / "dataset"

    def write_order(self, model: onnx.ModelProto, parameters: list[str], **changes: object) -> None:
        self.order.mkdir(parents=True, exist_ok=True)
        onnx.save(model, self.order / "model.onnx")
        order = ORDER | {"parameters": parameters} | changes
        (self.order / "order.json").write_text(json.dumps(order))

    def write_dataset(self, train: list[Samples], evaluation: list[Samples]) -> None:
        self.dataset.mkdir(parents=True, exist_ok=True)
        parts: dict[str, list[dict[str, object]]] = {"train": [], "eval": []}
        for part, shards in (("train", train), ("eval", evaluation)):
            for index, arrays in enumerate(shards):
                files = {name: f"{part}-{index:05}.{name}.npy" for name in arrays}
                for name, array in arrays.items():
                    np.save(self.dataset / files[name], array)
                samples = len(next(iter(arrays.values())))
                parts[part].append({"samples": samples, "files": files})
        values = {"format": 1, "inputs": list(train[0]), "parts": parts}
        (self.dataset / "dataset.json").write_text(json.dumps(values))

    def start(
        self, work: str = "work", arguments: tuple[str, ...] = (), **options: Any
    ) -> "subprocess.Popen[str]":
        """The worker, with a standard input that stays open as long as this process keeps it."""
        assert PYTHON.exists(), f"{PYTHON} is missing: make .venv-trainer"
        return subprocess.Popen(
            [
                *(str(PYTHON), "-P", "-m", "sparsebook_training"),
                *(str(self.order), str(self.dataset), str(self.folder / work)),
                *arguments,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, work: str = "work", **options: Any) -> list[dict[str, Any]]:
        """Every line of a run that comes to its own end."""
        with self.start(work, **options) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            lines = [json.loads(line) for line in process.stdout]
            log = process.stderr.read()
        assert lines, log
        assert process.returncode == (lines[-1]["kind"] != "done"), log
        return lines

    def train(self, work: str = "work", **options: Any) -> "Result":
        """A run that has to succeed."""
        lines = self.run(work, **options)
        assert lines[-1] == {"kind": "done"}, lines[-1]
        return Result(self.folder / work / "result")

    def fail(self, problem: str, work: str = "work", **options: Any) -> str:
        """A run that has to fail; why it did."""
        last = self.run(work, **options)[-1]
        assert (last["kind"], last["problem"]) == ("failed", problem), last
        return str(last["detail"])


class Result:
    """What a run came to."""

    def __init__(self, folder: Path) -> None:
        self.values: dict[str, Any] = json.loads((folder / "result.json").read_text())
        self.files = sorted((folder / "parameters").iterdir())
        self.parameters = [np.load(path) for path in self.files]

    @property
    def bytes(self) -> list[bytes]:
        return [path.read_bytes() for path in self.files]

    @property
    def metrics(self) -> list[float]:
        return [epoch["metric"] for epoch in self.values["epochs"]]
