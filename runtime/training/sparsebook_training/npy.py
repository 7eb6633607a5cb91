"""Arrays in .npy files, mapped and not read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsebook_training.errors import Failed, Problem

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Input:
    """An input of the graph.

    Attributes:
        dtype: of its elements.
        dims: None is a free dimension.
    """

    dtype: np.dtype[np.generic]
    dims: tuple[int | None, ...]


def mapped(path: Path, problem: Problem) -> Array:
    """The array of a file.

    Raises:
        Failed: it is missing, or not a whole .npy of plain numbers.
    """
    try:
        array: object = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise Failed(problem, f"{path.name} is missing in {path.parent}") from error
    except (ValueError, EOFError) as error:
        raise Failed(problem, f"{path.name}: not a whole .npy of plain numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        raise Failed(problem, f"{path.name}: an .npz, where an .npy is expected")
    return array
