"""What `sparsebook compress` and `tune` do, here or on a server."""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sparsebook_compressor as compressor
from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue, InputError, NothingToCompress
from sparsebook_compressor.progress import Progress, TrainingProgress
from sparsebook_service import settings
from sparsebook_service.cli import console
from sparsebook_service.client import Client, ServiceProblem, Unreachable
from sparsebook_service.finetune.local import LocalTrainer
from sparsebook_service.finetune.program import Trainer
from sparsebook_service.jobs.schemas import Job, Training
from sparsebook_service.libraries import Libraries


def read_config(
    file: Path | None,
    *,
    preset: str | None = None,
    output: str | None = None,
    seed: int | None = None,
    codec: str | None = None,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """The config of a file, with the options of the command line on top.

    Args:
        file: JSON.
        preset: as the config's key, and so the following three.
        output: likewise.
        seed: likewise.
        codec: likewise.
        sections: section -> its keys. What is None was not given.

    Raises:
        BadValue, UnknownOption: as `Config.parse`; or the file cannot be read.
    """
    raw: Any = {}
    if file is not None:
        try:
            raw = json.loads(file.read_text())
        except OSError as error:
            raise BadValue(f"--config {file}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise BadValue(f"--config {file}: not JSON: {error}") from error
    options = {"preset": preset, "output": output, "seed": seed, "codec": codec}
    given = {key: value for key, value in options.items() if value is not None}
    merged = {**raw, **given} if isinstance(raw, dict) else raw
    for section, values in (sections or {}).items():
        chosen = {key: value for key, value in values.items() if value is not None}
        if chosen and isinstance(merged, dict) and isinstance(merged.get(section, {}), dict):
            merged[section] = {**merged.get(section, {}), **chosen}
    return Config.parse(merged)


def check_input(path: Path, what: str) -> None:
    """Refuse early what is not a readable file.

    Raises:
        BadValue: there is no such file, or it is a folder.
    """
    if not path.is_file():
        reason = "is not a file" if path.exists() else "does not exist"
        raise BadValue(f"{what} {path} {reason}")


def artifact_in(path: Path) -> Path:
    """The artifact of a bundle's folder, or the file that is named."""
    return path / "model.onnx" if path.is_dir() else path


def check_output(folder: Path) -> None:
    """Refuse early a folder that is in use.

    Raises:
        BadValue: it exists and is not an empty folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadValue(
            f"{folder} exists and is not empty; choose another folder with -o, or remove it first"
        )


@dataclass(frozen=True, slots=True)
class Samples:
    """What a model is fine-tuned and measured with, and the last release that it follows."""

    data: tuple[Path, ...] = ()
    loss: Path | None = None
    metric: Path | None = None
    base: Path | None = None

    def check(self) -> None:
        """Refuse early what is not a readable file.

        Raises:
            BadValue: there is no such file, or it is a folder.
        """
        for path in self.data:
            check_input(path, "the data file")
        if self.loss is not None:
            check_input(self.loss, "the loss")
        if self.metric is not None:
            check_input(self.metric, "the metric")
        if self.base is not None:
            check_input(self.base, "the base")


def local_trainer(config: Config, samples: Samples) -> LocalTrainer | None:
    """The trainer on this machine; None where its environment is not there, which is said where it would have work."""
    trainer = Trainer.of(settings.load())
    if trainer.is_there:
        return LocalTrainer(trainer)
    if samples.data and config.train.loss != "none" and config.preset != "small":
        console.say(
            f"there is no fine-tuning worker: no {trainer.python}; make its environment with `make .venv-trainer`, or say with "
            "SPARSEBOOK_TRAINER_PYTHON where it is"
        )
    return None


@contextlib.contextmanager
def listening(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A listener that shows how far it is."""
    with console.progress(not quiet) as shown:

        def listener(step: Progress) -> None:
            if shown is not None:
                shown.show(step.stage, training_line(step.training) or step.weight, step.fraction)

        yield listener


def training_line(at: TrainingProgress | Training | None) -> str | None:
    """How far a training is, in a line.

    >>> training_line(TrainingProgress(3, 8, 0.3, 0.3127, 0.9712, 2103.4))
    'epoch 3/8  loss 0.3127  metric 0.9712  2103 samples/s'
    """
    if at is None:
        return None
    parts = [f"epoch {at.epoch}/{at.epochs}"]
    parts += [] if at.loss is None else [f"loss {at.loss:.4g}"]
    parts += [] if at.metric is None else [f"metric {at.metric:.4f}"]
    parts += [] if at.samples_per_second is None else [f"{at.samples_per_second:.0f} samples/s"]
    return "  ".join(parts)


def compress_here(model: Path, out: Path, config: Config, samples: Samples, *, quiet: bool) -> None:
    """Compress in this process; training is a child of it."""
    libraries = Libraries.find(settings.load().runtimes)
    with listening(quiet) as listener:
        compressor.compress(
            model,
            out,
            config,
            data=samples.data,
            loss=samples.loss,
            metric=samples.metric,
            base=samples.base,
            trainer=local_trainer(config, samples),
            operator_library=libraries.own,
            platform=libraries.platform,
            other_libraries=libraries.others,
            progress=listener,
        )


# Shorter pauses between two tries are nothing that anybody would notice.
_PAUSE_WORTH_TELLING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class There:
    """A service that compresses instead of this process.

    Attributes:
        url: of the service.
        patience: seconds to try again while it cannot be reached.
        api_key: for it.
        deadline: seconds that the job may take.
        webhook: where it posts the job's end.
        push: where in a bucket it puts the bundle's files.
        idempotency_key: the same gives the same job.
    """

    url: str
    patience: float
    api_key: str | None = None
    deadline: float | None = None
    webhook: str | None = None
    push: str | None = None
    idempotency_key: str | None = None

    def refuse(self) -> None:
        """Refuse what only a service can do, where there is none.

        Raises:
            BadValue: one of these was asked for.
        """
        asked = {
            "--deadline": self.deadline,
            "--webhook": self.webhook,
            "--push": self.push,
            "--idempotency-key": self.idempotency_key,
        }
        for option, value in asked.items():
            if value is not None:
                raise BadValue(f"{option} is for a job on a server: give --server with its address")


def _say_why_it_waits(url: str, error: BaseException, seconds: float) -> None:
    if seconds >= _PAUSE_WORTH_TELLING_SECONDS:
        console.say(
            f"no answer from {url} ({error}), is it running? trying again in {seconds:.0f} s"
        )


def compress_there(
    there: There, model: Path, out: Path, config: Config, samples: Samples, *, quiet: bool
) -> None:
    """Compress on a server and download the bundle; a job that is interrupted here is cancelled there."""
    notice = None if quiet else functools.partial(_say_why_it_waits, there.url)
    with (
        Client(there.url, patience=there.patience, notice=notice, api_key=there.api_key) as client,
        console.progress(not quiet) as shown,
    ):
        job = client.compress(
            model,
            config=config,
            data=samples.data,
            loss=samples.loss,
            metric=samples.metric,
            base=samples.base,
            deadline=there.deadline,
            webhook=there.webhook,
            push=there.push,
            idempotency_key=there.idempotency_key,
        )

        def on_change(now: Job) -> None:
            if shown is not None:
                at = training_line(now.training) or now.weight
                shown.show(now.stage, at, now.progress, now.waiting)

        try:
            if not quiet:
                console.say(f"job {job.id} at {there.url}")
            client.download(client.wait(job.id, on_change), out)
        except ServiceProblem as problem:
            if problem.job is not None and problem.job.result is not None:
                client.download(problem.job, out)
            raise
        except KeyboardInterrupt:
            with (
                contextlib.suppress(ServiceProblem, Unreachable),
                Client(there.url, patience=0, api_key=there.api_key) as last,
            ):
                last.cancel(job.id)
            raise


@contextlib.contextmanager
def pointing_to_tune(model: Path) -> Iterator[None]:
    """Where the block finds nothing to compress because the file is an artifact already, say what can be done with one.

    Raises:
        BadValue: the file is an artifact.
    """
    try:
        yield
    except (NothingToCompress, ServiceProblem) as error:
        if isinstance(error, ServiceProblem) and error.slug != NothingToCompress.problem:
            raise
        if not _has_codes(model):
            raise
        raise BadValue(
            f"{model} is an artifact: its weights are coded already; `sparsebook tune {model} --data F.npz` trains its "
            "codebooks, `sparsebook decompress` writes plain floats"
        ) from error


def _has_codes(model: Path) -> bool:
    # Seconds of imports that only few calls need, here and in the other places like it.
    from sparsebook_compressor.tuning.subject import Subject  # noqa: PLC0415

    try:
        Subject.find(model, None, model.parent)  # it only looks
    except InputError:
        return False
    return True


def tuned_folder(artifact: Path) -> Path:
    """Where a tuned artifact goes by default: beside the bundle, or named after the file that is in none."""
    artifact = artifact.absolute()
    folder = artifact.parent
    if (folder / "manifest.json").is_file():
        return folder.with_name(f"{folder.name}-tuned")
    return folder / f"{artifact.stem}-tuned"


def tune_here(artifact: Path, out: Path, config: Config, samples: Samples, *, quiet: bool) -> None:
    """Tune in this process; training is a child of it."""
    libraries = Libraries.find(settings.load().runtimes)
    with listening(quiet) as listener:
        compressor.tune(
            artifact,
            out,
            config,
            data=samples.data,
            loss=samples.loss,
            metric=samples.metric,
            trainer=local_trainer(config, samples),
            operator_library=libraries.own,
            platform=libraries.platform,
            other_libraries=libraries.others,
            progress=listener,
        )
