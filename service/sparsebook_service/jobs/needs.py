"""How much memory a job may need, by the sizes of what was uploaded: what a host must have free to take it.

Estimates, on the safe side: a process that has read nothing had 170 MB where it was looked at; a model is held up to five times over, and
an .npz unpacks to about three times its size. A job that needs more all the same is stopped by its own limits.
"""

from collections.abc import Mapping
from typing import Any

BASE_BYTES = 200 << 20
PER_MODEL_BYTE = 5
PER_DATA_BYTE = 3


def memory_bytes(upload: Mapping[str, Any], most: int) -> int:
    """The estimate for an upload as the row has it, at most `most`."""
    model = upload["model"]["bytes"] + sum(part["bytes"] for part in upload["external"])
    data = sum(part["bytes"] for part in upload["data"])
    return int(min(BASE_BYTES + PER_MODEL_BYTE * model + PER_DATA_BYTE * data, most))
