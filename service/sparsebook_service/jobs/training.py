"""A job's training, between the job's process that asks for it and the workers that run it."""

from collections.abc import Callable
from pathlib import Path

from sparsebook_compressor.errors import InternalError, SparsebookError
from sparsebook_compressor.progress import TrainingProgress
from sparsebook_service.finetune.service import Asking, View
from sparsebook_service.jobs.protocol import (
    Answer,
    Train,
    Trained,
    TrainingAdvanced,
    TrainingStopped,
)


class Training:
    """The training that a job waits for, if any; a job asks for one after the other."""

    def __init__(
        self,
        folder: Path,
        asking: Asking,
        answer: Callable[[Answer], None],
        wait: Callable[[str | None], object],
    ) -> None:
        """Nothing is asked for yet.

        Args:
            folder: of the job, in which its orders and datasets lie.
            asking: for trainings.
            answer: says something to the job's process.
            wait: notes what the job waits for.
        """
        self._folder = folder.resolve()
        self._asking = asking
        self._answer = answer
        self._wait = wait
        self._id: str | None = None
        self._told: TrainingProgress | None = None
        self._waiting: str | None = None

    def begin(self, wanted: Train) -> None:
        """Ask for a training on behalf of the process."""
        try:
            self._id = self._asking.ask(self._own(wanted.order), self._own(wanted.dataset))
        except SparsebookError as error:
            self._answer(TrainingStopped(problem=error.problem, detail=str(error)))
        else:
            self.look()

    def _own(self, folder: Path) -> Path:
        """A folder that the process names; untrusted files were parsed in there, so it is not taken at its word."""
        found = folder.resolve()
        if not found.is_relative_to(self._folder):
            raise InternalError(f"{folder} is not in the job's own folder")
        return found

    def look(self) -> None:
        """See how the training is, and pass on what is new."""
        if self._id is None:
            return
        view = self._asking.look(self._id)
        if view.progress is not None and view.progress != self._told:
            self._told = view.progress
            self._answer(TrainingAdvanced(progress=view.progress))
        if view.waiting != self._waiting:
            self._waiting = view.waiting
            self._wait(view.waiting)
        end = _end(view)
        if end is not None:
            self._id = self._told = None
            self._answer(end)


def _end(view: View) -> Answer | None:
    if view.result is not None:
        return Trained(result=view.result)
    if view.error is not None:
        return TrainingStopped(problem=view.error["problem"], detail=view.error["detail"])
    return None
