"""Models of 1 to 10 GB: time and resident memory of the whole command, by size.

    .venv/bin/python -m benchmarks.size [--gigabytes 1 2 4 8 10] [--preset safe|paper] [--output operator|portable]

Each model is a transformer with seeded Student-t(4) weights in one data file of external data, written here, compressed by
`sparsebook compress` in a process of its own and removed again; the peak is that process's resident set, mapped files with it.
A size for which the disk has no room is left out, and the table says so; one that build/benchmarks/size.json has already is not
measured again without --anew. Peak, time and processor time are drawn over the bytes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import onnx
from onnx import TensorProto, helper

from benchmarks.results import FOLDER, show, write

SEED = 0
WIDTH, HIDDEN, HEADS, WORDS = 2048, 8192, 16, 32_000
SIZES = (1.0, 2.0, 4.0, 8.0, 10.0)
MOST_RESIDENT = 4 << 30
# Besides the model: its payloads twice, in scratch and in the artifact, at a third of its bytes each.
ROOM = 1.8
_BLOCK = 1 << 22


def main() -> None:
    """Run all sizes, print the table, write JSON and picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, nargs="+", default=SIZES)
    parser.add_argument("--preset", choices=("safe", "paper"), default="paper")
    parser.add_argument("--output", choices=("operator", "portable"), default="operator")
    parser.add_argument("--anew", action="store_true", help="forget what was measured before")
    arguments = parser.parse_args()
    rows = [] if arguments.anew else known(arguments.preset, arguments.output)
    left_out: list[str] = []
    for size in arguments.gigabytes:
        if any(row["gigabytes"] == size for row in rows):
            continue
        FOLDER.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(FOLDER).free < ROOM * size * 1e9:
            left_out.append(f"{size:g} GB")
            continue
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            rows.append(measured(Path(folder), size, arguments.preset, arguments.output))
            rows.sort(key=lambda row: row["gigabytes"])
        _show(rows, left_out, arguments.preset, arguments.output)
        facts = {"seed": SEED, "preset": arguments.preset, "output": arguments.output}
        whole = {row["gigabytes"] for row in rows} >= set(SIZES)
        print("written:", write("size", rows, whole=whole, left_out=left_out, **facts))
    if rows:
        print("drawn:", draw(rows))


def known(preset: str, output: str) -> list[dict[str, Any]]:
    """What was measured before with the same preset and output."""
    path = FOLDER / "size.json"
    if not path.is_file():
        return []
    before = json.loads(path.read_text())
    same = (before["seed"], before["preset"], before["output"]) == (SEED, preset, output)
    rows: list[dict[str, Any]] = before["results"] if same else []
    return rows


def measured(folder: Path, gigabytes: float, preset: str, output: str) -> dict[str, Any]:
    """Write one model, compress it in a child, and say what that took."""
    began = time.perf_counter()
    weights = transformer(folder, gigabytes)
    written = time.perf_counter() - began
    program = str(Path(sys.executable).with_name("sparsebook"))
    command = [program, "compress", str(folder / "model.onnx"), "--preset", preset]
    command += ["--output", output, "-o", str(folder / "bundle"), "--json"]
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{gigabytes:g} GB: sparsebook ended with status {child.returncode}")
    report = json.loads(text)
    stages = {row["stage"]: row["seconds"] for row in report["stages"]}
    return {
        "gigabytes": gigabytes,
        "weights": weights,
        "bytes_in": report["input"]["bytes"],
        "bytes_out": report["artifact"]["bytes"],
        "ratio": report["ratio"],
        "peak_bytes": usage.ru_maxrss * 1024,
        "seconds": seconds,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "seconds_to_write_the_model": written,
        "stages": stages,
        "weights_per_processor_second": weights / (usage.ru_utime + usage.ru_stime),
        "fidelity": report["fidelity"],
        "notes": report["notes"],
    }


def transformer(folder: Path, gigabytes: float) -> int:
    """Write a decoder-like transformer of about so many bytes; how many weights it has.

    Its table of words is both its embedding and, transposed, its head.
    """
    layer = 4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN
    layers = max(1, round((gigabytes * 1e9 / 4 - WORDS * WIDTH) / layer))
    writer = _Writer(folder)
    writer.weight("words", WORDS, WIDTH)
    writer.node("Gather", ["words", "ids"], "h0")
    for number in range(layers):
        _layer(writer, number)
    writer.node("Transpose", ["words"], "words.t", perm=[1, 0])
    writer.node("MatMul", [f"h{layers}", "words.t"], "logits")
    writer.save(folder / "model.onnx")
    return layers * layer + WORDS * WIDTH


