"""A peer against ONNX Runtime and the operators, in the peer's own environment: `python -m benchmarks.peer_child ORDER ANSWER`.

The order is JSON: `engine`, the operator `library`, a `layer` and a `small` one (each `plain`, `artifact` and the input's `shape`), `seed`,
`seconds`, and `sweep`, the bytes to read between calls. All take turns on one thread. CPU time is that of the whole process, since a peer
may have threads of its own.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from benchmarks.contest import Entry, contest, sweeping

F32 = npt.NDArray[np.float32]
Call = Callable[[], F32]


def main() -> None:
    """Carry out the order."""
    order: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    version, x, calls = _calls(order, order["layer"])
    _, _, small = _calls(order, order["small"])
    expected = calls["onnxruntime"]()
    scale = float(np.abs(expected).max())
    errors = {name: float(np.abs(call() - expected).max()) / scale for name, call in calls.items()}
    found = contest(
        {name: Entry(call, _warming(x, small[name])) for name, call in calls.items()},
        order["seconds"],
        clock=time.process_time,
        sweep=sweeping(order["sweep"]) if order["sweep"] else None,
    )
    answer = {"version": version, "relative_errors": errors, "seconds": found}
    Path(sys.argv[2]).write_text(json.dumps(answer))


def _calls(order: dict[str, Any], layer: dict[str, Any]) -> tuple[str, F32, dict[str, Call]]:
    """The engine's version, the input, and what computes from it."""
    rng = np.random.default_rng(order["seed"])
    x = rng.standard_normal(layer["shape"]).astype(np.float32)
    version, peer = ENGINES[order["engine"]](layer["plain"], x)
    calls = {
        "onnxruntime": _onnxruntime(layer["plain"], x, None),
        "sparsebook": _onnxruntime(layer["artifact"], x, order["library"]),
        order["engine"]: peer,
    }
    return version, x, calls


def _warming(x: F32, small: Call) -> Callable[[], None]:
    def warm() -> None:
        x.sum()
        for _ in range(3):
            small()

    return warm


def _onnxruntime(path: str, x: F32, library: str | None) -> Call:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if library is not None:
        options.register_custom_ops_library(library)
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, x)
    name = session.get_outputs()[0].name
    y: F32 = np.array(session.run([name], {session.get_inputs()[0].name: x})[0])
    binding.bind_output(name, "cpu", 0, y.dtype, y.shape, y.ctypes.data)

    def run() -> F32:
        session.run_with_iobinding(binding)
        return y

    return run


def _deepsparse(path: str, x: F32) -> tuple[str, Call]:
    import deepsparse  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 - one peer an environment

    engine = deepsparse.Engine(model=path, batch_size=len(x), num_cores=1)

    def run() -> F32:
        found: F32 = engine.run([x], val_inp=False)[0]
        return found

    return deepsparse.__version__, run


def _openvino(path: str, x: F32) -> tuple[str, Call]:
    import openvino  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    # Where the processor has bfloat16, OpenVINO computes in it unless it is told not to.
    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))

    def run() -> F32:
        request.infer()
        found: F32 = request.get_output_tensor().data
        return found

    return openvino.__version__, run


ENGINES: dict[str, Callable[[str, F32], tuple[str, Call]]] = {
    "deepsparse": _deepsparse,
    "openvino": _openvino,
}

if __name__ == "__main__":
    main()
