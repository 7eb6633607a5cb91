"""NNCodec's arithmetic coder (ISO/IEC 15938-17) over integer tensors, in its own environment: `nncodec_child.py ORDER ANSWER`.

The order is JSON, a list of .npz files with one int32 array `codes` each, zero in the middle; the answer is the bytes of each. Only the
package's compiled coder is loaded: the rest of it reads models with torch. What the package puts around the coder's bytes, headers and
names, is not counted. Every tensor is coded with the contexts' parameters optimised, as the package does by default, in both profiles
and in every scan order of tensors of up to four million elements, and the smallest counts. The default one is decoded and compared.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

UNARY = 10
OPTIMISED = 1
SCANNED = 4_000_000


def main() -> None:
    """Carry out the order."""
    coder = _coder()
    answer = []
    for file in json.loads(Path(sys.argv[1]).read_text()):
        codes = np.load(file)["codes"]
        scans = range(4) if codes.ndim > 1 and codes.size <= SCANNED else (0,)
        ways = [(profile, scan) for profile in (0, 1) for scan in scans]
        found = {way: _encoded(coder, codes, *way) for way in ways}
        if not np.array_equal(_decoded(coder, found[1, 0], codes), codes):
            raise ValueError(f"{file}: other codes come back")
        answer.append(min(len(data) for data in found.values()))
    Path(sys.argv[2]).write_text(json.dumps(answer))


def _coder() -> ModuleType:
    package = importlib.util.find_spec("nncodec")
    if package is None or package.submodule_search_locations is None:
        raise ModuleNotFoundError("nncodec; `make codec` installs it")
    (folder,) = package.submodule_search_locations
    (library,) = Path(folder).glob("extensions/deepCABAC*.so")
    spec = importlib.util.spec_from_file_location("deepCABAC", library)
    if spec is None or spec.loader is None:
        raise ImportError(f"{library} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _encoded(coder: Any, codes: Any, profile: int, scan: int) -> Any:
    encoder = coder.Encoder()
    encoder.initCtxModels(UNARY, OPTIMISED)
    empty = np.zeros(codes.shape[0], np.int32)
    if profile and codes.ndim > 1:
        empty[:] = ~codes.reshape(len(codes), -1).any(axis=1)
    off = (coder.HdspMode.AlwaysOff, np.zeros(2, np.int8))
    encoder.encodeLayer(codes, 0, scan, profile, 0, profile, empty, *off, 0, 0)
    return encoder.finish()


def _decoded(coder: Any, data: Any, like: Any) -> Any:
    decoder = coder.Decoder()
    decoder.setStream(data)
    decoder.initCtxModels(UNARY)
    codes = np.zeros_like(like)
    off = (coder.HdspMode.AlwaysOff, np.zeros(2, np.int8))
    decoder.decodeLayer(codes, 0, 0, 1, 0, *off, 0, 0)
    decoder.finish()
    return codes


if __name__ == "__main__":
    main()
