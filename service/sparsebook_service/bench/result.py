"""What a measurement has found: plain data, strict JSON in and out."""

import statistics
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Seconds(_Data):
    """The median of several calls, their quartiles, and how many there were."""

    median: Positive
    low: Positive
    high: Positive
    calls: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """Of single calls, at least one."""
        if len(seconds) == 1:
            return cls(median=seconds[0], low=seconds[0], high=seconds[0], calls=1)
        low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
        return cls(median=median, low=low, high=high, calls=len(seconds))


class Latency(_Data):
    """One inference at a batch; `joules` is None where energy could not be measured."""

    batch: int
    seconds: Seconds
    joules: Positive | None


class WeightForm(_Data):
    """Weights that lie in memory the same way. `isa`: the instructions that compute with them, where that is known."""

    form: str
    isa: str
    weights: int
    bytes: int


class Side(_Data):
    """One of the two models.

    Attributes:
        file: its name.
        bytes: with its external data.
        load: session creation, in processes of their own.
        first: the first inference after it, at the smallest batch.
        resident_bytes: of a process that has loaded and run it, less one that only imported ONNX Runtime; None where the
            system does not say.
        weight_bytes: what its weights take in memory; None where the operator library does not say.
        weight_forms: how they lie there.
        latencies: batch by batch.
    """

    file: str
    bytes: int
    load: Seconds
    first: Seconds
    resident_bytes: int | None
    weight_bytes: int | None
    weight_forms: tuple[WeightForm, ...]
    latencies: tuple[Latency, ...]


class Machine(_Data):
    """Where it was measured. `caches`: level -> bytes."""

    processor: str
    cores: int
    caches: dict[int, int]


class Comparison(_Data):
    """An artifact beside its original."""

    format: Literal[1] = 1
    artifact: Side
    model: Side
    threads: int
    door: Literal["operators", "provider", "none"]
    inputs: Literal["given", "synthetic"]
    machine: Machine
    versions: dict[str, str]
    notes: tuple[str, ...]
