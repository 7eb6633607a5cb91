"""The order: what is trained, and how (docs/training.md, section 1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sparsebook_training import fields
from sparsebook_training.errors import Problem

_PROBLEM: Problem = "internal"  # another program wrote it: no user can mend it
_MOST_EPOCHS = 1_000_000
_MOST_BATCH = 1 << 24
_MOST_SHIFT = 1 << 10


@dataclass(frozen=True, slots=True)
class Order:
    """`order.json`, validated.

    Attributes:
        parameters: initializers of the graph that are trained.
        metric: how the metric follows from its two sums: "mean" or "one-minus-rms".
        select: what the kept state is the best in: "metric" or "loss".
        batch_size: samples an optimizer step.
        feed: samples a run of the graph, at most `batch_size`.
        epochs: at least 1.
        learning_rate: of the first step.
        optimizer: "adamw" or "sgd".
        schedule: "cosine" or "constant".
        weight_decay: AdamW's, for every parameter.
        patience: epochs without a better state after which training stops, or None.
        keep_start: whether the state before training may be kept.
        seed: of the samples' order.
        constants: inputs of the graph that are the same in every run, to their files.
        noise: inputs of floats to the share of their elements that is taken away while training.
        shift: inputs of floats to the most elements by which a sample is moved while training.
    """

    parameters: tuple[str, ...]
    metric: str
    select: str
    batch_size: int
    feed: int
    epochs: int
    learning_rate: float
    optimizer: str
    schedule: str
    weight_decay: float
    patience: int | None
    keep_start: bool
    seed: int
    constants: Mapping[str, str]
    noise: Mapping[str, float]
    shift: Mapping[str, int]


def read(folder: Path) -> Order:
    """The order of a folder.

    Raises:
        Failed: a key is missing, unknown, of a wrong type or out of range.
    """
    found = fields.read(folder / "order.json", _PROBLEM)
    found.integer("format", 1, 1)
    batch_size = found.integer("batch_size", 1, _MOST_BATCH)
    patience = found.take("patience")
    if patience is not None and (type(patience) is not int or patience < 1):
        found.fail(f"'patience' must be null or an integer from 1, not {patience!r}")
    optimizer = found.choice("optimizer", ("adamw", "sgd"))
    order = Order(
        parameters=found.names("parameters"),
        metric=found.choice("metric", ("mean", "one-minus-rms")),
        select=found.choice("select", ("metric", "loss")),
        batch_size=batch_size,
        feed=found.integer("feed", 1, batch_size),
        epochs=found.integer("epochs", 1, _MOST_EPOCHS),
        learning_rate=found.number("learning_rate", 0.0, exclusive=True),
        optimizer=optimizer,
        schedule=found.choice("schedule", ("cosine", "constant")),
        weight_decay=found.number("weight_decay", 0.0),
        patience=patience,
        keep_start=found.boolean("keep_start"),
        seed=found.integer("seed", 0, (1 << 63) - 1),
        constants=found.files("constants"),
        noise=found.shares("noise"),
        shift=found.offsets("shift", _MOST_SHIFT),
    )
    if order.optimizer == "sgd" and order.weight_decay:
        found.fail("'weight_decay' is AdamW's; with sgd it must be 0")
    found.end()
    return order
