"""A training graph with its values: what ONNX Runtime says of it, and what one step of the trainer program makes of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto

from sparsebook_compressor.training.orders.order import Order, read_result, write_order
from sparsebook_compressor.training.orders.parameters import Fill
from tests.unit.compressor.training.bench import Program


def one_step(
    folder: Path,
    model: ModelProto,
    fill: Fill,
    parameters: Sequence[str],
    arrays: Mapping[str, np.ndarray],
    rate: float,
    constants: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """What the trainer program makes of the parameters in one step of SGD on all samples.

    Args:
        folder: for all files.
        model: the training graph; it is taken apart.
        fill: where the data of initializers and constants comes from.
        parameters: names of the initializers that are trained.
        arrays: of the inputs, samples on the first axis; the eval part has the same.
        rate: of learning.
        constants: names of the inputs that are the same in every run.
    """
    samples = len(next(iter(arrays.values())))
    order = _order(parameters, samples, rate, constants)
    write_order(folder / "order", order, model, fill, folder)
    data = folder / "data"
    data.mkdir()
    files = {}
    for name, array in arrays.items():
        files[name] = f"{name}.npy"
        np.save(data / files[name], array)
    shards = [{"samples": samples, "files": files}]
    described = {
        "format": 1,
        "inputs": list(arrays),
        "parts": {"train": shards, "eval": shards},
    }
    (data / "dataset.json").write_text(json.dumps(described))
    done = Program()(folder / "order", data, folder / "work", lambda step: None)
    result = read_result(done, order.parameters)
    assert result.kept_epoch == 1
    return {name: np.array(result.read(name)) for name in parameters}


def outputs(
    folder: Path,
    model: ModelProto,
    fill: Fill,
    arrays: Mapping[str, np.ndarray],
    constants: Sequence[str] = (),
) -> list[np.ndarray]:
    """All outputs of the graph in ONNX Runtime for inference; arguments as `one_step`."""
    order = _order((), 1, 0.1, constants)
    write_order(folder, order, model, fill, folder)
    onnx.checker.check_model(folder / "model.onnx", full_check=True)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    held = {name: np.load(folder / file) for name, file in order.files().items()}
    return list(session.run(None, {**arrays, **held}))


def _order(parameters: Sequence[str], samples: int, rate: float, constants: Sequence[str]) -> Order:
    return Order(
        parameters=tuple(parameters),
        metric="mean",
        batch_size=samples,
        feed=samples,
        epochs=1,
        learning_rate=rate,
        optimizer="sgd",
        schedule="constant",
        patience=None,
        seed=0,
        keep_start=False,
        constants=tuple(constants),
    )
