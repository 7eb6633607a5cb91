"""The trainer program, `sparsebook_training`, in its own environment, as a child process."""

import resource
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sparsebook_compressor.errors import SparsebookError
from sparsebook_compressor.progress import TrainingProgress
from sparsebook_service.lines import LineProcess
from sparsebook_service.settings import Settings

MODULE = "sparsebook_training"
# There where the machine has an NVIDIA GPU and its driver.
GPU = Path("/dev/nvidiactl")
TICK_SECONDS = 1.0


class TrainerMissing(SparsebookError):
    """The environment of the trainer is not there, or does not work."""

    problem = "not-ready"


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Progressed(_Line):
    """How far it is; the fields of `TrainingProgress`."""

    kind: Literal["progress"]
    epoch: int
    epochs: int
    fraction: float
    loss: float | None
    metric: float | None
    samples_per_second: float | None

    def progress(self) -> TrainingProgress:
        """As the compressor has it."""
        return TrainingProgress(**self.model_dump(exclude={"kind"}))


class Finished(_Line):
    """The result is there."""

    kind: Literal["done"]


class Failed(_Line):
    """It cannot be done; `problem` is the slug of a problem type."""

    kind: Literal["failed"]
    problem: str
    detail: str


Line: TypeAlias = Annotated[Progressed | Finished | Failed, Field(discriminator="kind")]
_LINE: TypeAdapter[Line] = TypeAdapter(Line)


@dataclass(frozen=True, slots=True)
class Trainer:
    """Where the trainer program is, what it trains on, and what it may use: resource (RLIMIT_...) -> at most."""

    python: Path
    device: str
    limits: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> "Trainer":
        """The one that the settings name."""
        return cls(settings.trainer_python, settings.trainer_device)

    @classmethod
    def limited(cls, settings: Settings) -> "Trainer":
        """The same, within what a job's process may use: a service trains graphs that strangers send.

        On the CPU ONNX Runtime training takes little more address space than memory (338 MB where LeNet-5 takes 136), so
        that the limit of a job fits it. CUDA reserves addresses for all memory of all GPUs and of the machine, far beyond
        any limit that would say something of the graph: there the address space stays free.
        """
        limits = {resource.RLIMIT_CORE: 0}
        if settings.job_file_bytes is not None:
            limits[resource.RLIMIT_FSIZE] = settings.job_file_bytes
        if settings.trainer_device == "cpu" or (
            settings.trainer_device == "auto" and not GPU.exists()
        ):
            limits[resource.RLIMIT_AS] = settings.job_address_space_bytes
        return cls(settings.trainer_python, settings.trainer_device, limits)

    @property
    def is_there(self) -> bool:
        """Whether its environment is; whether it works, only `check` says."""
        return self.python.is_file()

    def check(self) -> None:
        """Find out whether the program starts.

        Raises:
            TrainerMissing: it does not; the message says what to do.
        """
        if not self.is_there:
            raise TrainerMissing(
                f"there is no fine-tuning worker: no {self.python}; make its environment with `make .venv-trainer`, or say "
                "with SPARSEBOOK_TRAINER_PYTHON where it is"
            )
        command = [str(self.python), "-P", "-m", MODULE, "--help"]
        with tempfile.TemporaryDirectory() as folder:
            process = LineProcess(command, folder=Path(folder), stderr=Path(folder) / "stderr")
            try:
                with process:
                    for _ in process.lines(TICK_SECONDS):
                        pass
                    status = process.exit_status()
            except OSError as error:
                raise TrainerMissing(f"{self.python} does not run: {error}") from error
            said = process.last_words().rsplit("\n", 1)[-1]
        if status:
            raise TrainerMissing(
                f"{self.python} cannot run {MODULE}: {said}; make the environment again with `make .venv-trainer`"
            )

    def start(self, order: Path, dataset: Path, work: Path, folder: Path) -> "TrainerProcess":
        """The program at work on an order; nothing is started before the `with`.

        Args:
            order: folder of the order.
            dataset: folder of the dataset.
            work: its own folder, in which it may have worked before.
            folder: where it runs; what it says to people goes into `trainer.log` there.
        """
        command = [str(self.python), "-P", "-m", MODULE]
        folders = [str(path.absolute()) for path in (order, dataset, work)]
        return TrainerProcess([*command, *folders, "--device", self.device], folder, self.limits)


class TrainerProcess:
    """A trainer at work; leaving the `with` kills what is left of it."""

    def __init__(self, command: list[str], folder: Path, limits: Mapping[int, int]) -> None:
        log = folder / "trainer.log"
        self._process = LineProcess(command, folder=folder, stderr=log, limits=limits)

    def __enter__(self) -> Self:
        self._process.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.__exit__(*raised)

    def lines(self, tick: float) -> Iterator[Line | None]:
        """What it says, until it ends; None whenever it says nothing for `tick` seconds.

        Raises:
            ValidationError: a line that is none of the program's.
        """
        for line in self._process.lines(tick):
            yield None if line is None else _LINE.validate_json(line)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def exit_status(self) -> int:
        """Wait for its end: the exit status, or minus the signal that ended it."""
        return self._process.exit_status()

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        return self._process.last_words()
