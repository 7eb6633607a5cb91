"""Tunes an artifact: data in, the same codes with other centroids out."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsebook_compressor import pack
from sparsebook_compressor.clock import Clock
from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue, Diverged, NoTrainer
from sparsebook_compressor.progress import Listener
from sparsebook_compressor.protocol import Protocol, StageMetric
from sparsebook_compressor.remarks import remarks_on_tuning
from sparsebook_compressor.reporting.page import document
from sparsebook_compressor.stages.representable import representable
from sparsebook_compressor.summary import versions
from sparsebook_compressor.training.aim.metrics import evaluate
from sparsebook_compressor.training.orders.finetuning import FineTuning
from sparsebook_compressor.training.orders.trainer import Trainer
from sparsebook_compressor.tuning.account import of_tuning
from sparsebook_compressor.tuning.preparing import prepare
from sparsebook_compressor.tuning.report import Drift, TuningReport
from sparsebook_compressor.tuning.subject import AFTER, BEFORE, Subject

F32 = npt.NDArray[np.float32]


def tune(
    artifact: Path,
    out: Path,
    config: Config | None = None,
    *,
    data: Path | Sequence[Path] | None,
    loss: Path | None = None,
    metric: Path | None = None,
    trainer: Trainer | None,
    operator_library: Path | None = None,
    platform: str | None = None,
    other_libraries: Mapping[str, Path] | None = None,
    progress: Listener | None = None,
) -> TuningReport:
    """Train the codebooks of an artifact, and nothing else of it; the original model is not needed.

    Args:
        artifact: a file whose output is `operator` or `portable`; its data file lies in the same folder.
        out: the bundle folder, which must not exist or be empty; it appears whole or not at all.
        config: `seed`, `train` and `budget.metric` are read.
        data: an .npz, or several that continue each other, with samples and labels (docs/data.md).
        loss: a small .onnx graph to train for, in the place of the labels' loss.
        metric: a small .onnx graph to measure by.
        trainer: carries the training order out.
        operator_library: runs an artifact with operators, and goes into the bundle; without one such an artifact is measured
            as plain floats, which takes the memory of the dense model.
        platform: the library's platform, such as linux-x86_64.
        other_libraries: platform -> the same library for it; they go into the bundle where it does.
        progress: is told about every stage.

    Returns:
        The report, which lies in the bundle too.

    Raises:
        InputError: artifact, config or data cannot be used; the class says which.
        Diverged: the bundle is there, and holds the artifact as it was.
        StorageFull: no room left.
        InternalError: the worker failed.
    """
    config = config or Config()
    files = () if data is None else (data,) if isinstance(data, Path) else tuple(data)
    if not files:
        raise BadValue("tuning needs data to train and measure with; give an .npz (--data F.npz)")
    if trainer is None:
        raise NoTrainer(
            "tuning needs the fine-tuning worker, and there is none; make its environment with `make .venv-trainer`, or say with "
            "SPARSEBOOK_TRAINER_PYTHON where it is"
        )
    clock = Clock(progress, training=True)
    with pack.fresh_folder(out) as folder, pack.folder_beside(out) as scratch:
        with clock.stage("admit"):
            subject = Subject.find(artifact, operator_library, scratch)
            source = pack.source_facts(artifact, subject.model)
        with clock.stage("survey"):
            tuning, coded = prepare(subject, config, files, loss, metric, trainer, clock)
        before = tuning.values.codebooks
        tuning.tune(tuning.task.planned)
        after = {
            name: representable(codebook, coded[name].dtype)
            for name, codebook in tuning.values.codebooks.items()
        }
        with clock.stage("pack"):
            for name, held in coded.items():
                held.put(after[name])
            pack.write_model(subject.model, folder, artifact)
            pack.add_libraries(folder, subject.library, platform, other_libraries)
        with clock.stage("verify"):
            protocol = _protocol(subject, tuning, folder / pack.MODEL_NAME)
        report = TuningReport(
            input=source,
            artifact=pack.facts(folder),
            output=subject.output,
            config=config.as_given(),
            seed=config.seed,
            drift=tuple(
                _drift(name, coded[name].shape, before[name], after[name]) for name in coded
            ),
            training=protocol,
            stages=clock.costs(),
            versions=versions(),
            notes=tuple(_notes(protocol)),
        )
        page = document(of_tuning(folder / pack.MODEL_NAME, report, before))
        pack.write_papers(folder, report, page)
    if tuning.journal.diverged:
        raise Diverged(
            "the loss was not finite in the first epoch, at every learning rate that was tried; the bundle holds the artifact as "
            "it was; set a lower train.learning_rate, or look at the data's range"
        )
    return report


def _protocol(subject: Subject, tuning: FineTuning, tuned: Path) -> Protocol:
    """The account, with the metric before and after on the test part: read here for the first time."""
    task, journal = tuning.task, tuning.journal
    stages: list[StageMetric] = []
    for stage, artifact in ((BEFORE, subject.path), (AFTER, tuned)):
        runs, library = subject.runnable(artifact, stage)
        metric = evaluate(runs, library, task.dataset, "test", task.objective, None)
        before = stages[0].metric if stages else metric
        stages.append(StageMetric.after(stage, metric, before))
    described = task.objective.describe()
    kept = ("against", "classes", "own_loss", "own_metric")
    settings = {key: described[key] for key in kept if described.get(key) is not None}
    return Protocol(
        loss=described["loss"],
        metric=described["metric"],
        splits={facts.part: dataclasses.asdict(facts) for facts in task.dataset.splits},
        settings={**dataclasses.asdict(task.settings), "round_epochs": [], **settings},
        stages=tuple(stages),
        phases=tuple(journal.phases),
        points=(),
        frozen=tuple((each.weight, each.reason) for each in task.trainable.frozen),
        rewritten=task.trainable.rewritten,
        versions=journal.versions,
        selection=task.selection,
    )


def _drift(name: str, shape: tuple[int, ...], before: F32, after: F32) -> Drift:
    rms, moves = _rms(before), after.astype(np.float64) - before
    scale = rms or 1.0
    return Drift(
        name=name,
        shape=shape,
        centroids=len(before),
        codebook_rms=rms,
        rms=_rms(moves) / scale,
        largest=float(np.abs(moves).max(initial=0.0)) / scale,
    )


def _rms(values: npt.NDArray[np.floating]) -> float:
    return float(np.sqrt(np.square(values, dtype=np.float64).mean())) if len(values) else 0.0


def _notes(protocol: Protocol) -> Iterator[str]:
    if all(phase.kept_epoch == 0 for phase in protocol.phases):
        yield (
            "no epoch was better on the eval part than the artifact as it was: its centroids were kept; more data, another "
            "train.learning_rate or more train.epochs may help"
        )
    yield from remarks_on_tuning(protocol)
    for name, reason in protocol.frozen:
        yield f"the codebook of {name!r} was not trained: {reason}"
