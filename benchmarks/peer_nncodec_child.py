"""NNCodec's quantiser and arithmetic coder over floats, in its own environment: `python -m benchmarks.peer_nncodec_child ORDER ANSWER`.

The order is JSON: `weights`, an .npz of float32 arrays, `qps`, quantisation parameters, and `folder`. For each parameter the answer has
the coder's bytes of all weights together, and the folder an .npz with what is decoded from them. Weights are quantised with the
package's defaults: dependent quantisation, qp_density 2, no rate in the choice of levels; contexts' parameters are optimised. Headers and names are not
counted. As in nncodec_child.py only the compiled coder is loaded.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nncodec_child import OPTIMISED, UNARY, _coder

DEPENDENT, DENSITY, PROFILE, SCAN, LAMBDA = 1, 2, 0, 0, 0.0


def main() -> None:
    """Carry out the order."""
    order = json.loads(Path(sys.argv[1]).read_text())
    coder = _coder()
    sizes = {}
    with np.load(order["weights"]) as arrays:
        weights = {name: arrays[name] for name in arrays.files}
    for qp in order["qps"]:
        coded = {name: _coded(coder, values, qp) for name, values in weights.items()}
        sizes[str(qp)] = sum(size for size, _ in coded.values())
        np.savez(
            Path(order["folder"]) / f"{qp}.npz", **{name: each[1] for name, each in coded.items()}
        )
    Path(sys.argv[2]).write_text(json.dumps(sizes))


def _coded(coder: Any, values: Any, qp: int) -> tuple[int, Any]:
    """Bytes of a weight, and what they decode to."""
    off = (coder.HdspMode.AlwaysOff, np.zeros(2, np.int8))
    codes = np.zeros(values.shape, np.int32)
    encoder = coder.Encoder()
    encoder.initCtxModels(UNARY, 0)
    taken = encoder.quantLayer(values, codes, DEPENDENT, DENSITY, qp, LAMBDA, UNARY, SCAN, PROFILE)
    encoder = coder.Encoder()
    encoder.initCtxModels(UNARY, OPTIMISED)
    skipped = np.zeros(values.shape[0], np.int32)
    encoder.encodeLayer(codes, DEPENDENT, SCAN, PROFILE, 0, 0, skipped, *off, 0, 0)
    data = encoder.finish()
    decoder = coder.Decoder()
    decoder.setStream(data)
    decoder.initCtxModels(UNARY)
    found = np.zeros(values.shape, np.int32)
    decoder.decodeLayer(found, DEPENDENT, SCAN, PROFILE, 0, *off, 0, 0)
    decoder.finish()
    floats = np.zeros(values.shape, np.float32)
    decoder.dequantLayer(floats, found, DENSITY, taken, SCAN)
    return len(data), floats


if __name__ == "__main__":
    main()
