"""Peak memory of tuning an artifact, against training all of its weights: VGG-16 on 32 x 32 pixels, 37.7 M weights.

    .venv/bin/python -m benchmarks.tune_memory

Three trainings of one epoch on the same data, through the same worker, at a batch of 64, each from a process of its own:
every weight and bias a parameter of AdamW; the codebooks as a compression tunes them, codes within the graph; and
`sparsebook_compressor.tune` on the artifact. The peak is the resident set's high-water mark, mapped files with it, of the
worker and of the process that asks. The bar is a quarter of the dense training's.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from benchmarks.architectures import VGG16_PAPER, vgg16
from benchmarks.results import FOLDER, show, write
from benchmarks.worker import PYTHON
from sparsebook_compressor import Config, admit, compress, tune
from sparsebook_compressor.feeds import input_specs
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.progress import TrainingProgress
from sparsebook_compressor.rewrite.operator import PAYLOAD_SUFFIX
from sparsebook_compressor.trainable import prepare
from sparsebook_compressor.training.aim.metrics import record_teacher
from sparsebook_compressor.training.aim.objective import decide
from sparsebook_compressor.training.data.dataset import Dataset
from sparsebook_compressor.training.data.probe import probe
from sparsebook_compressor.training.losses.attach import attach
from sparsebook_compressor.training.orders.order import write_order
from sparsebook_compressor.training.orders.parameters import Fill, share
from sparsebook_compressor.training.orders.settings import settle_tuning
from sparsebook_compressor.tuning.operators import find
from sparsebook_runtime import library_path, platform_tag

SIZE, CLASSES, SAMPLES = 32, 1000, 160
BAR = 0.25
SEED = 0
CONFIG = Config.parse({"train": {"epochs": 1, "batch_size": 64, "learning_rate": 1e-4}})
MODES = ("dense", "codes in the graph", "tune")


def main() -> None:
    """Run all rows, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--child", choices=MODES, help=argparse.SUPPRESS)
    mode = parser.parse_args().child
    if mode:
        print(json.dumps(measure(mode)))
        return
    made()
    rows = []
    for each in MODES:
        command = [sys.executable, "-m", "benchmarks.tune_memory", "--child", each]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    for row in rows:
        row["share_of_dense"] = row["worker_peak_bytes"] / rows[0]["worker_peak_bytes"]
    show(
        "Peak memory of tuning VGG-16 (32 x 32 pixels), batch 64",
        ("training", "worker's peak", "of dense", "compressor's peak", "worker's CPU s", "seconds"),
        [_cells(row) for row in rows],
    )
    reached = rows[-1]["share_of_dense"] <= BAR
    print("bar:", BAR, "reached" if reached else "missed")
    print("written:", write("tune_memory", rows, seed=SEED, bar=BAR, reached=reached))


def made() -> tuple[Path, Path, Path]:
    """The model, its artifact at the paper's densities and bits, and data; made once."""
    folder = FOLDER / "tune_memory"
    model, artifact, data = folder / "vgg.onnx", folder / "bundle" / "model.onnx", folder / "d.npz"
    if not data.exists():
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(vgg16(SEED, SIZE), model)
        weights = {
            f"{layer}.weight": {"density": density, "bits": bits}
            for layer, (density, bits) in VGG16_PAPER.items()
        }
        config = {"preset": "paper", "share": {"iterations": 10}, "weights": weights}
        if not artifact.exists():
            compress(model, artifact.parent, Config.parse(config), verify=False)
        rng = np.random.default_rng(SEED)
        images = rng.standard_normal((SAMPLES, 3, SIZE, SIZE)).astype(np.float32)
        np.savez(data, data=images, labels=rng.integers(0, CLASSES, SAMPLES))
    return model, artifact, data


class Watched:
    """The worker as a child whose memory is looked at as it runs; a `Trainer`."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.cpu_seconds = 0.0

    def __call__(
        self, order: Path, dataset: Path, work: Path, listener: Callable[[TrainingProgress], None]
    ) -> Path:
        """Carry an order out."""
        command = [PYTHON.absolute(), "-P", "-m", "sparsebook_training", order, dataset, work]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with tempfile.TemporaryFile() as log:
            with subprocess.Popen(
                [*map(str, command), "--device", "cpu"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
            ) as process:
                while process.poll() is None:
                    self.peak_bytes = max(self.peak_bytes, _high_water(process.pid))
                    time.sleep(0.02)
            if process.returncode:
                log.seek(0)
                raise RuntimeError(log.read().decode(errors="replace")[-2000:])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_seconds += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return work / "result"


def _high_water(pid: int) -> int:
    """VmHWM in bytes, 0 where the process is gone; `ru_maxrss` of a child would begin with its parent's."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found[0]) * 1024 if found else 0


def measure(mode: str) -> dict[str, Any]:
    """One training from this process."""
    model, artifact, data = made()
    worker = Watched()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        if mode == "tune":
            tune(
                artifact,
                Path(folder) / "out",
                CONFIG,
                data=data,
                trainer=worker,
                operator_library=library_path(),
                platform=platform_tag(),
            )
        else:
            train(model, artifact, data, worker, Path(folder), dense=mode == "dense")
    return {
        "training": mode,
        "worker_peak_bytes": worker.peak_bytes,
        "compressor_peak_bytes": _high_water(os.getpid()),
        "worker_cpu_seconds": worker.cpu_seconds,
        "seconds": time.perf_counter() - began,
    }


def train(
    model: Path, artifact: Path, data: Path, worker: Watched, folder: Path, *, dense: bool
) -> None:
    """All weights and biases of the model, or its codebooks as a compression trains them."""
    parsed = admit.load(model)
    dataset = Dataset.prepare([data], input_specs(parsed), folder / "data", SEED)
    objective = decide(parsed, dataset, probe(model, dataset), loss="labels")
    view = survey(parsed, model)
    trainable = prepare(parsed, view, outputs=objective.learned, shapes=dataset.feed_shapes())
    record_teacher(model, dataset, objective)
    graph = attach(trainable.model, objective, dataset)
    weights = {trainable.weights[weight.name]: weight for weight in view.weights}
    fill: Fill = {name: weight.read for name, weight in weights.items()}
    parameters = [*weights, *(vector.initializer for vector in trainable.vectors)]
    if not dense:
        parameters = []
        for held in find(admit.load(artifact), artifact):
            coded = held.decode()
            name = held.name.removesuffix(PAYLOAD_SUFFIX)
            entered = share(graph, name, coded.codebook, partial(_codes, coded))
            parameters.append(entered.name)
            fill.update(entered.fill)
    settings = settle_tuning(CONFIG, dataset.samples("train"), free_batch=True)
    order = settings.order(tuple(parameters), objective.form, settings.tune_epochs)
    whole = replace(order, feed=settings.batch_size)
    write_order(folder / "order", whole, graph, fill, model)
    worker(folder / "order", dataset.shared, folder / "work", _ignore)


def _codes(coded: CodedWeight) -> npt.NDArray[np.uint8]:
    return coded.codes


def _ignore(step: TrainingProgress) -> None:
    """Nobody listens."""


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["training"],
        f"{row['worker_peak_bytes'] / 1e6:.0f} MB",
        f"{row['share_of_dense']:.3f}",
        f"{row['compressor_peak_bytes'] / 1e6:.0f} MB",
        f"{row['worker_cpu_seconds']:.0f}",
        f"{row['seconds']:.0f}",
    )


if __name__ == "__main__":
    main()
