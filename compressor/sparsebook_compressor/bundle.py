"""The names of a bundle's files, and their hash: for those too who handle bundles without NumPy and ONNX."""

import hashlib
from pathlib import Path

MODEL_NAME = "model.onnx"
DATA_SUFFIX = ".data"
DATA_NAME = MODEL_NAME + DATA_SUFFIX
REPORTS = ("report.json", "report.html")


def sha256(path: Path) -> str:
    """Hash of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
