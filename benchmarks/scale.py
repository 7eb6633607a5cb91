"""Full-size AlexNet and VGG-16 at the paper's densities and bits: bytes, entropy bound, time and memory.

    .venv/bin/python -m benchmarks.scale [--model alexnet|vgg16]

Each row is a process of its own, so that its peak memory is its own. The portable output needs no operator library. The bound is the zero-order entropy of the codes
and of the mask of the artifact itself; with 30 Lloyd iterations (the paper's linear initialisation) and at convergence.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.architectures import BUILDERS, PAPER
from benchmarks.results import FOLDER, show, with_kept, write
from sparsebook_compressor import Config, admit, compress
from sparsebook_compressor.artifact import payloads

PAPER_BYTES = {"alexnet": 6.9e6, "vgg16": 11.3e6}
LLOYD = {"30 steps": 30, "converged": None}
ROWS = (("operator", "30 steps"), ("operator", "converged"), ("portable", "30 steps"))
SEED = 0
COLUMNS = (
    "model",
    "output",
    "k-means",
    "input",
    "artifact",
    "ratio",
    "paper",
    "bound",
    "over bound",
    "relative RMS error",
    "seconds",
    "peak memory",
)


def main() -> None:
    """Run all rows, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", choices=sorted(BUILDERS), action="append")
    parser.add_argument(
        "--child", nargs=3, metavar=("MODEL", "OUTPUT", "STEPS"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(*arguments.child)))
        return
    found = {}
    for name in arguments.model or sorted(BUILDERS):
        built(name)
        for row in ROWS:
            command = [sys.executable, "-m", "benchmarks.scale", "--child", name, *row]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[", ".join((name, *row))] = json.loads(done.stdout)
    parts = with_kept("scale", found)
    rows = [parts[key]["found"] for key in sorted(parts)]
    show(
        "Whole artifacts at the paper's densities and bits", COLUMNS, [_cells(row) for row in rows]
    )
    whole = {row["model"] for row in rows} == set(BUILDERS)
    print("written:", write("scale", rows, whole=whole, parts=parts, seed=SEED))


def built(name: str) -> Path:
    """The model's file, built once."""
    path = FOLDER / "models" / f"{name}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        onnx.save(BUILDERS[name](SEED), partial)
        partial.rename(path)
    return path


def paper_config(name: str, iterations: int | None, output: str) -> Config:
    """The paper's densities and bits, layer by layer."""
    weights = {
        f"{layer}.weight": {"density": density, "bits": bits}
        for layer, (density, bits) in PAPER[name].items()
    }
    return Config.parse(
        {
            "preset": "paper",
            "weights": weights,
            "share": {"iterations": iterations},
            "output": output,
        }
    )


def measure(name: str, output: str, steps: str) -> dict[str, Any]:
    """Compress one model in this process."""
    path = built(name)
    config = paper_config(name, LLOYD[steps], output)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        out = Path(folder) / "bundle"
        began = time.perf_counter()
        report = compress(path, out, config, verify=False)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        bound = entropy_bound(out / "model.onnx") if output == "operator" else None
    error = sum((row.relative_error or 0.0) ** 2 * row.bytes_before for row in report.weights)
    return {
        "model": name,
        "output": output,
        "k_means": steps,
        "bytes_in": report.input.bytes,
        "bytes_out": report.artifact.bytes,
        "ratio": report.ratio,
        "paper_bytes": PAPER_BYTES[name],
        "bound_bytes": bound,
        "over_bound": None if bound is None else report.artifact.bytes / bound - 1,
        "rms_error": math.sqrt(error / sum(row.bytes_before for row in report.weights)),
        "seconds": seconds,
        "peak_bytes": peak,
        "stages": {cost.stage: cost.seconds for cost in report.stages},
    }


def entropy_bound(artifact: Path) -> float:
    """Bytes by the zero-order entropy of codes and mask, summed over an artifact's weights."""
    model = admit.load(artifact)
    bits = 0.0
    for payload in payloads(model, artifact):
        counts = np.bincount(payload.decode().codes)
        zeros, nonzeros = int(counts[0]), counts[1:]
        total = int(counts.sum())
        bits += _entropy(nonzeros) * int(nonzeros.sum())
        bits += _entropy(np.array([zeros, total - zeros])) * total
    return bits / 8


def _entropy(counts: Any) -> float:
    shares = counts[counts > 0] / max(1, counts.sum())
    return float(-(shares * np.log2(shares)).sum())


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["model"],
        row["output"],
        row["k_means"],
        f"{row['bytes_in'] / 1e6:.1f} MB",
        f"{row['bytes_out'] / 1e6:.2f} MB",
        f"{row['ratio']:.1f}x",
        f"{row['paper_bytes'] / 1e6:.1f} MB",
        "" if row["bound_bytes"] is None else f"{row['bound_bytes'] / 1e6:.2f} MB",
        "" if row["over_bound"] is None else f"{row['over_bound']:+.1%}",
        f"{row['rms_error']:.3f}",
        f"{row['seconds']:.1f}",
        f"{row['peak_bytes'] / row['bytes_in']:.2f}x the model",
    )


if __name__ == "__main__":
    main()
