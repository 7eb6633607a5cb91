"""The report of an artifact, written again: from the report.json beside it, or from what the artifact itself tells."""

import json
from pathlib import Path

from sparsebook_compressor import pack
from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.readout import read_out
from sparsebook_compressor.report import Report
from sparsebook_compressor.tuning.account import of_tuning
from sparsebook_compressor.tuning.report import TuningReport


def recover(artifact: Path) -> Report:
    """The report of an artifact: as it was, where its report.json lies beside it; else as much as can be read out of it.

    Args:
        artifact: the .onnx file, or the bundle's folder.

    Raises:
        BadValue: there are no payloads in it, and no report beside it.
        InputError: it is no ONNX model, or a payload is damaged.
    """
    path = artifact / pack.MODEL_NAME if artifact.is_dir() else artifact
    if not path.is_file():
        raise BadValue(
            f"{artifact}: no {pack.MODEL_NAME} in this folder; name an artifact or a bundle"
        )
    beside = _beside(path)
    if isinstance(beside, TuningReport):
        return of_tuning(path, beside, {})
    return read_out(path) if beside is None else beside


def _beside(path: Path) -> Report | TuningReport | None:
    """The report that lies beside an artifact, if it is that artifact's."""
    try:
        text = (path.parent / pack.REPORTS[0]).read_text()
        raw = json.loads(text)
        read = TuningReport if raw.get("kind") == "tuning" else Report
        found = read.from_json(text)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # none, or another's: the artifact speaks for itself
    return found if found.artifact.sha256 == pack.sha256(path) else None
