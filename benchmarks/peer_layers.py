"""Other engines on the layers that kernels are measured on: DeepSparse, which computes from sparse weights too, and OpenVINO.

    .venv/bin/python -m benchmarks.peer_layers [--engine deepsparse|openvino] [--quick] [--seconds S]

Each engine is in an environment of its own and gets the artifact's weights as plain floats, from which it takes the zeros itself. In its
process ONNX Runtime, the artifact's operators and the engine take turns, on one thread, in float32, by the CPU time of the process;
weights of fully connected layers are evicted between calls. How it is done is in benchmarks/kernels.py.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from benchmarks.kernel_artifacts import artifact, artifact_of, layer_settings, plain
from benchmarks.kernel_bars import geometric_mean
from benchmarks.kernel_layers import BATCHES, CONV, DENSE, QUICK_CONV, QUICK_DENSE, Conv, Dense
from benchmarks.kernel_runs import SEED, SMALL, summarised, sweep_bytes
from benchmarks.kernel_whole import paper_settings
from benchmarks.results import show, write
from benchmarks.scale import built
from sparsebook_runtime import library_path

ENGINES = ("deepsparse", "openvino")
# DeepSparse tells its makers of every use unless it is told not to.
QUIET = {"NM_DISABLE_ANALYTICS": "True"}
COLUMNS = (
    "layer",
    "shape",
    "batch",
    "engine",
    "ONNX Runtime",
    "engine's",
    "ours",
    "engine",
    "ours",
    "ours / engine",
)
MEANS = ("engine", "layers", "ran", "ours / engine", "not run by it")
KINDS = {
    "fc": "fully connected, batch 1, 8 and 64, weights from memory",
    "conv": "convolutions at 22 to 38%",
    "whole": "AlexNet, whole",
}


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--engine", choices=ENGINES, action="append", help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="a few layers of each kind")
    parser.add_argument("--seconds", type=float, default=4.0, help="for one layer at one batch")
    parser.add_argument(
        "--sweep",
        type=int,
        metavar="MB",
        help="to read between calls; a tenth more than the last cache",
    )
    arguments = parser.parse_args()
    sweep = sweep_bytes(arguments.sweep)
    rows = []
    for row in measured(
        arguments.engine or ENGINES, arguments.seconds, sweep, quick=arguments.quick
    ):
        rows.append(row)
        print(" ".join(cells(row)), file=sys.stderr)
    title = "Median ms of CPU time, and how many times as fast as ONNX Runtime"
    show(title, COLUMNS, [cells(row) for row in rows], page=False)
    show("How many times as fast as another engine, geometric means", MEANS, means(rows))
    facts = {"seed": SEED, "swept_bytes": sweep, "seconds": arguments.seconds}
    whole = not (arguments.quick or arguments.engine)
    print("written:", write("peer-layers", rows, whole=whole, **facts))


def measured(
    engines: tuple[str, ...], seconds: float, sweep: int, *, quick: bool
) -> Iterator[dict[str, Any]]:
    """Every layer on every engine, as they are measured; an engine that does not run a layer says why."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        order: dict[str, Any] = {"library": str(library_path()), "seed": SEED, "seconds": seconds}
        order["small"] = {
            **_files(_compressed(SMALL), folder / "small.onnx"),
            "shape": (1, SMALL.into),
        }
        for facts, shapes, compressed in _subjects(quick=quick):
            files = _files(compressed, folder / "plain.onnx")
            order["sweep"] = sweep if facts["section"] == "fc" else 0
            for shape in shapes:
                order["layer"] = {**files, "shape": shape}
                for engine in engines:
                    found = _ask({**order, "engine": engine}, folder)
                    yield {**facts, "batch": shape[0], "engine": engine, **found}


def python_of(engine: str) -> Path:
    """The interpreter of an engine's environment; `make peers-layers` makes it."""
    return Path(f".venv-peer-{engine}/bin/python")


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """For the table."""
    first = (row["layer"], row["shape"], str(row["batch"]), row["engine"])
    if "error" in row:
        return (*first, row["error"], "", "", "", "", "")
    medians = [
        row["timings"][name]["median"] for name in ("onnxruntime", row["engine"], "sparsebook")
    ]
    theirs, engine, ours = medians
    times = (theirs / engine, theirs / ours, engine / ours)
    return (
        *first,
        *(f"{1e3 * took:.3g}" for took in medians),
        *(f"{found:.2f}x" for found in times),
    )


def means(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Geometric means of how many times as fast ours are, by engine and kind of layer; and what an engine did not run."""
    groups: dict[tuple[str, str], list[float]] = {}
    failed: dict[tuple[str, str], int] = {}
    for row in rows:
        at = (row["engine"], row["section"])
        groups.setdefault(at, [])
        if "error" in row:
            failed[at] = failed.get(at, 0) + 1
        else:
            timings = row["timings"]
            groups[at].append(timings[row["engine"]]["median"] / timings["sparsebook"]["median"])
    versions = {row["engine"]: row["version"] for row in rows if "version" in row}
    return [
        (
            f"{engine} {versions.get(engine, '')}".strip(),
            KINDS[kind],
            str(len(found)),
            f"{geometric_mean(found):.2f}x" if found else "",
            str(failed.get((engine, kind), "")),
        )
        for (engine, kind), found in groups.items()
    ]


def _subjects(*, quick: bool) -> Iterator[tuple[dict[str, str], list[tuple[int, ...]], Path]]:
    """Facts, the inputs' shapes and the artifact of everything that is measured."""
    dense, convs = (QUICK_DENSE, QUICK_CONV) if quick else (DENSE, CONV)
    for layer in dense:
        facts = {
            "section": "fc",
            "layer": layer.name,
            "shape": f"{layer.shape} {layer.density:.0%}",
        }
        yield facts, [(batch, layer.into) for batch in BATCHES], _compressed(layer)
    for conv in convs:
        if "resnet" not in conv.name or conv.density == 0.30:
            facts = {
                "section": "conv",
                "layer": conv.name,
                "shape": f"{conv.shape} {conv.density:.0%}",
            }
            yield facts, [(1, conv.into, conv.size, conv.size)], _compressed(conv)
    if not quick:
        whole = artifact_of(built("alexnet"), paper_settings("alexnet"))
        yield {"section": "whole", "layer": "alexnet", "shape": ""}, [(1, 3, 227, 227)], whole


def _compressed(layer: Dense | Conv) -> Path:
    settings = layer_settings(layer.density, layer.bits)
    return artifact(layer.name, lambda: layer.build(SEED), settings)


def _files(compressed: Path, floats: Path) -> dict[str, str]:
    """An artifact, and the same weights as floats, which are written here."""
    onnx.save(plain(compressed), floats)
    return {"plain": str(floats.absolute()), "artifact": str(compressed.absolute())}


def _ask(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    asked, answered = folder / "order.json", folder / "answer.json"
    asked.write_text(json.dumps(order))
    answered.unlink(missing_ok=True)
    command = [
        str(python_of(order["engine"])),
        "-m",
        "benchmarks.peer_child",
        str(asked),
        str(answered),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **QUIET}
    )
    if done.returncode or not answered.exists():
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        return {"error": lines[-1][:200]}
    answer = json.loads(answered.read_text())
    return {
        "version": answer["version"],
        "relative_errors": answer["relative_errors"],
        "timings": summarised(answer["seconds"]),
    }


if __name__ == "__main__":
    main()
