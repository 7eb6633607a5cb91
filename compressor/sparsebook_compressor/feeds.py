"""What a model is run on to measure it: the inputs that data must fit, and synthetic samples that its graph accepts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from sparsebook_compressor.errors import BadData

Array = npt.NDArray[np.generic]
Feed = dict[str, Array]

# Sizes to try for free dimensions other than the batch, until the original model runs.
SYNTHETIC_SIZES = (32, 64, 224, 256, 512, 48, 16, 128, 8, 1)
SYNTHETIC_SAMPLES = 8
# Elements of one synthetic input: what a real sample of any model tried stays a hundred times below.
MOST_ELEMENTS = 1 << 26
MOST_SAMPLES = 256
_WORDS = {"U": "text", "S": "text in bytes", "M": "dates", "m": "durations", "V": "records"}
_NUMBERS = set(helper.get_all_tensor_dtypes()) - {TensorProto.STRING, TensorProto.UNDEFINED}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input of the graph.

    Attributes:
        name: of the input.
        dtype: None where it is no tensor of numbers: a sequence, strings.
        dims: None stands for a free dimension, which may have a name in `symbols`.
    """

    name: str
    dtype: np.dtype[np.generic] | None
    dims: tuple[int | None, ...]
    symbols: tuple[str, ...]


def input_specs(model: ModelProto) -> tuple[InputSpec, ...]:
    """The graph's inputs that are not initializers."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return tuple(_spec(value) for value in model.graph.input if value.name not in constants)


def synthetic(
    specs: tuple[InputSpec, ...], size: int, rows: int, seed: int, samples: int = SYNTHETIC_SAMPLES
) -> list[Feed]:
    """Made-up samples: standard normal floats, integers below `rows`, masks of ones.

    Args:
        specs: the inputs.
        size: for free dimensions; the first one of an input is its batch, 1, and so is every one of the same name.
        rows: exclusive bound of integers, the smallest table they may look up.
        seed: for all values.
        samples: how many feeds.

    Returns:
        The feeds; none where an input would have more than `MOST_ELEMENTS` elements.
    """
    rng = np.random.default_rng(seed)
    batch = {spec.symbols[0] for spec in specs if spec.dims and spec.symbols[0]}
    shapes = {spec.name: _shape(spec, batch, size) for spec in specs}
    if any(math.prod(shape) > MOST_ELEMENTS for shape in shapes.values()):
        return []
    return [
        {spec.name: _values(spec, shapes[spec.name], rows, rng) for spec in specs}
        for _ in range(samples)
    ]


def _spec(value: ValueInfoProto) -> InputSpec:
    kind = value.type.WhichOneof("value")
    element = value.type.tensor_type.elem_type
    numbers = kind == "tensor_type" and element in _NUMBERS
    dims = tuple(
        dim.dim_value if dim.WhichOneof("value") == "dim_value" and dim.dim_value > 0 else None
        for dim in value.type.tensor_type.shape.dim
    )
    # "?" is what some exporters write for any length: two of them say nothing of each other.
    symbols = tuple(
        "" if dim.dim_param == "?" else dim.dim_param for dim in value.type.tensor_type.shape.dim
    )
    dtype = helper.tensor_dtype_to_np_dtype(element) if numbers else None
    return InputSpec(value.name, dtype, dims, symbols)


def _shape(spec: InputSpec, batch: set[str], size: int) -> tuple[int, ...]:
    pairs = enumerate(zip(spec.dims, spec.symbols, strict=True))
    return tuple(
        dim if dim is not None else 1 if axis == 0 or symbol in batch else size
        for axis, (dim, symbol) in pairs
    )


def _values(spec: InputSpec, shape: tuple[int, ...], rows: int, rng: np.random.Generator) -> Array:
    assert spec.dtype is not None
    if spec.dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(spec.dtype)
    if spec.dtype.kind in "iu":
        if "mask" in spec.name.lower():
            return np.ones(shape, spec.dtype)
        return rng.integers(0, max(1, rows), shape).astype(spec.dtype)
    return rng.standard_normal(shape).astype(spec.dtype)


def shown(shape: Sequence[int | str | None]) -> str:
    """A shape for people.

    >>> shown((20, None, "t")), shown(())
    ('[20, ?, t]', '[]')
    """
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def held(dtype: np.dtype[np.generic]) -> str:
    """What an array holds, for people.

    >>> held(np.dtype("<U5")), held(np.dtype(np.int32))
    ('text', 'int32')
    """
    return _WORDS.get(dtype.kind, str(dtype))


def check_inputs(specs: tuple[InputSpec, ...], name: str) -> None:
    """Data can be given for tensors of numbers only.

    Raises:
        BadData: an input is something else.
    """
    unfit = next((spec.name for spec in specs if spec.dtype is None), None)
    if unfit is not None:
        raise BadData(f"{name}: the input {unfit!r} is no tensor of numbers; leave the data out")


def check_fits(
    dtype: np.dtype[np.generic], shape: tuple[int, ...], key: str, spec: InputSpec, name: str
) -> None:
    """Hold an array's header against the input that it is for.

    Args:
        dtype: of the array.
        shape: of the array, samples first.
        key: the array's name in its file.
        spec: the input.
        name: of the file.

    Raises:
        BadData: another kind of number, or another shape.
    """
    assert spec.dtype is not None
    if dtype.kind != spec.dtype.kind and not {dtype.kind, spec.dtype.kind} <= {"i", "u"}:
        raise BadData(
            f"{name}: array {key!r} is {held(dtype)}, the input takes {spec.dtype}; convert it before you save it"
        )
    rank = len(shape)
    fixed = spec.dims if rank == len(spec.dims) + 1 else spec.dims[1:]
    head = spec.dims[0] if spec.dims and rank == len(spec.dims) else None
    fits = len(shape[1:]) == len(fixed) and all(
        dim is None or dim == found for dim, found in zip(fixed, shape[1:], strict=True)
    )
    if not rank or not fits or head not in (None, 1):
        # A sample of an input whose first dimension is fixed and not 1 is a whole feed.
        whole = not spec.dims or spec.dims[0] not in (None, 1)
        sample = spec.dims if whole else spec.dims[1:]
        symbols = spec.symbols if whole else spec.symbols[1:]
        wants = [dim or symbol or None for dim, symbol in zip(sample, symbols, strict=True)]
        raise BadData(
            f"{name}: array {key!r} has shape {shown(shape)}; the input takes {shown(['samples', *wants])}: reshape it"
        )


def converted(
    array: Array, dtype: np.dtype[np.generic], key: str, name: str, first: int = 0
) -> Array:
    """Samples in an input's dtype.

    Args:
        array: samples, or one block of them.
        dtype: that the input takes.
        key: the array's name in its file.
        name: of the file.
        first: the number of the block's first sample, for messages.

    Raises:
        BadData: NaN, infinity, or a value that the dtype cannot hold.
    """
    if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
        raise BadData(
            f"{name}: array {key!r} holds NaN or infinity (sample {_where(~finite, first)}); "
            "repair or leave out such samples"
        )
    with np.errstate(over="ignore"):
        same = array.astype(dtype, copy=False)
    lost = ~np.isfinite(same)
    if array.dtype.kind in "iu":
        lost |= same != array
    if lost.any():
        raise BadData(
            f"{name}: array {key!r} has values that {dtype}, which is needed, cannot hold (sample {_where(lost, first)}); "
            "scale or leave out such samples"
        )
    return same


def _where(marked: npt.NDArray[np.bool_], first: int) -> int:
    return first + int(np.argwhere(marked)[0][0] if marked.ndim else 0)
