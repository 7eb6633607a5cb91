"""The order's constants: inputs of the graph that are the same in every run, mapped and not read (docs/training.md, section 1)."""

from collections.abc import Mapping
from pathlib import Path

from sparsebook_training import npy
from sparsebook_training.errors import Failed, Problem
from sparsebook_training.npy import Array, Input

_PROBLEM: Problem = "internal"  # another program wrote them: no user can mend them


def read(folder: Path, files: Mapping[str, str], inputs: Mapping[str, Input]) -> dict[str, Array]:
    """The arrays, by the input that they are fed to.

    Args:
        folder: of the order.
        files: input to file.
        inputs: of the graph.

    Raises:
        Failed: a file is missing or damaged, or does not fit its input.
    """
    return {name: _constant(folder / file, name, inputs) for name, file in files.items()}


def _constant(path: Path, name: str, inputs: Mapping[str, Input]) -> Array:
    if name not in inputs:
        raise Failed(_PROBLEM, f"order.json: the constant {name!r} is no input of model.onnx")
    array, spec = npy.mapped(path, _PROBLEM), inputs[name]
    if array.dtype != spec.dtype or array.shape != spec.dims:
        raise Failed(
            _PROBLEM,
            f"{path.name}: {array.dtype}{list(array.shape)}, the graph's input {name!r} is {spec.dtype}{list(spec.dims)}",
        )
    return array
