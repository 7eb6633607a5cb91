"""How many bytes the storage keeps for a job."""

from collections.abc import Mapping
from typing import Any


def of_upload(upload: Mapping[str, Any]) -> int:
    """Of all that was uploaded; `upload` is a row's."""
    graphs = [upload[name] for name in ("loss", "metric", "base") if upload.get(name)]
    parts = [upload["model"], *upload["external"], *upload["data"], *graphs]
    return sum(int(part["bytes"]) for part in parts)


def of_output(result: Mapping[str, Any]) -> int:
    """Of the bundle, which is there as files and as one .zip; `result` is a row's."""
    files = sum(int(file["bytes"]) for file in result["result"]["files"])
    return files + int(result["bundle"]["bytes"])
