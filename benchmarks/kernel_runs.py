"""One layer, compressed against ONNX Runtime's own kernels for it, in one process and in turns."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import ModelProto, numpy_helper

import sparsebook_runtime
from benchmarks.contest import Clock, Entry, Run, contest, sweeping
from benchmarks.kernel_artifacts import artifact, int8, layer_settings, plain
from benchmarks.kernel_layers import F32, Conv, Dense
from sparsebook_service.bench.machine import caches
from sparsebook_service.bench.result import Seconds

Feed = dict[str, npt.NDArray[Any]]

SEED = 0
ALL = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
NCHW = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
CHAIN = 4
# Of an evicted call of the small layer 200 µs are code and page tables that come back; the second takes 15, later ones 3.
WARMING = 3
_LEAST_SWEEP, _MOST_SWEEP = 64 << 20, 1 << 30
SMALL = Dense("small", 32, 32, 0.25, 4)
"""A run of it brings the code of an evicted call back, and hardly any weights."""


@dataclass(frozen=True)
class Conditions:
    """How layers are measured.

    Attributes:
        seconds: of wall clock for one layer at one batch, warm or evicted.
        threads: of every session.
        sweep: bytes to read between calls, so that weights are evicted; 0 leaves them where they are.
    """

    seconds: float
    threads: int = 1
    sweep: int = 0

    @property
    def clock(self) -> Clock:
        """One thread's CPU time; wall clock where the pool's threads work as well."""
        return time.thread_time if self.threads == 1 else time.perf_counter


def dense_rows(
    layer: Dense, batches: Sequence[int], conditions: Conditions
) -> list[dict[str, Any]]:
    """Measure a fully connected layer, evicted and warm, at every batch; int8 only where the batch is 1."""
    path = artifact(
        layer.name, lambda: layer.build(SEED), layer_settings(layer.density, layer.bits)
    )
    weight = _weight(plain(path))
    if layer.op == "MatMul":
        weight = np.ascontiguousarray(weight.T)
    matmul = layer.graph("MatMul", weight)
    sessions = {
        "gemm": session(layer.graph("Gemm", weight), conditions.threads),
        "matmul": session(matmul, conditions.threads),
        "sparse": session(path.read_bytes(), conditions.threads),
    }
    if 1 in batches:
        sessions["int8"] = session(int8(path, layer, matmul).read_bytes(), conditions.threads)
    del matmul
    small = _small_calls(conditions.threads)
    sweep = sweeping(conditions.sweep) if conditions.sweep else None
    rows = []
    for batch in batches:
        x = layer.inputs(batch, SEED)
        rivals = {name: found for name, found in sessions.items() if batch == 1 or name != "int8"}
        bound = {name: Bound.of(found, {"x": x}) for name, found in rivals.items()}
        entries = {name: Entry(call.run, _warming(small, name, x)) for name, call in bound.items()}
        row = _facts("fc", layer, batch, conditions)
        if sweep is not None:
            found = contest(entries, conditions.seconds, clock=conditions.clock, sweep=sweep)
            row["evicted"] = summarised(found)
        found = contest(entries, conditions.seconds / 2, clock=conditions.clock)
        row["warm"] = summarised(found)
        row["relative_error"] = difference(bound["sparse"].y, x @ weight.T)
        rows.append(row)
    return rows


def conv_row(layer: Conv, conditions: Conditions) -> dict[str, Any]:
    """Measure a convolution of one sample, by itself and, where its output can be its input, as a link of a chain of four.

    By itself ONNX Runtime runs it in its plain layout and in its blocked one with the conversions that a lone node needs. A link
    of a chain meets what the link before has just written, in the blocked layout without conversions; it is what three further links add.
    Both sides are measured in both ways.
    """
    settings = layer_settings(layer.density, layer.bits)
    path = artifact(layer.name, lambda: layer.build(SEED), settings)
    weight = _weight(plain(path))
    sessions = {
        "nchw": session(layer.graph(weight), conditions.threads, NCHW),
        "nchwc": session(layer.graph(weight), conditions.threads),
        "sparse": session(path.read_bytes(), conditions.threads),
    }
    if layer.chains:
        chain = artifact(f"{layer.name} chain", lambda: layer.build(SEED, CHAIN), settings)
        sessions["nchwc chain"] = session(layer.graph(weight, CHAIN), conditions.threads)
        sessions["sparse chain"] = session(chain.read_bytes(), conditions.threads)
    x = layer.inputs(1, SEED)
    bound = {name: Bound.of(found, {"x": x}) for name, found in sessions.items()}
    entries = {name: Entry(call.run) for name, call in bound.items()}
    found = summarised(contest(entries, conditions.seconds, clock=conditions.clock))
    row = _facts("conv", layer, 1, conditions)
    row["warm"] = {name: found[name] for name in ("nchw", "nchwc", "sparse")}
    if layer.chains:
        row["chained"] = {name: _link(found, name) for name in ("nchwc", "sparse")}
    row["relative_error"] = difference(bound["sparse"].y, bound["nchw"].y)
    return row


def _link(found: dict[str, Any], name: str) -> dict[str, Any]:
    chain, one = found[f"{name} chain"], found[name]
    link = {key: (chain[key] - one[key]) / (CHAIN - 1) for key in ("median", "low", "high")}
    return {**link, "calls": chain["calls"]}


def summarised(found: Mapping[str, list[float]]) -> dict[str, Any]:
    """Medians and quartiles of a contest, for JSON."""
    return {name: Seconds.of(seconds).model_dump() for name, seconds in found.items()}


def sweep_bytes(megabytes: int | None) -> int:
    """A tenth more than the machine's largest cache, within 64 MiB and 1 GiB; or what is asked for."""
    if megabytes is not None:
        return megabytes << 20
    return min(max(_LEAST_SWEEP, max(caches().values(), default=0) * 11 // 10), _MOST_SWEEP)


def session(
    model: ModelProto | bytes, threads: int, level: ort.GraphOptimizationLevel = ALL
) -> ort.InferenceSession:
    """A session that knows the operators."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = level
    options.log_severity_level = 3
    sparsebook_runtime.register(options)
    given = model if isinstance(model, bytes) else model.SerializeToString()
    return ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class Bound:
    """A session whose inputs and first output are bound to memory that stays."""

    run: Run
    y: npt.NDArray[Any]

    @classmethod
    def of(cls, running: ort.InferenceSession, feed: Feed) -> "Bound":
        """Bound to inputs, after one run that gives the output a first value."""
        first, *others = (output.name for output in running.get_outputs())
        y = np.array(running.run([first], feed)[0])
        binding = running.io_binding()
        for name, values in feed.items():
            binding.bind_cpu_input(name, values)
        binding.bind_output(first, "cpu", 0, y.dtype, y.shape, y.ctypes.data)
        for name in others:
            binding.bind_output(name, "cpu")
        return cls(lambda: running.run_with_iobinding(binding), y)


def difference(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """The largest error over the largest value."""
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


def isa() -> str | None:
    """What the operator library says its kernels are made of; None where it does not."""
    path = artifact(SMALL.name, lambda: SMALL.build(SEED), layer_settings(0.25, 4))
    running = session(path.read_bytes(), 1)
    live = sparsebook_runtime.live_weights()
    del running
    return ", ".join(sorted({weight["isa"] for weight in live})) if live else None


def call_seconds(threads: int) -> dict[str, float]:
    """What a call of each contestant takes when there is next to nothing to compute."""
    entries = {name: Entry(run) for name, run in _small_calls(threads).items()}
    found = contest(entries, 0.2, clock=Conditions(0, threads).clock, least=100)
    return {name: Seconds.of(seconds).median for name, seconds in found.items()}


def _small_calls(threads: int) -> dict[str, Run]:
    """A run of a layer of a few weights by each contestant's code: what an evicted call would otherwise have to fetch."""
    path = artifact(SMALL.name, lambda: SMALL.build(SEED), layer_settings(0.25, 4))
    weight = _weight(plain(path))
    matmul = SMALL.graph("MatMul", weight)
    models: dict[str, ModelProto | bytes] = {
        "gemm": SMALL.graph("Gemm", weight),
        "matmul": matmul,
        "int8": int8(path, SMALL, matmul).read_bytes(),
        "sparse": path.read_bytes(),
    }
    x = SMALL.inputs(1, SEED)
    return {name: Bound.of(session(model, threads), {"x": x}).run for name, model in models.items()}


def _warming(small: dict[str, Run], name: str, x: F32) -> Run:
    def warm() -> None:
        x.sum()
        for _ in range(WARMING):
            small[name]()

    return warm


def _weight(model: ModelProto) -> F32:
    found = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    return np.ascontiguousarray(numpy_helper.to_array(found), np.float32)


def _facts(section: str, layer: Dense | Conv, batch: int, conditions: Conditions) -> dict[str, Any]:
    return {
        "section": section,
        "layer": layer.name,
        "shape": layer.shape,
        "density": layer.density,
        "bits": layer.bits,
        "batch": batch,
        "threads": conditions.threads,
    }
