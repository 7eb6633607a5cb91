"""Models in files, and how `compress` refuses them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from sparsebook_compressor import Config, compress
from sparsebook_compressor.errors import InputError
from tests.unit.compressor.models import K, free, graph_of, model_of, node, value

PAPER = Config.parse({"preset": "paper"})
MATMUL = node("MatMul", ["x", "w"], ["y"])


def refused(kind: type[InputError], model: Path, out: Path, **more: Any) -> str:
    """The message with which `compress` refuses, of exactly this class; `estimate` and `inspect` do so too."""
    with pytest.raises(kind) as caught:
        compress(model, out, more.pop("config", PAPER), **more)
    assert type(caught.value) is kind
    return str(caught.value)


def saved(model: ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def graph_with(*nodes: onnx.NodeProto, **constants: np.ndarray) -> ModelProto:
    return model_of(graph_of(list(nodes), [value("x", ["b", K])], [free("y", 2)], constants))
