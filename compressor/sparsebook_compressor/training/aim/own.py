"""A loss or metric of the caller's own: a small graph over the outputs and the data's arrays that gives a scalar.

The file is checked as far as it can be without data; `OwnRun` runs it, which shows the rest before training begins.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import ModelProto, TensorProto, TypeProto, helper

from sparsebook_compressor import admit
from sparsebook_compressor.errors import BadData, BadValue, InputError
from sparsebook_compressor.feeds import Feed, shown
from sparsebook_compressor.graph.scopes import scopes
from sparsebook_compressor.measure import first_line, one_thread
from sparsebook_compressor.training.aim.own_gradient import differentiable
from sparsebook_compressor.training.data.preparation import OWN_NAMES
from sparsebook_compressor.training.nodes import OUTPUTS

Array = npt.NDArray[Any]
Source: TypeAlias = tuple[Literal["output", "teacher"], int] | tuple[Literal["array"], str]

MOST_BYTES = 1 << 24
"""A loss is a formula; this leaves room for a table of anchors or of class weights."""
TEACHER = "teacher_"
_TYPES = (TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)


@dataclass(frozen=True, slots=True)
class OwnGraph:
    """A checked graph.

    Attributes:
        name: of its file.
        sha256: of its file.
        model: the graph; of a loss, rebuilt from operators that have a gradient.
        inputs: name of each input -> where its value comes from.
        types: name of each input -> its ONNX element type.
        output: the scalar's name.
        learned: of a loss, the outputs of the model that it has a gradient for.
    """

    name: str
    sha256: str
    model: ModelProto
    inputs: dict[str, Source]
    types: dict[str, int]
    output: str
    learned: tuple[int, ...]

    @property
    def teachers(self) -> tuple[int, ...]:
        """Outputs of the original that it reads."""
        return tuple(sorted({int(s[1]) for s in self.inputs.values() if s[0] == "teacher"}))

    @property
    def arrays(self) -> tuple[str, ...]:
        """Arrays of the data that it reads."""
        return tuple(str(s[1]) for s in self.inputs.values() if s[0] == "array")


@dataclass(frozen=True, slots=True)
class OwnGraphs:
    """What the caller has of their own."""

    loss: OwnGraph | None = None
    metric: OwnGraph | None = None

    @classmethod
    def read(cls, loss: Path | None, metric: Path | None, model: ModelProto) -> "OwnGraphs":
        """Read and check the files that are given, for a model with such outputs.

        Raises:
            BadValue: a file cannot be used; the message says why, and what is expected.
        """
        outputs = [value.name for value in model.graph.output]
        return cls(
            None if loss is None else read_own(loss, "loss", outputs),
            None if metric is None else read_own(metric, "metric", outputs),
        )

    @property
    def arrays(self) -> list[str]:
        """Arrays of the data that they read."""
        return [name for own in (self.loss, self.metric) if own is not None for name in own.arrays]


def read_own(path: Path, what: Literal["loss", "metric"], outputs: Sequence[str]) -> OwnGraph:
    """Read and check a graph.

    Args:
        path: of the .onnx file.
        what: for messages.
        outputs: names of the model's outputs, in their order.

    Raises:
        BadValue: the file cannot be used; the message says why, and what is expected.
    """
    where = f"{what} {path.name}"
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise BadValue(
                f"{where}: {size} bytes; a {what} is a small graph of at most {MOST_BYTES}"
            )
        model = admit.load(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except BadValue:
        raise
    except OSError as error:
        raise BadValue(f"{where}: cannot be read: {error.strerror}") from error
    except InputError as error:
        raise BadValue(
            f"{where}: cannot be used: {str(error).removeprefix(f'{path.name}: ')}"
        ) from error
    _check_body(model, where)
    inputs, types = _inputs(model, where, outputs)
    if not any(source[0] == "output" for source in inputs.values()):
        raise BadValue(
            f"{where}: none of its inputs ({', '.join(inputs) or 'there are none'}) is an output of the model "
            f"({', '.join(outputs)}); name at least one so"
        )
    output = _output(model, where)
    read = {name: int(source[1]) for name, source in inputs.items() if source[0] == "output"}
    learned: tuple[int, ...] = ()
    if what == "loss":
        model, learned = differentiable(model, output, read, where, path)
    return OwnGraph(path.name, digest, model, inputs, types, output, learned)


def _check_body(model: ModelProto, where: str) -> None:
    if model.functions:
        raise BadValue(f"{where}: has local functions; inline them (onnx.inliner)")
    foreign = {entry.domain for entry in model.opset_import} - {"", "ai.onnx"}
    if foreign:
        raise BadValue(f"{where}: uses the domain {min(foreign)!r}; only ONNX's own operators")
    if model.graph.sparse_initializer:
        raise BadValue(f"{where}: has sparse initializers; save them dense")
    for scope in scopes(model):
        tensors = [a.t for node in scope.body.node for a in node.attribute]
        tensors += scope.graph.initializer if scope.graph is not None else []
        if any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors):
            raise BadValue(f"{where}: keeps data in another file; save it in one")


def _inputs(
    model: ModelProto, where: str, outputs: Sequence[str]
) -> tuple[dict[str, Source], dict[str, int]]:
    constants = {tensor.name for tensor in model.graph.initializer}
    sources: dict[str, Source] = {}
    types: dict[str, int] = {}
    for value in model.graph.input:
        name = value.name
        if name in constants:
            continue
        types[name] = value.type.tensor_type.elem_type
        if types[name] not in _TYPES:
            raise BadValue(
                f"{where}: the input {name!r} is {_type(value.type.tensor_type)}; declare a tensor of float32, int64, int32 or "
                "bool, to which its values are cast"
            )
        if name in outputs:
            sources[name] = ("output", outputs.index(name))
        elif name.startswith(TEACHER) and name.removeprefix(TEACHER) in outputs:
            sources[name] = ("teacher", outputs.index(name.removeprefix(TEACHER)))
        else:
            _refuse_reserved(name, where)
            sources[name] = ("array", name)
    return sources, types


def _refuse_reserved(name: str, where: str) -> None:
    if name in OUTPUTS or name.startswith(OWN_NAMES):
        raise BadValue(
            f"{where}: reads an array {name!r}, a name that the training graph needs for itself; rename the input here and "
            "the array in the data"
        )


def _output(model: ModelProto, where: str) -> str:
    first = model.graph.output[0]
    tensor = first.type.tensor_type
    shape = [dim.dim_value for dim in tensor.shape.dim]
    if tensor.elem_type != TensorProto.FLOAT or any(size not in (0, 1) for size in shape):
        raise BadValue(
            f"{where}: its first output {first.name!r} is {_type(tensor)}; it must be one float32: take the mean over the batch "
            "(ReduceMean with keepdims 0)"
        )
    return first.name


def _type(tensor: TypeProto.Tensor) -> str:
    """An element type and a shape, for people."""
    if tensor.elem_type == TensorProto.UNDEFINED:
        return "no tensor"
    dims = [dim.dim_value or dim.dim_param or None for dim in tensor.shape.dim]
    return f"{TensorProto.DataType.Name(tensor.elem_type).lower()} {shown(dims)}"


class OwnRun:
    """Runs a graph in ONNX Runtime.

    Raises:
        BadValue: ONNX Runtime does not load it.
    """

    def __init__(self, own: OwnGraph) -> None:
        self._own = own
        try:
            self._session = ort.InferenceSession(
                own.model.SerializeToString(), one_thread(), providers=["CPUExecutionProvider"]
            )
        except (
            Exception
        ) as error:  # whatever ONNX Runtime throws, the caller's graph is not to be run
            raise BadValue(
                f"{own.name}: ONNX Runtime does not load it: {first_line(error)}"
            ) from error

    def __call__(
        self, outputs: Sequence[Array | None], feed: Feed, reference: Sequence[Array | None]
    ) -> float:
        """The scalar for one batch, which must be a number: as `measure`.

        Raises:
            BadValue: as `measure`.
            BadData: it gives NaN or infinity.
        """
        found = self.measure(outputs, feed, reference)
        if not math.isfinite(found):
            raise BadData(
                f"{self._own.name}: gives {found} on the data; keep what goes into a Log, Sqrt, Pow or Div away from where "
                "it is not defined, with a Max or a small summand, or leave such samples out"
            )
        return found

    def measure(
        self, outputs: Sequence[Array | None], feed: Feed, reference: Sequence[Array | None]
    ) -> float:
        """The scalar for one batch, NaN and infinity among them: what a ruined model gives.

        Args:
            outputs: of the model that is measured.
            feed: the data's arrays.
            reference: the original's outputs.

        Raises:
            BadValue: it does not run on them, or gives no single number.
        """
        values = {}
        for name, (kind, which) in self._own.inputs.items():
            found = feed[which] if isinstance(which, str) else None
            if isinstance(which, int):
                found = (outputs if kind == "output" else reference)[which]
            if found is None:
                raise BadValue(
                    f"{self._own.name}: the model's output for {name!r} is no tensor of numbers"
                )
            dtype = helper.tensor_dtype_to_np_dtype(self._own.types[name])
            values[name] = found.astype(dtype, copy=False)
        try:
            result = np.asarray(self._session.run([self._own.output], values)[0])
        except Exception as error:  # as above: its shapes do not suit the outputs or the data
            shapes = ", ".join(f"{name} {shown(array.shape)}" for name, array in values.items())
            raise BadValue(
                f"{self._own.name}: does not run on the model's outputs and the data ({shapes}): {first_line(error)}; make it "
                "fit these shapes, samples being on the first axis"
            ) from error
        if result.size != 1:
            raise BadValue(
                f"{self._own.name}: its first output has shape {shown(result.shape)}; one number is expected: take the "
                "mean over the batch (ReduceMean with keepdims 0)"
            )
        return float(result.ravel()[0])
