"""What the service and a job's process say to each other: one JSON object a line.

The service writes one `Order` to the process's standard input and keeps it open; its end tells the process that the
service is gone. The process answers with any number of `Advanced` and then one `Done` or `Stopped`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sparsebook_compressor.progress import Stage


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
    """The work: compress `model` (an .onnx file, or a .zip of one with its external data) into the folder `out`."""

    model: Path
    external: int
    data: Path | None
    config: dict[str, Any]
    out: Path
    limits: Limits


class Advanced(_Message):
    """How far the work is."""

    kind: Literal["advanced"] = "advanced"
    stage: Stage
    weight: str | None
    fraction: float


class MadeFile(_Message):
    """A file that the work has made; `name` is its path in the bundle."""

    name: str
    bytes: int
    sha256: str


class Done(_Message):
    """The bundle lies in `<out>/bundle`, its files are these; `<out>/bundle.zip` holds them all."""

    kind: Literal["done"] = "done"
    files: tuple[MadeFile, ...]
    bundle: MadeFile


class Stopped(_Message):
    """The work cannot be done; `problem` is the slug of a problem type."""

    kind: Literal["stopped"] = "stopped"
    problem: str
    detail: str


Message: TypeAlias = Annotated[Advanced | Done | Stopped, Field(discriminator="kind")]
MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
