"""How values and tables look."""

import itertools
import math
from collections.abc import Sequence

import rich.table
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.text import Text

from sparsebook_compressor.words import made_of, percent, shape, size

__all__ = ["Table", "made_of", "percent", "shape", "size", "strip"]

_ENDLESS = 10_000
# Names that are longer go on in the next line.
_NAME_COLUMNS = 20
_BLOCKS = " ▁▂▃▄▅▆▇█"


def strip(cells: Sequence[int], columns: int = 24) -> str:
    """Where the non-zeros of a weight are: thousandths of a stretch as blocks, the fullest stretch full height.

    >>> strip([0, 1, 500, 1000], 4)
    ' ▁▄█'
    """
    if not cells:
        return ""
    columns = min(columns, len(cells))
    edges = [len(cells) * column // columns for column in range(columns + 1)]
    means = [sum(cells[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    most = max(means) or 1.0
    return "".join(_BLOCKS[math.ceil((len(_BLOCKS) - 1) * mean / most)] for mean in means)


class Table:
    """A table that leaves out its least important columns where the terminal is too narrow for all, and names them."""

    def __init__(
        self, title: str, *columns: str, numbers_from: int, least: Sequence[str] = ()
    ) -> None:
        """Empty.

        Args:
            title: above it.
            columns: their headers.
            numbers_from: from this one on they hold numbers.
            least: columns that may be left out, the least important first.
        """
        self._title = title
        self._columns = columns
        self._numbers_from = numbers_from
        self._least = least
        self._rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        """A row, with a cell for every column."""
        assert len(cells) == len(self._columns)
        self._rows.append(cells)

    def show(self, console: Console) -> None:
        """Print it with as many columns as there is room for."""
        left_out: list[str] = []
        for column in self._least:
            if self._width(console, left_out) <= console.width:
                break
            left_out.append(column)
        console.print()
        console.print(self._made(left_out, console.width))
        if left_out:
            console.print(f"no room for: {', '.join(left_out)} (--json has all)", style="dim")

    def _width(self, console: Console, left_out: Sequence[str]) -> int:
        """Of the table as it wants to be."""
        options = console.options.update(width=_ENDLESS)
        return console.measure(self._made(left_out, console.width), options=options).maximum

    def _made(self, left_out: Sequence[str], room: int) -> rich.table.Table:
        longest = max(_NAME_COLUMNS, room // 4)
        table = rich.table.Table(
            title=self._title,
            title_justify="left",
            header_style="bold",
            box=SIMPLE_HEAD,
            collapse_padding=True,
            show_edge=False,
        )
        shown = [column not in left_out for column in self._columns]
        for position, column in enumerate(self._columns):
            if shown[position]:
                number = position >= self._numbers_from
                table.add_column(
                    column,
                    justify="right" if number else "left",
                    overflow="fold",
                    no_wrap=number,
                    max_width=None if number else longest,
                )
        for row in self._rows:
            table.add_row(*(Text(cell) for cell, kept in zip(row, shown, strict=True) if kept))
        return table
