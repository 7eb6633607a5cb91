"""What the update of a retrained model takes, against its whole artifact: the LeNets, trained on.

    .venv/bin/python -m benchmarks.updates

The first release is the committed baseline. A retraining goes on from it with other samples and another seed: a month's 10,000
images whose pixels are shifted in brightness, for some epochs at some rate. Each release is compressed without data, with either preset; the new one
with the first as its base, and without. All artifacts are measured on the 10,000 test images, which no training saw.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks import mnist
from benchmarks.fitting import Recipe, fit
from benchmarks.lenets import LENETS, Lenet
from benchmarks.paper_runs import hits
from benchmarks.results import show, write
from sparsebook_compressor import Config, apply_update, compress
from sparsebook_compressor.report import Report
from sparsebook_compressor.updates.records import UPDATE_NAME
from sparsebook_runtime import library_path

SEED = 7
MONTH = 10_000
MUST = 0.3
PRESETS = ("safe", "paper")


@dataclass(frozen=True)
class Retraining:
    """A way to train on: its name, epochs and learning rate."""

    name: str
    epochs: int
    learning_rate: float


RETRAININGS = (
    Retraining("light", 1, 3e-5),
    Retraining("monthly", 2, 1e-4),
    Retraining("heavy", 5, 5e-4),
)


def main() -> None:
    """Train, compress, measure, print the table and write the JSON."""
    rows = []
    data = month(mnist.read())
    for lenet in LENETS.values():
        for retraining in RETRAININGS:
            with tempfile.TemporaryDirectory() as folder:
                rows += measured(lenet, retraining, data, Path(folder))
    show(
        f"Updates of the LeNets, asked for: at most {MUST:.0%} of the artifact",
        (
            "net",
            "retraining",
            "floats moved",
            "preset",
            "artifact",
            "update",
            "share",
            "error before",
            "after",
            "compressed without a base",
            "with it",
        ),
        [_cells(row) for row in rows],
    )
    print("written:", write("updates", rows, seed=SEED, month=MONTH))


def month(data: mnist.Mnist) -> mnist.Mnist:
    """New samples: some of the training part, a tenth brighter or darker as a whole."""
    rng = np.random.default_rng(SEED)
    chosen = rng.permutation(len(data.train.labels))[:MONTH]
    factors = rng.uniform(0.9, 1.1, (MONTH, 1, 1))
    images = np.clip(data.train.images[chosen] * factors, 0, 255).astype(np.uint8)
    return mnist.Mnist(mnist.Part(images, data.train.labels[chosen]), data.eval, data.test)


def measured(
    lenet: Lenet, retraining: Retraining, data: mnist.Mnist, folder: Path
) -> list[dict[str, Any]]:
    """Retrain one net one way, and compress it with both presets."""
    before = onnx.load(lenet.trained)
    after = onnx.load(lenet.trained)
    recipe = Recipe(retraining.epochs, retraining.learning_rate, 64, 0.0, SEED)
    fit(after, data, lenet.shape, recipe)
    new = folder / "new.onnx"
    onnx.save(after, new)
    errors = {
        "old": _error(lenet.trained, lenet, data),
        "new": _error(new, lenet, data),
    }
    rows = []
    for preset in PRESETS:
        base = folder / f"{preset}-base"
        _compressed(lenet.trained, base, preset, None)
        fresh, kept = folder / f"{preset}-fresh", folder / f"{preset}-kept"
        whole = _compressed(new, fresh, preset, None)
        report = _compressed(new, kept, preset, base / "model.onnx")
        assert report.update is not None
        apply_update(base / "model.onnx", kept / UPDATE_NAME, folder / f"{preset}.onnx")
        same = (folder / f"{preset}.onnx").read_bytes() == (kept / "model.onnx").read_bytes()
        rows.append(
            {
                "net": lenet.name,
                "retraining": retraining.name,
                "epochs": retraining.epochs,
                "learning_rate": retraining.learning_rate,
                "moved": _moved(before, after),
                "preset": preset,
                "artifact_bytes": whole.artifact.bytes,
                "artifact_bytes_with_base": report.artifact.bytes,
                "update_bytes": report.update.bytes,
                "share": report.update.bytes / whole.artifact.bytes,
                "rebuilt_exactly": same,
                "errors": {
                    **errors,
                    "without_base": _error(fresh / "model.onnx", lenet, data),
                    "with_base": _error(kept / "model.onnx", lenet, data),
                },
            }
        )
    return rows


def _compressed(model: Path, out: Path, preset: str, base: Path | None) -> Report:
    config = Config.parse({"preset": preset})
    return compress(model, out, config, base=base, operator_library=library_path())


def _error(model: Path, lenet: Lenet, data: mnist.Mnist) -> float:
    return 1.0 - float(hits(model, lenet, data.test).mean())


def _moved(before: onnx.ModelProto, after: onnx.ModelProto) -> float:
    """How far the floats of all tensors have moved, relative to their norm."""
    pairs = zip(before.graph.initializer, after.graph.initializer, strict=True)
    arrays = [(numpy_helper.to_array(a), numpy_helper.to_array(b)) for a, b in pairs]
    floats = [(a.astype(float), b.astype(float)) for a, b in arrays if a.dtype.kind == "f"]
    steps = sum(float(np.square(b - a).sum()) for a, b in floats)
    return float((steps / sum(float(np.square(a).sum()) for a, _ in floats)) ** 0.5)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    errors = row["errors"]
    return (
        row["net"],
        f"{row['retraining']}: {row['epochs']} epoch{'s' * (row['epochs'] > 1)}, {row['learning_rate']:g}",
        f"{row['moved']:.1%}",
        row["preset"],
        f"{row['artifact_bytes'] / 1e3:.1f} kB",
        f"{row['update_bytes'] / 1e3:.1f} kB",
        f"{row['share']:.1%}" + ("" if row["rebuilt_exactly"] else " WRONG"),
        *(f"{errors[key]:.2%}" for key in ("old", "new", "without_base", "with_base")),
    )


if __name__ == "__main__":
    main()
