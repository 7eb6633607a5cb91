"""The processes that measure: each is asked one thing and is gone."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsebook_compressor.errors import BadValue, InternalError
from sparsebook_compressor.measure import first_line
from sparsebook_service.bench.protocol import Alone, Answer, Order, Running, Turn
from sparsebook_service.bench.subject import Subject

ALONE = 3
"""Processes that each model is loaded in, in turns with the other's."""
_PROGRAM = "sparsebook_service.bench.child"

Listener = Callable[[str, float], None]


@dataclass(frozen=True)
class Processes:
    """Asks for measurements.

    Attributes:
        threads: of every session.
        feeds: .npz files.
        seconds: for the turns on one feed.
        listener: is told what is measured, and which share of the whole is behind it.
    """

    threads: int
    feeds: tuple[Path, ...]
    seconds: float
    listener: Listener

    def nothing(self) -> int | None:
        """Resident bytes of a process that only imported ONNX Runtime; None where the system does not say."""
        return self._ask("nothing", ())["resident"]

    def alone(self, subjects: Sequence[Subject]) -> list[list[Alone]]:
        """Load and run every model a few times, subject by subject."""
        found: list[list[Alone]] = [[] for _ in subjects]
        for turn in range(ALONE):
            for subject, answers in zip(subjects, found, strict=True):
                self.listener(f"loading {subject.path.name}", 0.1 + 0.4 * turn / ALONE)
                answers.append(self._ask("alone", (subject,))["alone"])
        return found

    def turns(self, subjects: Sequence[Subject]) -> list[Turn]:
        """Run all models in turns, feed by feed."""
        self.listener("running them in turns", 0.5)
        return self._ask("turns", subjects)["turns"]

    def _ask(self, kind: str, subjects: Sequence[Subject]) -> Answer:
        order = Order(
            kind=kind,  # type: ignore[typeddict-item]
            models=[Running(path=str(s.path.absolute()), door=s.door) for s in subjects],
            threads=self.threads,
            feeds=[str(path) for path in self.feeds],
            seconds=self.seconds,
        )
        done = subprocess.run(  # noqa: S603 - this very Python, and a module of ours
            [sys.executable, "-P", "-m", _PROGRAM],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=False,
        )
        names = " and ".join(subject.path.name for subject in subjects) or "nothing"
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            how = f"by signal {-done.returncode}" if done.returncode < 0 else f"with {lines[-1:]}"
            raise InternalError(
                f"the process that was to run {names} ended {how}; a model that needs more memory than there is ends so too"
            )
        answer: Answer = json.loads(done.stdout)
        if "error" in answer:
            reason = first_line(RuntimeError(answer["error"]))
            raise BadValue(f"ONNX Runtime does not run {names}: {reason}")
        return answer
