"""What a product with a vector behind every convolution takes of an artifact's time: each operator keeps what is fused into it."""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from benchmarks.peer_models import feeds, subject
from sparsebook_compressor import Config, compress
from sparsebook_compressor.payload_header import read_header
from sparsebook_runtime import library_path, register

COSTLY = ("ppocr-rec", "ppocr-det", "open-nsfw")
_ROUNDS = 15


@dataclass(frozen=True, slots=True)
class Cost:
    """An artifact of `safe`: milliseconds of CPU time for one sample on one thread, and how many times that with the products."""

    model: str
    convolutions: int
    milliseconds: float
    ratio: float


def cost(name: str) -> Cost:
    """Compress, put the products in, and run both in turn; medians."""
    one = subject(name, (1, 1, 1))
    with tempfile.TemporaryDirectory() as folder:
        compress(
            one.model,
            Path(folder) / "out",
            Config.parse({"preset": "safe"}),
            verify=False,
            operator_library=library_path(),
        )
        plain = Path(folder) / "out/model.onnx"
        changed = Path(folder) / "changed.onnx"
        count = _with_products(plain, changed)
        sessions = [_session(path) for path in (plain, changed)]
        feed = feeds(sessions[0], one.held)[0]
        times: list[list[float]] = [[], []]
        for _ in range(_ROUNDS + 2):
            for running, took in zip(sessions, times, strict=True):
                began = time.process_time()
                running.run(None, feed)
                took.append(time.process_time() - began)
    before, after = (statistics.median(took[2:]) for took in times)
    return Cost(name, count, 1000 * before, after / before)


def _with_products(source: Path, target: Path) -> int:
    """Put them behind all convolutions that are operators; how many these are."""
    model = onnx.load(source)
    payloads = {tensor.name: tensor for tensor in model.graph.initializer}
    constants = [node for node in model.graph.node if node.op_type == "Constant"]
    payloads |= {node.output[0]: node.attribute[0].t for node in constants}
    nodes, count = [], 0
    for node in model.graph.node:
        nodes.append(node)
        if node.domain != "sparsebook" or node.op_type != "Conv" or node.input[1] not in payloads:
            continue
        data = numpy_helper.to_array(payloads[node.input[1]]).tobytes()
        shape = read_header(data).shape
        ones: npt.NDArray[np.float32] = np.ones((1, shape[0], *(1 for _ in shape[2:])), np.float32)
        scale, output = f"{node.output[0]}.scale", node.output[0]
        node.output[0] = f"{output}.unscaled"
        model.graph.initializer.append(numpy_helper.from_array(ones, scale))
        nodes.append(helper.make_node("Mul", [node.output[0], scale], [output]))
        count += 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, target)
    return count


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    register(options)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
