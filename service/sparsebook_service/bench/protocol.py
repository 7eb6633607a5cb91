"""What the measuring process is asked and what it answers. Plain dictionaries: its memory is measured, so it imports little."""

from typing import Any, Literal, TypedDict

Door = Literal["none", "operators", "provider"]


class Running(TypedDict):
    """A model, and by which door its operators come."""

    path: str
    door: Door


class Order(TypedDict):
    """What to measure.

    "nothing" only imports; "alone" loads one model and runs its first feed; "turns" runs two models on every feed.
    """

    kind: Literal["nothing", "alone", "turns"]
    models: list[Running]
    threads: int
    feeds: list[str]
    seconds: float


class Alone(TypedDict):
    """What one model took.

    `resident` is the whole process, None where the system does not say; `live` is what `sparsebook_runtime.live_weights` gives.
    """

    load: float
    first: float
    resident: int | None
    live: list[dict[str, Any]] | None


class Turn(TypedDict):
    """Seconds of every call on one feed, model by model."""

    seconds: list[list[float]]
    joules: list[float] | None


class Answer(TypedDict, total=False):
    """One of these; `error` is why there is none of the others."""

    resident: int | None
    alone: Alone
    turns: list[Turn]
    error: str
