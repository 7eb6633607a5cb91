"""The whole measurement: what both models are run on, the processes that run them, what was found."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sparsebook_compressor.feeds import input_specs
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.summary import versions
from sparsebook_service.bench import feeding, machine
from sparsebook_service.bench.processes import Listener, Processes
from sparsebook_service.bench.protocol import Alone, Turn
from sparsebook_service.bench.result import (
    Comparison,
    Latency,
    Machine,
    Seconds,
    Side,
    WeightForm,
)
from sparsebook_service.bench.subject import FLOATS, Subject


@dataclass(frozen=True)
class Wish:
    """What is to be measured.

    Attributes:
        batches: where the model's batch is free.
        threads: of every session.
        door: by which an artifact's operators come.
        data: .npz files; none where inputs are to be made up.
        seconds: for the latencies at one batch.
    """

    batches: tuple[int, ...] = (1, 8, 64)
    threads: int = 1
    door: Literal["operators", "provider"] = "operators"
    data: tuple[Path, ...] = ()
    seconds: float = 3.0


def compare(artifact: Path, model: Path, wish: Wish, listener: Listener) -> Comparison:
    """Measure an artifact and its original.

    Args:
        artifact: or any model that takes the same inputs.
        model: the original.
        wish: what to measure.
        listener: is told what is measured, and which share of the whole is behind it.

    Raises:
        InputError: a file cannot be used, the inputs differ, or the model does not run on them.
        InternalError: a process died.
    """
    listener("reading the models", 0.0)
    subjects = (Subject.read(artifact, wish.door), Subject.read(model, wish.door))
    specs = input_specs(subjects[1].parsed)
    feeding.check_same(input_specs(subjects[0].parsed), specs)
    feeds = feeding.find(subjects[1], specs, wish.data, wish.batches)
    with tempfile.TemporaryDirectory(prefix="sparsebook-") as folder:
        files = tuple(Path(folder) / f"{batch}.npz" for batch in feeds.by_batch)
        for file, feed in zip(files, feeds.by_batch.values(), strict=True):
            np.savez(file, allow_pickle=False, **feed)
        processes = Processes(wish.threads, files, wish.seconds, listener)
        alone = processes.alone(subjects)
        turns = dict(zip(feeds.by_batch, processes.turns(subjects), strict=True))
        nothing = processes.nothing()
    weights = survey(subjects[1].parsed, model).weights
    floats = WeightForm(
        form=FLOATS,
        isa="",
        weights=len(weights),
        bytes=sum(weight.stored_bytes for weight in weights),
    )
    ours, theirs = (
        _side(subject, alone[index], nothing, latencies(turns, index), floats)
        for index, subject in enumerate(subjects)
    )
    return Comparison(
        artifact=ours,
        model=theirs,
        threads=wish.threads,
        door=subjects[0].door,
        inputs="given" if wish.data else "synthetic",
        machine=Machine(
            processor=machine.processor(), cores=machine.cores(), caches=machine.caches()
        ),
        versions=versions(),
        notes=feeds.notes,
    )


def latencies(turns: dict[int, Turn], index: int) -> tuple[Latency, ...]:
    """What one of the models took, by batch."""
    return tuple(
        Latency(
            batch=batch,
            seconds=Seconds.of(turn["seconds"][index]),
            joules=None if turn["joules"] is None else turn["joules"][index],
        )
        for batch, turn in turns.items()
    )


def _side(
    subject: Subject,
    alone: list[Alone],
    nothing: int | None,
    latencies: tuple[Latency, ...],
    floats: WeightForm,
) -> Side:
    forms = subject.weight_forms(alone[-1]["live"], floats)
    residents = [answer["resident"] for answer in alone if answer["resident"] is not None]
    resident = None
    if residents and nothing is not None:
        resident = max(0, sorted(residents)[len(residents) // 2] - nothing)
    return Side(
        file=subject.path.name,
        bytes=subject.facts.bytes,
        load=Seconds.of([answer["load"] for answer in alone]),
        first=Seconds.of([answer["first"] for answer in alone]),
        resident_bytes=resident,
        weight_bytes=None if forms is None else sum(form.bytes for form in forms),
        weight_forms=forms or (),
        latencies=latencies,
    )
