"""ZipNN's bytes of files, in its own environment: `peer_zipnn_child.py ORDER ANSWER`; both are JSON lists, of files and of bytes.

ZipNN imports torch for tensors of torch's, of which there are none here; an empty module of that name does, and of safetensors. Its settings are those that it
has for bytes of float32.
"""

import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any


class _Absent(types.ModuleType):
    """Stands for a package that is imported and, for bytes, not used: any name of it is another one, and as a decorator it does nothing."""

    def __getattr__(self, name: str) -> "_Absent":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(name)

    def __call__(self, decorated: Any) -> Any:
        return decorated


def main() -> None:
    """Carry out the order."""
    absent = [name for name in ("torch", "safetensors") if importlib.util.find_spec(name) is None]
    sys.modules.update({name: _Absent(name) for name in absent})
    if "safetensors" in absent:
        sys.modules["safetensors.torch"] = _Absent("safetensors.torch")
    zipnn = importlib.import_module("zipnn")
    answer = []
    for file in json.loads(Path(sys.argv[1]).read_text()):
        data = Path(file).read_bytes()
        packer = zipnn.ZipNN(input_format="byte", bytearray_dtype="float32")
        packed = packer.compress(bytearray(data))  # it changes what it is given
        if bytes(packer.decompress(packed)) != data:
            raise ValueError(f"{file}: other bytes come back")
        answer.append(len(packed))
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
