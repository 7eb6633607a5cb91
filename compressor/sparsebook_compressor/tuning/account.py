"""A tuning's report in the form of a compression's, which is what is drawn."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.readout import bare, read_out, with_starts
from sparsebook_compressor.report import Report
from sparsebook_compressor.tuning.report import TuningReport

_NOTE = "the codebooks of this artifact were tuned: the metric before is that of the artifact that was handed in"


def of_tuning(
    path: Path, report: TuningReport, starts: Mapping[str, npt.NDArray[np.float32]]
) -> Report:
    """What is told of a tuned artifact.

    Args:
        path: of the artifact.
        report: of its tuning.
        starts: float32[centroids] of weights before, by name, where they are known.
    """
    found = read_out(path) if report.output == "operator" else bare(report.artifact, report.output)
    return replace(
        with_starts(found, starts),
        config=report.config,
        seed=report.seed,
        training=report.training,
        stages=report.stages,
        versions=report.versions,
        notes=(*found.notes, _NOTE, *report.notes),
    )
