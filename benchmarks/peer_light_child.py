"""ONNX Runtime's quantisers and zstd, in an environment of their own: `python -m benchmarks.peer_light_child ORDER ANSWER`.

The order is JSON, a list of jobs: `kind`, `model`, and for a quantiser `out` and `data`, an .npz whose arrays are `SAMPLE/INPUT`. The
answer is a list too: `bytes`, `seconds` of CPU time, and `note` where a setting was not to be had; or `failure`.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx.version_converter
import onnxruntime
from onnxruntime import quantization as q

from benchmarks.peer_samples import samples

Job = dict[str, Any]
ZSTD_LEVEL, BLOCK = 19, 32


def main() -> None:
    """Carry out the order."""
    answer = {"onnxruntime": onnxruntime.__version__, "jobs": []}
    for job in json.loads(Path(sys.argv[1]).read_text()):
        began = time.process_time()
        try:
            found = KINDS[job["kind"]](job)
        except Exception as error:  # the reason belongs into the table
            lines = str(error).strip().splitlines()
            found = {"failure": (lines[0] if lines else type(error).__name__)[:160]}
        answer["jobs"].append({**found, "seconds": time.process_time() - began})
    Path(sys.argv[2]).write_text(json.dumps(answer))


def _dynamic(job: Job) -> Job:
    # Its integer convolution takes unsigned weights only, and no scale a channel.
    nodes = {node.op_type for node in onnx.load(job["model"], load_external_data=False).graph.node}
    convolves = "Conv" in nodes
    kind = q.QuantType.QUInt8 if convolves else q.QuantType.QInt8
    q.quantize_dynamic(job["model"], job["out"], per_channel=not convolves, weight_type=kind)
    return {"bytes": Path(job["out"]).stat().st_size}


class _Reader(q.CalibrationDataReader):  # type: ignore[misc, unused-ignore]
    def __init__(self, feeds: list[dict[str, Any]]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def _static(job: Job) -> Job:
    model = onnx.load(job["model"])
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    note = None
    with tempfile.TemporaryDirectory() as folder:
        ready = f"{folder}/ready.onnx"
        if opset < 13:
            onnx.save(onnx.version_converter.convert_version(model, 13), ready)
            note = "converted to opset 13"
        else:
            onnx.save(model, ready)
        q.quantize_static(
            ready,
            job["out"],
            _Reader(samples(job["data"])),
            per_channel=True,
            activation_type=q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
        )
    return {"bytes": Path(job["out"]).stat().st_size, "note": note}


def _matmul(job: Job) -> Job:
    from onnxruntime.quantization.matmul_nbits_quantizer import (  # noqa: PLC0415 - onnx-ir, which other jobs do without
        MatMulNBitsQuantizer,
    )

    made = MatMulNBitsQuantizer(
        onnx.load(job["model"]),
        bits=4,
        block_size=BLOCK,
        is_symmetric=True,
        op_types_to_quantize=("MatMul", "Gather"),
        quant_axes=(("MatMul", 0), ("Gather", 1)),
    )
    made.process()
    made.model.save_model_to_file(job["out"])
    return {"bytes": Path(job["out"]).stat().st_size}


def _zstd(job: Job) -> Job:
    import zstandard  # noqa: PLC0415 - as above

    packer = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    return {"bytes": len(packer.compress(Path(job["model"]).read_bytes()))}


KINDS: dict[str, Callable[[Job], Job]] = {
    "dynamic int8": _dynamic,
    "static int8": _static,
    "4-bit MatMul": _matmul,
    "zstd": _zstd,
}

if __name__ == "__main__":
    main()
