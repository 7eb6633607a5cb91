"""Where the command line writes: results to standard output, everything else to standard error."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

# Tables keep their columns when they go to a file or a pipe.
PIPE_COLUMNS = 140
# Without a terminal: a line at least so often, and no sooner for a stage that comes back. Stages may take turns weight by
# weight, several times a second; a search comes back to each at every point.
LINE_SECONDS = 30.0
RETURN_SECONDS = 5.0
TICK_SECONDS = 1.0
# Stands where a job has no stage yet.
QUEUED = "queued"

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def widen() -> None:
    """Give tables room where no terminal limits it."""
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out.width = PIPE_COLUMNS


def error(message: str, advice: str | None = None) -> None:
    """One red line, and one that says what to do."""
    err.print(f"[red bold]error: {escape(message)}[/]", soft_wrap=True)
    if advice:
        err.print(escape(advice), soft_wrap=True)


def say(message: str) -> None:
    """A line for the person who waits; kept out of standard output."""
    err.print(escape(message), soft_wrap=True)


class Shown(Protocol):
    """What shows how far it is to whoever waits."""

    def show(
        self, stage: str | None, at: str | None, fraction: float, waiting: str | None = None
    ) -> None:
        """Show a step.

        Args:
            stage: the stage that runs; None before the first.
            at: what is worked on in it.
            fraction: of the whole, 0 to 1.
            waiting: what is waited for, where nothing is worked on.
        """


class Bar:
    """A progress bar that shows the stage and what it is at."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[stage]:<7}"),
            BarColumn(bar_width=12),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            # Whatever is too long for the rest of the line goes on below.
            TextColumn("{task.fields[at]}", markup=False, table_column=Column(overflow="fold")),
            console=err,
            transient=True,
        )
        self._task = self._progress.add_task("", total=1.0, stage="", at="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(
        self, stage: str | None, at: str | None, fraction: float, waiting: str | None = None
    ) -> None:
        """Move the bar."""
        self._progress.update(
            self._task, completed=fraction, stage=stage or QUEUED, at=waiting or at or ""
        )


class Lines:
    """The same for a log: a line where the stage changes or what is waited for, and now and then in between."""

    def __init__(self, write: Callable[[str], None], now: Callable[[], float]) -> None:
        """Nothing is written before the first step.

        Args:
            write: takes a line.
            now: a clock, in seconds.
        """
        self._write = write
        self._now = now
        self._began = now()
        self._step: tuple[str, str | None, float, str | None] | None = None
        self._known: set[str] = set()
        self._said: tuple[str, str | None] | None = None
        self._said_at = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Self:
        self._ticker.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._ended.set()
        self._ticker.join()

    def show(
        self, stage: str | None, at: str | None, fraction: float, waiting: str | None = None
    ) -> None:
        """Note a step, and write it where it is due."""
        with self._lock:
            self._step = (stage or QUEUED, at, fraction, waiting)
            self._write_if_due()

    def tick(self) -> None:
        """Write the last step again where nothing was written for long."""
        with self._lock:
            self._write_if_due()

    def _go_on(self) -> None:
        """A stage may work on one thing for minutes, and then nobody calls `show`."""
        while not self._ended.wait(TICK_SECONDS):
            self.tick()

    def _write_if_due(self) -> None:
        if self._step is None:
            return
        stage, at, fraction, waiting = self._step
        if not self._is_due(stage, waiting):
            return
        elapsed = timedelta(seconds=int(self._now() - self._began))
        self._write(f"{elapsed} {fraction:4.0%} {stage:<7} {waiting or at or ''}".rstrip())
        self._known.add(stage)
        self._said, self._said_at = (stage, waiting), self._now()

    def _is_due(self, stage: str, waiting: str | None) -> bool:
        quiet = self._now() - self._said_at
        if self._said == (stage, waiting):
            return quiet >= LINE_SECONDS
        new = self._said is None or stage not in self._known or waiting != self._said[1]
        return new or quiet >= RETURN_SECONDS


@contextmanager
def progress(wanted: bool) -> Iterator[Shown | None]:
    """A bar on a terminal, lines elsewhere; None where neither is wanted."""
    if not wanted:
        yield None
    elif err.is_terminal:
        with Bar() as bar:
            yield bar
    else:
        with Lines(say, time.monotonic) as lines:
            yield lines
