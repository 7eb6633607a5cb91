"""What the service says about jobs."""

from datetime import datetime
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sparsebook_compressor.progress import Stage
from sparsebook_service.schemas import Problem

State: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
FINAL: frozenset[State] = frozenset({"succeeded", "failed", "cancelled"})

EXAMPLE_ID = "5f0c2e63d6a94d0f8a55c2ad6a7a5c50"
EXAMPLE_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
EXAMPLE_JOB: JsonValue = {
    "id": EXAMPLE_ID,
    "state": "succeeded",
    "stage": "verify",
    "weight": None,
    "progress": 1.0,
    "training": None,
    "waiting": None,
    "owner": None,
    "deadline": None,
    "push": None,
    "times": {
        "created": "2026-01-05T09:30:00.120000Z",
        "started": "2026-01-05T09:30:00.310000Z",
        "finished": "2026-01-05T09:30:03.870000Z",
    },
    "config": {"preset": "safe", "output": "operator", "seed": 0},
    "input": {"name": "model.onnx", "bytes": 3195614, "sha256": EXAMPLE_SHA256},
    "result": {
        "bytes": 402113,
        "ratio": 7.947,
        "metrics": {
            "inputs": "synthetic",
            "samples": 16,
            "max_error": 0.0031,
            "relative_error": 0.0042,
            "cosine": 0.99999,
            "agreement": 1.0,
            "latency_ms": None,
            "trained": {
                "name": "top-1 accuracy",
                "before": 0.984,
                "after": 0.983,
                "drop": 0.001,
            },
        },
        "files": [
            {
                "name": "model.onnx",
                "bytes": 402113,
                "sha256": EXAMPLE_SHA256,
                "href": f"/jobs/{EXAMPLE_ID}/artifact/model.onnx",
            }
        ],
    },
    "error": None,
}


class Times(BaseModel):
    """When it happened, in UTC."""

    created: datetime
    started: datetime | None = None
    finished: datetime | None = None


class InputFile(BaseModel):
    """The model that was uploaded: the bytes of all its files, the digest of the one that has `name`."""

    name: str
    bytes: int
    sha256: str


class ResultFile(BaseModel):
    """One file of the bundle."""

    name: str
    bytes: int
    sha256: str
    href: str


class TestMetric(BaseModel):
    """The metric on the test part, which was read once, when all was frozen; null where it is no finite number."""

    name: str = Field(description="What is measured, in words")
    before: float | None = Field(description="Of the original")
    after: float | None = Field(description="Of the artifact")
    drop: float | None = Field(description="`before` - `after`; below 0 it has gained")


class Metrics(BaseModel):
    """The artifact against the original in ONNX Runtime; of several outputs, the worst."""

    inputs: str | None = Field(default=None, description="given or synthetic")
    samples: int | None = None
    max_error: float | None = None
    relative_error: float | None = None
    cosine: float | None = None
    agreement: float | None = Field(
        default=None, description="Share of positions with the same argmax over the last axis"
    )
    latency_ms: float | None = Field(
        default=None,
        description="Median processor time of one inference of the artifact on one thread, where it was run whole",
    )
    trained: TestMetric | None = Field(default=None, description="Set where the model was trained")


class Result(BaseModel):
    """What a job has made."""

    bytes: int = Field(description="Of the artifact, with its external data")
    ratio: float = Field(description="Bytes of the input / bytes of the artifact")
    metrics: Metrics
    files: list[ResultFile]


class Training(BaseModel):
    """How far the training of the stages `retrain` and `tune` is."""

    epoch: int = Field(description="The epoch that runs, from 1; 0 before the first")
    epochs: int = Field(description="How many there will be at most")
    fraction: float = Field(ge=0, le=1, description="Of this training")
    loss: float | None = Field(description="Mean training loss of the epoch so far")
    metric: float | None = Field(description="On the eval part, after the last whole epoch")
    samples_per_second: float | None = None


class Job(BaseModel):
    """A compression, from upload to result."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_JOB]})

    id: str
    state: State
    stage: Stage | None = Field(description="The stage that runs now, or ran last")
    weight: str | None = Field(description="The weight it works on, between weights null")
    progress: float = Field(ge=0, le=1, description="Of the whole job")
    training: Training | None = Field(
        default=None, description="Set while the stages `retrain` and `tune` run"
    )
    waiting: str | None = Field(
        default=None, description="What a running job waits for, such as a fine-tuning worker"
    )
    cached_from: str | None = Field(
        default=None,
        description="The earlier job whose artifact this is, where the same was asked for before and nothing was computed",
    )
    owner: str | None = Field(
        default=None,
        description="Id of the API key that has sent it; null where none was asked for",
    )
    deadline: datetime | None = Field(
        default=None, description="When it must have ended, in UTC; null where it may take its time"
    )
    push: str | None = Field(
        default=None,
        description="Where in a bucket the bundle's files are, once the job has succeeded",
        examples=["s3://models/resnet/2026-01"],
    )
    times: Times
    config: dict[str, Any] = Field(
        description="As it was given; sent again it gives the same result"
    )
    input: InputFile
    result: Result | None = Field(
        default=None,
        description="Of a job that succeeded, or failed in training with something to show",
    )
    error: Problem | None = None

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL


class JobList(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[Job]
    next: str | None = Field(
        description="The `cursor` of the next page; null on the last one", examples=["MTA0"]
    )
