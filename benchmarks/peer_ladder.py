"""`small` at several prices: weights are looked at once, and each price takes one pass.

A search for a budget makes such passes until one comes to what was asked for, so that what it keeps lies on the same curve; a search
for every point of it would look at the weights anew and make four to six passes.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.peer_models import SEED, Subject
from sparsebook_compressor import Config, admit, pack
from sparsebook_compressor.calibration.allocation import price_for_loss
from sparsebook_compressor.calibration.course import (
    Calibrated,
    Originally,
    Ready,
    alone,
    prepare,
)
from sparsebook_compressor.calibration.passing import Passed
from sparsebook_compressor.calibration.search import Found
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.feeds import input_specs
from sparsebook_compressor.graph.spool import Spool
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.plan import make_plan
from sparsebook_compressor.replacing import finish
from sparsebook_compressor.rewrite.surgery import Surgeon
from sparsebook_compressor.training.data.dataset import Dataset

# As the search does: the error grows as the root of the price, and curves are off by some factor that the first pass shows.
_MOST_FACTOR = 4.0


def ladder(
    subject: Subject, aims: list[float], folder: Path
) -> Iterator[tuple[float, Path, float]]:
    """An artifact for each aim, coarsest first: the aim, the artifact and processor seconds.

    Args:
        subject: the model and its inputs; the calibration part is looked at, the chosen part tells how far off a pass was.
        aims: relative RMS errors of the outputs that passes aim at. Each is met as nearly as the pass before allows.
        folder: for files; made here.

    Raises:
        SparsebookError: the model cannot be calibrated.
    """
    folder.mkdir(parents=True)
    drop = {"metric": "fidelity", "max_drop": max(aims)}
    config = Config.parse({"preset": "small", "seed": SEED, "budget": drop})
    began = time.process_time()
    with alone():
        ready = _ready(subject, config, folder)
        factor = 1.0
        for number, aim in enumerate(sorted(aims, reverse=True)):
            price = price_for_loss(ready.curves, aim**2).price * factor
            passed = ready.run(price, number)
            lost = 0.0 if passed.metric is None else ready.goal.before - passed.metric
            if lost > 0:
                factor *= float(np.clip((aim / lost) ** 2, 1 / _MOST_FACTOR, _MOST_FACTOR))
            file = _written(subject, config, ready, passed, folder / f"{aim:g}")
            yield aim, file, time.process_time() - began
            shutil.rmtree(passed.folder)
            began = time.process_time()


def _ready(subject: Subject, config: Config, folder: Path) -> Ready:
    data = folder / "data.npz"
    chosen = {f"eval_{name}": array for name, array in subject.chosen.items()}
    # A test part has to be there; that it is the chosen one again keeps the held-out samples out of it.
    again = {f"test_{name}": array for name, array in subject.chosen.items()}
    np.savez(data, allow_pickle=False, **subject.calibration, **chosen, **again)
    parsed = admit.load(subject.model)
    specs = input_specs(parsed)
    dataset = Dataset.prepare((data,), specs, folder / "data", SEED)
    view = survey(parsed, subject.model)
    size = pack.source_facts(subject.model, parsed).bytes
    original = Originally(subject.model, parsed, view, make_plan(view, config), size)
    return prepare(original, dataset, "given", config, folder / "calibration", Clock(None))


def _written(subject: Subject, config: Config, ready: Ready, passed: Passed, folder: Path) -> Path:
    """The artifact that `compress` would write had its search kept this pass."""
    parsed = admit.load(subject.model)
    view = survey(parsed, subject.model)
    clock = Clock(None)
    folder.mkdir()
    surgeon = Surgeon(parsed, Spool(folder / "payloads"))
    found = Found((passed,), passed)
    calibrated = Calibrated(ready.subject, ready.felt, ready.goal, found, None, None)
    calibrated.pack(surgeon, view, make_plan(view, config), config, clock)
    finish(surgeon, config.output)
    pack.write_model(parsed, folder, subject.model)
    shutil.rmtree(folder / "payloads", ignore_errors=True)
    return folder / pack.MODEL_NAME
