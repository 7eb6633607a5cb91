"""How much memory a job may need, by the sizes of what was uploaded: what a host must have free to take it.

Estimates, on the safe side: a process that has read nothing had 170 MB where it was looked at; a model of up to 1 GiB is held up to five
times over; of what is above that, which is never run whole (pipeline.MOST_WHOLE), one weight
and its codes are held; one that is trained is held whole. An .npz unpacks to about three times its size. A job that needs more all the same is stopped by its own limits.
"""

from collections.abc import Mapping
from typing import Any

BASE_BYTES = 200 << 20
PER_MODEL_BYTE = 5
# An eighth: the table of words of a large language model is seldom more.
PER_BYTE_ABOVE = 1 / 8
WHOLE_BYTES = 1 << 30
PER_DATA_BYTE = 3


def memory_bytes(upload: Mapping[str, Any], most: int) -> int:
    """The estimate for an upload as the row has it, at most `most`."""
    model = upload["model"]["bytes"] + sum(part["bytes"] for part in upload["external"])
    data = sum(part["bytes"] for part in upload["data"])
    above = 0 if data else max(0, model - WHOLE_BYTES)
    held = PER_MODEL_BYTE * (model - above) + PER_BYTE_ABOVE * above
    return int(min(BASE_BYTES + held + PER_DATA_BYTE * data, most))
