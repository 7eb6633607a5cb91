"""Real models: what is prepared runs as the original does, and the gradient builder takes all of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsebook_compressor.admit import load
from tests.unit.compressor.trainable.running import (
    ROOT,
    Prepared,
    Task,
    difference,
    differentiate,
    run,
    worst,
)

ROMANIZER = "arabic_name_romanizer/resources"
CLASSIFIER = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


FEEDS: dict[str, dict[str, np.ndarray]] = {
    f"{ROMANIZER}/encoder.onnx": {
        "src": np.arange(1, 15).reshape(2, 7),
        "src_mask": np.ones((2, 7), bool),
    },
    f"{ROMANIZER}/decoder.onnx": {
        "prefix": np.arange(1, 11).reshape(2, 5),
        "memory": _normal(2, 7, 256),
        "src_mask": np.ones((2, 7), bool),
        "hidden": _normal(2, 2, 256),
    },
    "silero_vad/data/silero_vad_16k_sequence.onnx": {
        "input": _normal(5, 576),
        "h": _normal(1, 1, 128),
        "c": _normal(1, 1, 128),
    },
    CLASSIFIER: {"x": _normal(1, 3, 48, 64)},
}


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("name", FEEDS)
def test_gradients(name: str, free: bool, tmp_path: Path) -> None:
    path, feeds = ROOT / ".models" / name, FEEDS[name]
    outputs = run(path, feeds)
    first = _first_output(path)
    how: dict[str, Any] = {} if free else {"shapes": {k: v.shape for k, v in feeds.items()}}
    prepared = Prepared.of(path, outputs=[first], **how)
    filled = prepared.filled()
    assert difference(outputs, run(filled, feeds)) < 2e-5
    assert not prepared.trainable.frozen or name.endswith("encoder.onnx")
    del filled.graph.output[1:]
    task = Task(name, filled, feeds, prepared.parameters, outputs[:1])
    # Hundreds of layers and kinks lie between a weight and the loss: this finds a wrong gradient, no more.
    assert worst(differentiate([task], tmp_path, turns=6))[name] < 0.2


def _first_output(path: Path) -> str:
    return load(path).graph.output[0].name
