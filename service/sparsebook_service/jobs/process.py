"""The service's side of a job's process."""

from collections.abc import Iterator
from typing import Self

from sparsebook_service.jobs.nursery import Forked
from sparsebook_service.jobs.protocol import MESSAGE, Answer, Message, Order
from sparsebook_service.lines import LineProcess


class _Forked(LineProcess):
    """A line process that is forked by the nursery."""

    def __init__(self, order: Order) -> None:
        super().__init__((), folder=order.out, stderr=order.out / "stderr.log")
        self._order = order

    def _start(self) -> Forked:
        return Forked(self._order, self._stderr)


class JobProcess:
    """A child process that carries one order out; leaving the `with` kills what is left of it."""

    def __init__(self, order: Order) -> None:
        self._process = _Forked(order)

    def __enter__(self) -> Self:
        self._process.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.__exit__(*raised)

    def messages(self, tick: float) -> Iterator[Message | None]:
        """What the process says, until it ends; None whenever it says nothing for `tick` seconds.

        Raises:
            ValidationError: a line that is no message.
        """
        for line in self._process.lines(tick):
            yield None if line is None else MESSAGE.validate_json(line)

    def answer(self, answer: Answer) -> None:
        """Answer what it has asked for."""
        self._process.say(answer.model_dump_json().encode())

    def exit_status(self) -> int:
        """Wait for its end: the exit status, or minus the signal that ended it."""
        return self._process.exit_status()

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        return self._process.last_words()
