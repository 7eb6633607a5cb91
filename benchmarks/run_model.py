"""Runs one model in a process of its own: load time, latency, resident memory, outputs.

    .venv/bin/python -m benchmarks.run_model MODEL INPUTS.npy OUTPUTS.npy [--operators]

Prints JSON. Memory is the resident set after the runs less the one of a process that only imported ONNX Runtime.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import psutil

WARM_UP = 2


def main() -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("outputs", type=Path)
    parser.add_argument("--operators", action="store_true", help="register the operator library")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    inputs = np.load(arguments.inputs)
    options = ort.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    if arguments.operators:
        import sparsebook_runtime  # noqa: PLC0415 - the others have to run without it

        sparsebook_runtime.register(options)
    before = psutil.Process().memory_info().rss
    began, worked = time.perf_counter(), time.process_time()
    session = ort.InferenceSession(
        str(arguments.model), options, providers=["CPUExecutionProvider"]
    )
    loaded, worked = time.perf_counter() - began, time.process_time() - worked
    name = session.get_inputs()[0].name
    found, seconds = [], []
    for sample in [*inputs[:WARM_UP], *inputs]:
        began = time.perf_counter()
        found.append(session.run(None, {name: sample[None]})[0])
        seconds.append(time.perf_counter() - began)
    np.save(arguments.outputs, np.concatenate(found[WARM_UP:]))
    facts = {
        "load_seconds": loaded,
        "load_cpu_seconds": worked,
        "latency_seconds": statistics.median(seconds[WARM_UP:]),
        "resident_bytes": psutil.Process().memory_info().rss - before,
    }
    print(json.dumps(facts))


@dataclass(frozen=True)
class Run:
    """What running a model took, and what it gave: outputs of all samples, the first axis over samples."""

    load_seconds: float
    load_cpu_seconds: float
    latency_seconds: float
    resident_bytes: int
    outputs: npt.NDArray[np.float32]

    def agreement(self, original: "Run") -> float:
        """Share of positions whose argmax over the last axis is the original's."""
        return float((self.outputs.argmax(-1) == original.outputs.argmax(-1)).mean())

    def facts(self) -> dict[str, Any]:
        """The figures, for JSON."""
        return {
            "load_seconds": self.load_seconds,
            "load_cpu_seconds": self.load_cpu_seconds,
            "latency_seconds": self.latency_seconds,
            "resident_bytes": self.resident_bytes,
        }


def run(model: Path, inputs: npt.NDArray[Any], *, operators: bool = False) -> Run:
    """Run a model on samples, one at a time, in a process of its own, on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "in.npy", Path(folder) / "out.npy"
        np.save(given, inputs)
        command = [sys.executable, "-m", "benchmarks.run_model", str(model), str(given), str(found)]
        if operators:
            command.append("--operators")
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return Run(**json.loads(done.stdout), outputs=np.load(found))


if __name__ == "__main__":
    main()