def _layer(writer: "_Writer", number: int) -> None:
    at, name = f"h{number}", f"l{number}"
    norm = writer.vector(f"{name}.norm", np.ones(WIDTH, np.float32))
    writer.node("LayerNormalization", [at, norm], f"{name}.n", axis=-1)
    split = writer.vector("split", np.array([0, 0, HEADS, WIDTH // HEADS]))
    joined = writer.vector("joined", np.array([0, 0, WIDTH]))
    for part, turned in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        writer.weight(f"{name}.{part}.w", WIDTH, WIDTH)
        writer.node("MatMul", [f"{name}.n", f"{name}.{part}.w"], f"{name}.{part}")
        writer.node("Reshape", [f"{name}.{part}", split], f"{name}.{part}.s")
        writer.node("Transpose", [f"{name}.{part}.s"], f"{name}.{part}.t", perm=turned)
    writer.node("MatMul", [f"{name}.q.t", f"{name}.k.t"], f"{name}.scores")
    scale = writer.vector("scale", np.array([(WIDTH // HEADS) ** -0.5], np.float32))
    writer.node("Mul", [f"{name}.scores", scale], f"{name}.scaled")
    writer.node("Softmax", [f"{name}.scaled"], f"{name}.shares", axis=-1)
    writer.node("MatMul", [f"{name}.shares", f"{name}.v.t"], f"{name}.mixed")
    writer.node("Transpose", [f"{name}.mixed"], f"{name}.mixed.t", perm=[0, 2, 1, 3])
    writer.node("Reshape", [f"{name}.mixed.t", joined], f"{name}.mixed.j")
    writer.weight(f"{name}.o.w", WIDTH, WIDTH)
    writer.node("MatMul", [f"{name}.mixed.j", f"{name}.o.w"], f"{name}.o")
    writer.node("Add", [at, f"{name}.o"], f"{name}.r")
    writer.node("LayerNormalization", [f"{name}.r", norm], f"{name}.m", axis=-1)
    writer.weight(f"{name}.up.w", WIDTH, HIDDEN)
    writer.node("MatMul", [f"{name}.m", f"{name}.up.w"], f"{name}.up")
    writer.node("Relu", [f"{name}.up"], f"{name}.a")
    writer.weight(f"{name}.down.w", HIDDEN, WIDTH)
    writer.node("MatMul", [f"{name}.a", f"{name}.down.w"], f"{name}.down")
    writer.node("Add", [f"{name}.r", f"{name}.down"], f"h{number + 1}")


class _Writer:
    """A graph whose weights go straight into its data file."""

    def __init__(self, folder: Path) -> None:
        self._data = (folder / "model.onnx.data").open("wb")
        self._generator = np.random.default_rng(SEED)
        # Drawing takes longer than all else: the weights are pieces of one long draw, each at its own offset and scale.
        self._drawn = self._generator.standard_t(4, 1 << 24).astype(np.float32)
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: dict[str, TensorProto] = {}

    def weight(self, name: str, rows: int, columns: int) -> None:
        """A float32 [rows, columns], He-scaled."""
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[rows, columns])
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": "model.onnx.data", "offset": self._data.tell()}
        left, scale = rows * columns, np.float32((1 / rows) ** 0.5)
        while left:
            start = int(self._generator.integers(0, len(self._drawn) - _BLOCK))
            piece = self._drawn[start : start + min(left, _BLOCK)] * scale
            self._data.write(piece.data)
            left -= len(piece)
        place["length"] = 4 * rows * columns
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self._tensors[name] = tensor

    def vector(self, name: str, values: Any) -> str:
        """A small constant, once; its name."""
        self._tensors.setdefault(name, onnx.numpy_helper.from_array(values, name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """A node with one output."""
        self._nodes.append(helper.make_node(op, inputs, [output], **attributes))

    def save(self, path: Path) -> None:
        """Write the graph."""
        self._data.close()
        ids = helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "steps"])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "steps", WORDS])
        tensors = list(self._tensors.values())
        graph = helper.make_graph(self._nodes, "transformer", [ids], [logits], tensors)
        opsets = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def draw(rows: list[dict[str, Any]]) -> Path:
    """Peak and processor time over the model's bytes, as SVG."""
    mpl.use("svg")
    import matplotlib.pyplot as plt  # noqa: PLC0415  the backend is chosen first

    mpl.rcParams["svg.hashsalt"] = "sparsebook"
    sizes = [row["bytes_in"] / 1e9 for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    left.plot(sizes, [row["peak_bytes"] / 2**30 for row in rows], "o-", label="peak")
    left.axhline(MOST_RESIDENT / 2**30, color="0.6", linestyle="--", label="allowed")
    left.set(xlabel="model, GB", ylabel="resident memory, GiB", ylim=(0, None))
    left.legend()
    right.plot(sizes, [row["processor_seconds"] / 60 for row in rows], "o-")
    right.set(xlabel="model, GB", ylabel="processor time, minutes", ylim=(0, None), xlim=(0, None))
    figure.tight_layout()
    path = FOLDER / "size.svg"
    figure.savefig(path, metadata={"Date": None})
    return path


def _show(rows: list[dict[str, Any]], left_out: list[str], preset: str, output: str) -> None:
    title = f"One model by size, preset {preset}, output {output}"
    if left_out:
        title += f"; no room on the disk for {', '.join(left_out)}"
    show(
        title,
        (
            "model",
            "weights",
            "artifact",
            "ratio",
            "peak resident",
            "processor s",
            "seconds",
            "of these verifying",
            "parts of the verification",
            "M weights a processor second",
        ),
        [_cells(row) for row in rows],
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['bytes_in'] / 1e9:.2f} GB",
        f"{row['weights'] / 1e6:.0f} M",
        f"{row['bytes_out'] / 1e6:.1f} MB",
        f"{row['ratio']:.1f}x",
        f"{row['peak_bytes'] / 2**30:.2f} GiB",
        f"{row['processor_seconds']:.0f}",
        f"{row['seconds']:.0f}",
        f"{row['stages'].get('verify', 0):.0f}",
        str(row["fidelity"]["parts"]),
        f"{row['weights_per_processor_second'] / 1e6:.1f}",
    )


if __name__ == "__main__":
    main()
