"""Data files and small models for tests of training data, losses and metrics."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from sparsebook_compressor.feeds import InputSpec, input_specs
from sparsebook_compressor.training.aim.metrics import evaluate, keep_reference
from sparsebook_compressor.training.aim.objective import Objective, decide
from sparsebook_compressor.training.aim.own import OwnGraph
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_compressor.training.data.parts import Part
from sparsebook_compressor.training.data.probe import probe
from tests.unit.compressor.models import graph_of, model_of, node, value

IMAGE = InputSpec("image", np.dtype(np.float32), (None, 3, 4), ("n", "", ""))
IDS = InputSpec("ids", np.dtype(np.int64), (None, None), ("n", "t"))
SPECS = (IMAGE, IDS)
FEATURES, CLASSES = 3, 4


def good(samples: int = 20, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays for SPECS; the first id of a sample is its number."""
    rng = np.random.default_rng(seed)
    ids = np.tile(np.arange(samples)[:, None], (1, 5)) + 1000 * seed
    return {"image": rng.standard_normal((samples, 3, 4)).astype(np.float32), "ids": ids}


def prefixed(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}


def write(path: Path, *groups: dict[str, Any], **arrays: Any) -> Path:
    """Save arrays as an .npz."""
    for group in groups:
        arrays |= group
    np.savez(path, **arrays)
    return path


def column(dataset: Dataset, part: Part, name: str, size: int = 7) -> np.ndarray:
    """All samples of an array of a part."""
    found = [feed[name] for feed in dataset.batches(part, size, [name])]
    return np.concatenate(found) if found else np.zeros(0)


def linear(*endings: NodeProto, seed: int = 0, **options: Any) -> ModelProto:
    """scores = x w + b, and what `endings` make of it: y, or z where there are none.

    Options: opset; shape of the input; kind, the element type of the output; columns of w.
    """
    rng = np.random.default_rng(seed)
    columns = options.pop("columns", CLASSES)
    weights = {
        "w": rng.standard_normal((FEATURES, columns)).astype(np.float32),
        "b": rng.standard_normal(columns).astype(np.float32),
    }
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Add", ["h", "b"], ["z"]), *endings]
    output = helper.make_tensor_value_info(
        "y" if endings else "z", options.pop("kind", TensorProto.FLOAT), None
    )
    shape = options.pop("shape", ["n", FEATURES])
    return model_of(graph_of(nodes, [value("x", shape)], [output], weights), **options)


def inputs(samples: int = 40, shape: Sequence[int] = (FEATURES,), seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((samples, *shape)).astype(np.float32)


class Job:
    """A model, its data, and what is decided from both."""

    def __init__(
        self,
        folder: Path,
        model: ModelProto,
        arrays: dict[str, np.ndarray],
        *,
        own_loss: OwnGraph | None = None,
        own_metric: OwnGraph | None = None,
        **choice: str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.model = model
        self.path = folder / "original.onnx"
        self.path.write_bytes(model.SerializeToString())
        own = [graph for graph in (own_loss, own_metric) if graph is not None]
        extra = [name for graph in own for name in graph.arrays]
        file = write(folder / "data.npz", arrays)
        self.dataset = Dataset.prepare([file], input_specs(model), folder / "data", 0, extra)
        self.objective: Objective = decide(
            model,
            self.dataset,
            probe(self.path, self.dataset),
            own_loss=own_loss,
            own_metric=own_metric,
            **choice,
        )

    def measure(self, model: Path, part: Part) -> float | None:
        """The metric of a model on a part; the original is run once for each."""
        reference = self.folder / f"reference-{part}"
        if not reference.exists():
            keep_reference(self.path, self.dataset, part, self.objective, reference)
        return evaluate(model, None, self.dataset, part, self.objective, reference)
