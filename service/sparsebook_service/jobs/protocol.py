"""What the service and a job's process say to each other: one JSON object a line.

The service writes one `Order` to the process's standard input and keeps it open; its end tells the process that the
service is gone. The process says any number of `Advanced` and `Train`, then one `Done` or `Stopped`. To each `Train` the
service answers with any number of `TrainingAdvanced` and one `Trained` or `TrainingStopped`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from sparsebook_compressor.progress import Stage, TrainingProgress
from sparsebook_compressor.trial import Trial
from sparsebook_service.names import fault


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Message):
    """What the process may use; bytes, seconds, and content : size of a .zip. None is no limit."""

    address_space_bytes: int
    cpu_seconds: int | None
    file_bytes: int | None
    unpacked_bytes: int
    zip_ratio: int


class Order(_Message):
    """The work: compress `model` (an .onnx file, or a .zip of one with its external data) into the folder `out`.

    With `artifact` it is compared with that one instead: both run on the same inputs, and nothing is written.
    `named` are folders whose files the process may read if it is told their names.
    """

    model: Path
    external: int
    data: tuple[Path, ...]
    loss: Path | None
    metric: Path | None
    base: Path | None = None
    config: dict[str, Any]
    runtimes: Path | None
    out: Path
    named: tuple[Path, ...] = ()
    artifact: Path | None = None
    limits: Limits


class Advanced(_Message):
    """How far the work is."""

    kind: Literal["advanced"] = "advanced"
    stage: Stage
    # A name may be any bytes; a database's text has no NUL.
    weight: Annotated[
        str | None, AfterValidator(lambda name: name and name.replace("\0", "\ufffd"))
    ]
    fraction: float
    training: TrainingProgress | None = None


class Train(_Message):
    """Asks for a training: the folders of an order and of a dataset, which stay as they are until the answer."""

    kind: Literal["train"] = "train"
    order: Path
    dataset: Path


def _plain(name: str) -> str:
    reason = fault(name)
    if reason is not None:
        raise ValueError(f"the file name {name[:200]!r} {reason}")
    return name


class MadeFile(_Message):
    """A file that the work has made; `name` is its path in the bundle.

    It is a plain path below the bundle whatever the process says: it has parsed files of strangers.
    """

    name: Annotated[str, AfterValidator(_plain)]
    bytes: int
    sha256: str


class Made(_Message):
    """The bundle lies in `<out>/bundle`, its files are these; `<out>/bundle.zip` holds them all."""

    files: tuple[MadeFile, ...]
    bundle: MadeFile


class Done(_Message):
    """The work is done."""

    kind: Literal["done"] = "done"
    made: Made


class Stopped(_Message):
    """The work cannot be done; `problem` is the slug of a problem type. What was reached all the same is in `made`."""

    kind: Literal["stopped"] = "stopped"
    problem: str
    detail: str
    made: Made | None = None


class Compared(_Message):
    """Both have run."""

    kind: Literal["compared"] = "compared"
    trial: Trial


Message: TypeAlias = Annotated[
    Advanced | Train | Done | Stopped | Compared, Field(discriminator="kind")
]
MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


class TrainingAdvanced(_Message):
    """How far the training is that was asked for."""

    kind: Literal["training-advanced"] = "training-advanced"
    progress: TrainingProgress


class Trained(_Message):
    """The training is done; its result lies in this folder until the job ends."""

    kind: Literal["trained"] = "trained"
    result: Path


class TrainingStopped(_Message):
    """The training cannot be done; `problem` is the slug of a problem type."""

    kind: Literal["training-stopped"] = "training-stopped"
    problem: str
    detail: str


Answer: TypeAlias = Annotated[
    TrainingAdvanced | Trained | TrainingStopped, Field(discriminator="kind")
]
ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)
