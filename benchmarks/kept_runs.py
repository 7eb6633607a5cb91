"""A compression and what a benchmark keeps of it: a folder that appears whole, as soon as the run has ended."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from benchmarks.paper_configs import Settings
from benchmarks.worker import worker
from sparsebook_compressor import Config, Report, compress
from sparsebook_compressor.errors import BudgetNotMet, Diverged
from sparsebook_runtime import library_path, platform_tag

Hits = npt.NDArray[np.bool_]

_SOURCES = ("compressor", "runtime/training")


@dataclass(frozen=True, eq=False)
class Kept:
    """What became of a compression.

    Attributes:
        hits: for every test image whether the artifact is right; bool [n, ...].
        seconds: from `compress` to the bundle.
        sources: digest of the product that made it.
        fault: what was said of the bundle all the same, such as that the loss diverged.
    """

    report: Report
    hits: Hits
    seconds: float
    sources: str
    fault: str | None

    @classmethod
    def read(cls, folder: Path, **more: Any) -> Self:
        """What `keep` has left in a folder, with the other fields of a subclass."""
        facts: dict[str, Any] = json.loads((folder / "run.json").read_text())
        return cls(
            report=Report.from_json((folder / "report.json").read_text()),
            hits=np.load(folder / "hits.npy", allow_pickle=False),
            seconds=facts["seconds"],
            sources=facts["sources"],
            fault=facts["fault"],
            **more,
        )

    @property
    def is_old(self) -> bool:
        """Whether the product has other sources by now."""
        return self.sources != sources()


def keep(
    folder: Path,
    model: Path,
    settings: Settings,
    data: Path | Sequence[Path],
    hits: Callable[[Path], Hits],
    files: Sequence[str] = (),
) -> None:
    """Compress a model, measure the artifact, and keep what came of it.

    Args:
        folder: which is made.
        model: the user's file.
        settings: the config.
        data: trains, and is compared on.
        hits: measures an artifact on the test images.
        files: of the bundle that are kept; all where none is named.
    """
    fault = None
    with tempfile.TemporaryDirectory(prefix=".run-", dir=folder.parent) as name:
        scratch = Path(name)
        kept = bundle = scratch / "bundle"
        began = time.perf_counter()
        try:
            compress(
                model,
                bundle,
                Config.parse(settings),
                data=data,
                trainer=worker(),
                operator_library=library_path(),
                platform=platform_tag(),
            )
        except (BudgetNotMet, Diverged) as said:
            fault = str(said)
        seconds = time.perf_counter() - began
        if files:
            kept = scratch / "kept"
            kept.mkdir()
            for file in files:
                shutil.copyfile(bundle / file, kept / file)
        np.save(kept / "hits.npy", hits(kept / "model.onnx"))
        facts = {"settings": settings, "seconds": seconds, "sources": sources(), "fault": fault}
        (kept / "run.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
        kept.rename(folder)


@cache
def sources() -> str:
    """A digest of the product's Python sources: what decides about a run besides its settings, model and data."""
    digest = hashlib.sha256()
    for root in _SOURCES:
        for path in sorted(Path(root).rglob("*.py")):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
