"""The main job, end to end: two real models through the service, and what became of them in one table.

    make demo

Starts `sparsebook serve` on a free port, uploads magika's file-type model and PP-OCRv4's text recogniser, waits for the
jobs, downloads the bundles, and runs original and artifact side by side on real inputs: files of this folder, printed text.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from benchmarks.inputs import MAGIKA, PPOCR_RECOGNITION, files, magika_features, text_lines
from benchmarks.results import show, write
from benchmarks.run_model import Run, run
from sparsebook_compressor import Config
from sparsebook_service.client import Client

COLUMNS = ("model", "bytes", "ratio", "agreement", "latency", "load", "memory", "job took")
START_SECONDS = 60


@dataclass(frozen=True)
class Case:
    """A model and real inputs for it."""

    name: str
    model: Path
    inputs: npt.NDArray[Any]


def main() -> None:
    """Run the demo."""
    cases = [
        Case("magika 1.0.3, file types", MAGIKA, magika_features(files(200))),
        Case("PP-OCRv4, reading text", PPOCR_RECOGNITION, text_lines(60)[0]),
    ]
    rows: list[tuple[str, ...]] = []
    results = []
    with (
        tempfile.TemporaryDirectory(prefix="sparsebook-demo-") as folder,
        serving(Path(folder)) as url,
    ):
        print(f"the service listens at {url}")
        with Client(url) as client:
            for case in cases:
                original = run(case.model, case.inputs)
                rows.append(
                    _cells(case.name, case.model.stat().st_size, None, original, original, None)
                )
                for output in ("operator", "portable"):
                    out = Path(folder) / f"{case.model.stem}-{output}"
                    began = time.perf_counter()
                    job = client.compress(case.model, config=Config(output=output))
                    print(f"POST /compress {case.model.name} -> job {job.id}, output {output}")
                    job = client.wait(job.id)
                    took = time.perf_counter() - began
                    client.download(job, out)
                    artifact = run(out / "model.onnx", case.inputs, operators=output == "operator")
                    size = sum(file.stat().st_size for file in out.glob("model.onnx*"))
                    before = case.model.stat().st_size
                    rows.append(_cells(f"  {output}", size, before, artifact, original, took))
                    results.append(
                        {
                            "model": case.name,
                            "output": output,
                            "bytes_before": before,
                            "bytes_after": size,
                            "agreement": artifact.agreement(original),
                            "samples": len(case.inputs),
                            "job_seconds": took,
                            "original": original.facts(),
                            "artifact": artifact.facts(),
                        }
                    )
    title = "Two real models through Sparsebook: preset safe, no data given"
    show(title, COLUMNS, rows, picture="demo.svg")
    print(
        "agreement: share of positions with the original's answer, on files of this folder and on printed text;"
    )
    print(
        "latency: median of one sample on one thread; memory: resident, less a process that only imported ONNX Runtime"
    )
    print("written:", write("demo", results))


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The service on a free port of the loopback; its URL."""
    command = [str(Path(sys.executable).with_name("sparsebook")), "serve", "--port", "0"]
    log = folder / "log"
    with log.open("wb") as errors:
        server = subprocess.Popen(
            [*command, "--data-dir", str(folder / "data")], stderr=errors, env=dict(os.environ)
        )
    try:
        yield _url(server, log)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)


def _url(server: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if line.startswith("{") and line.endswith("}"):
                entry = json.loads(line)
                if entry["event"] == "listening":
                    return str(entry["url"])
        time.sleep(0.05)
    raise SystemExit(f"the service did not start:\n{log.read_text()}")


def _cells(
    name: str, size: int, before: int | None, found: Run, original: Run, took: float | None
) -> tuple[str, ...]:
    return (
        name,
        f"{size:,}",
        "" if before is None else f"{before / size:.2f}x",
        "" if before is None else f"{found.agreement(original):.2%}",
        f"{1000 * found.latency_seconds:.1f} ms",
        f"{1000 * found.load_seconds:.0f} ms",
        f"{found.resident_bytes / 1e6:.0f} MB",
        "" if took is None else f"{took:.1f} s",
    )


if __name__ == "__main__":
    main()
