"""Sparsebook's compressor: ONNX models in, deep-compressed ONNX models out.

The method is Deep Compression (Han, Mao, Dally, arXiv 1510.00149): prune, share weights through k-means codebooks,
Huffman-code. `compress` is the one entry that writes a bundle; nothing here knows HTTP or a queue.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsebook_compressor.artifact import Inspection, InspectRow, inspect
    from sparsebook_compressor.config import Config
    from sparsebook_compressor.decompressing import decompress
    from sparsebook_compressor.errors import InputError, SparsebookError
    from sparsebook_compressor.estimating import Estimate, EstimateRow, estimate
    from sparsebook_compressor.pipeline import compress
    from sparsebook_compressor.progress import Progress
    from sparsebook_compressor.recovering import recover
    from sparsebook_compressor.report import Report, Update
    from sparsebook_compressor.trial import Trial
    from sparsebook_compressor.trying import try_both
    from sparsebook_compressor.tuning.report import Drift, TuningReport
    from sparsebook_compressor.tuning.tune import tune
    from sparsebook_compressor.updates.applying import apply_update

__all__ = [
    "Config",
    "Drift",
    "Estimate",
    "EstimateRow",
    "InputError",
    "InspectRow",
    "Inspection",
    "Progress",
    "Report",
    "SparsebookError",
    "Trial",
    "TuningReport",
    "Update",
    "apply_update",
    "compress",
    "decompress",
    "estimate",
    "inspect",
    "recover",
    "try_both",
    "tune",
]

# Imported when they are asked for: whoever wants the errors or the config alone does without NumPy and ONNX Runtime.
_WHERE = {
    "Config": "config",
    "Drift": "tuning.report",
    "Estimate": "estimating",
    "EstimateRow": "estimating",
    "InputError": "errors",
    "InspectRow": "artifact",
    "Inspection": "artifact",
    "Progress": "progress",
    "Report": "report",
    "SparsebookError": "errors",
    "Trial": "trial",
    "TuningReport": "tuning.report",
    "Update": "report",
    "apply_update": "updates.applying",
    "compress": "pipeline",
    "decompress": "decompressing",
    "estimate": "estimating",
    "inspect": "artifact",
    "recover": "recovering",
    "try_both": "trying",
    "tune": "tuning.tune",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # No module may have the name of a function: it would take its place when it is imported.
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
