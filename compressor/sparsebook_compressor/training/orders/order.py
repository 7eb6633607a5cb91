"""The order for the worker and its answer: a training graph with its weights, and how to train it (docs/training.md)."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor.errors import InternalError
from sparsebook_compressor.graph.tensors import external_bytes, external_length
from sparsebook_compressor.wire import Initializer, pour

F32 = npt.NDArray[np.float32]
Array = npt.NDArray[np.generic]

ORDER_FORMAT = 1
MetricForm: TypeAlias = Literal["mean", "one-minus-rms"]


@dataclass(frozen=True, slots=True)
class Order:
    """How to train a graph; docs/training.md says what each of these means.

    Attributes:
        parameters: names of the initializers that are trained.
        metric: how the metric comes from its two sums.
        batch_size: samples an optimizer step.
        feed: samples a run of the graph.
        patience: epochs without a better state after which training ends; None trains all epochs.
        keep_start: whether the state before training may be the one that is kept.
        constants: names of the graph's inputs that are the same in every run.
        noise: names of inputs of floats to the share of their elements that is taken away while training.
        shift: names of inputs of floats to the most elements by which a sample is moved while training.
    """

    parameters: tuple[str, ...]
    metric: MetricForm
    batch_size: int
    feed: int
    epochs: int
    learning_rate: float
    optimizer: str
    schedule: str
    patience: int | None
    seed: int
    keep_start: bool
    select: Literal["metric", "loss"] = "metric"
    weight_decay: float = 0.0
    constants: tuple[str, ...] = ()
    noise: Mapping[str, float] = field(default_factory=dict)
    shift: Mapping[str, int] = field(default_factory=dict)

    def files(self) -> dict[str, str]:
        """The constants' files in the order's folder."""
        return {name: f"constant-{number:05}.npy" for number, name in enumerate(self.constants)}

    def to_json(self) -> str:
        """The text of order.json."""
        raw = {"format": ORDER_FORMAT, **dataclasses.asdict(self), "constants": self.files()}
        for key in ("constants", "noise", "shift"):
            if not raw[key]:
                del raw[key]
        return json.dumps(raw, indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch; the first one, 0, is the state before training."""

    epoch: int
    loss: float | None
    eval_loss: float | None
    metric: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an order: the kept state's parameters are read from their files when they are asked for."""

    folder: Path
    parameters: tuple[str, ...]
    epochs: tuple[Epoch, ...]
    kept_epoch: int
    ended: str
    seconds: float
    samples_per_second: float | None
    device: str
    versions: dict[str, str]

    def read(self, name: str) -> F32:
        """The kept state of a parameter.

        Raises:
            InternalError: the worker left something that is no float32 array, or not finite.
        """
        path = self.folder / "parameters" / f"{self.parameters.index(name):05}.npy"
        try:
            array: F32 = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InternalError(
                f"retrain: the worker's {name!r} cannot be read: {error}"
            ) from error
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise InternalError(f"retrain: the worker's {name!r} is no finite float32 array")
        return array


def write_order(
    folder: Path,
    order: Order,
    model: ModelProto,
    values: Mapping[str, Callable[[], Array]],
    source: Path,
) -> None:
    """Write `order.json`, `model.onnx` and the constants into a new folder.

    Args:
        folder: which is made.
        order: how to train.
        model: the training graph; it is taken apart.
        values: of initializers without data and of constants, by name; each is read only while it is written.
        source: the user's model, in which large tensors that are not trained may still lie.
    """
    folder.mkdir(parents=True)
    for name, file in order.files().items():
        with (folder / file).open("wb") as stream:
            np.save(stream, values[name](), allow_pickle=False)
    write_graph(folder / "model.onnx", model, values, source)
    (folder / "order.json").write_text(order.to_json())


def write_graph(
    path: Path, model: ModelProto, values: Mapping[str, Callable[[], Array]], source: Path
) -> None:
    """Write a graph with all its weights in it, one after the other; arguments as `write_order`."""
    pieces = [_piece(tensor, values, source) for tensor in model.graph.initializer]
    del model.graph.initializer[:]
    with path.open("wb") as file:
        pour(model, pieces, file)


def read_result(folder: Path, parameters: tuple[str, ...]) -> Result:
    """What the worker left.

    Raises:
        InternalError: it is no result of format 1 for these parameters.
    """
    try:
        raw: dict[str, Any] = json.loads((folder / "result.json").read_text())
        if raw["format"] != ORDER_FORMAT:
            raise ValueError(f"format {raw['format']!r}")
        epochs = tuple(Epoch(**epoch) for epoch in raw["epochs"])
        if raw["kept_epoch"] not in [row.epoch for row in epochs]:
            raise ValueError(f"no epoch {raw['kept_epoch']!r}")
        return Result(
            folder=folder,
            parameters=parameters,
            epochs=epochs,
            kept_epoch=raw["kept_epoch"],
            ended=raw["ended"],
            seconds=raw["seconds"],
            samples_per_second=raw["samples_per_second"],
            device=raw["device"],
            versions=raw["versions"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InternalError(f"retrain: the worker's result cannot be read: {error!r}") from error


def _piece(
    tensor: TensorProto, values: Mapping[str, Callable[[], Array]], source: Path
) -> Initializer:
    if tensor.name in values:
        read = values[tensor.name]
        width = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        length = int(np.prod(tensor.dims, dtype=np.int64)) * width
        # A bias has data already, in whichever field: what it was before it was trained.
        bare = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        return Initializer.with_data(bare, length, lambda: np.ascontiguousarray(read()).tobytes())
    if tensor.data_location == TensorProto.EXTERNAL:
        length = external_length(tensor, source)
        return Initializer.with_data(tensor, length, lambda: external_bytes(tensor, source).data)
    return Initializer.whole(tensor)
