"""A job's training, between the job's process that asks for it and the workers that run it."""

from collections.abc import Callable

from sparsebook_compressor.errors import SparsebookError
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
        asking: Asking,
        answer: Callable[[Answer], None],
        wait: Callable[[str | None], object],
    ) -> None:
        """Args: asking: for trainings; answer: says something to the job's process; wait: notes what the job waits for."""
        self._asking = asking
        self._answer = answer
        self._wait = wait
        self._id: str | None = None
        self._told: TrainingProgress | None = None
        self._waiting: str | None = None

    def begin(self, wanted: Train) -> None:
        """Ask for a training on behalf of the process."""
        try:
            self._id = self._asking.ask(wanted.order, wanted.dataset)
        except SparsebookError as error:
            self._answer(TrainingStopped(problem=error.problem, detail=str(error)))
        else:
            self.look()

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
