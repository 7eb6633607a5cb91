"""Samples as they are handed to a peer's environment: an .npz whose arrays are `SAMPLE/INPUT`."""

from typing import Any

import numpy as np


def samples(file: str) -> list[dict[str, Any]]:
    """The feeds of a file."""
    found: dict[int, dict[str, Any]] = {}
    with np.load(file) as arrays:
        for key in arrays.files:
            number, name = key.split("/", 1)
            found.setdefault(int(number), {})[name] = arrays[key]
    return [found[number] for number in sorted(found)]
