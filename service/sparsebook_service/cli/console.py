"""Where the command line writes: results to standard output, everything else to standard error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

# Tables keep their columns when they go to a file or a pipe.
PIPE_COLUMNS = 140

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

    def show(self, stage: str | None, at: str | None, fraction: float) -> None:
        """Move the bar; `at` says what is worked on in the stage."""
        self._progress.update(self._task, completed=fraction, stage=stage or "queued", at=at or "")


@contextmanager
def progress_bar(wanted: bool) -> Iterator[Bar | None]:
    """A bar where it is wanted and a terminal shows it; None elsewhere."""
    if wanted and err.is_terminal:
        with Bar() as bar:
            yield bar
    else:
        yield None
