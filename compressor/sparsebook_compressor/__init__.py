"""Sparsebook's compressor: ONNX models in, deep-compressed ONNX models out.

The method is Deep Compression (Han, Mao, Dally, arXiv 1510.00149): prune, share weights through k-means codebooks,
Huffman-code. `compress` is the one entry that writes a bundle; nothing here knows HTTP or a queue.
"""

from sparsebook_compressor.artifact import Inspection, InspectRow, inspect
from sparsebook_compressor.config import Config
from sparsebook_compressor.decompress import decompress
from sparsebook_compressor.errors import InputError, SparsebookError
from sparsebook_compressor.estimate import Estimate, EstimateRow, estimate
from sparsebook_compressor.pipeline import compress
from sparsebook_compressor.progress import Progress
from sparsebook_compressor.report import Report
from sparsebook_compressor.tuning.report import Drift, TuningReport
from sparsebook_compressor.tuning.tune import tune

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
    "TuningReport",
    "compress",
    "decompress",
    "estimate",
    "inspect",
    "tune",
]
