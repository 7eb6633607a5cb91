"""How values and tables look."""

from rich.table import Table

_UNITS = ("B", "KB", "MB", "GB", "TB")


def size(count: float) -> str:
    """Bytes in decimal units, three figures.

    >>> size(999), size(3_195_614), size(138_000_000)
    ('999 B', '3.20 MB', '138 MB')
    """
    value = float(count)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    digits = 0 if unit == "B" or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {unit}"


def percent(share: float) -> str:
    """A share in percent, one decimal."""
    return f"{100 * share:.1f}%"


def shape(lengths: tuple[int, ...]) -> str:
    """As a product of lengths."""
    return "×".join(str(length) for length in lengths) or "scalar"


def make_table(title: str, *columns: str, numbers_from: int) -> Table:
    """An empty table; the columns from `numbers_from` on hold numbers."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for position, column in enumerate(columns):
        table.add_column(
            column,
            justify="left" if position < numbers_from else "right",
            overflow="fold",
            no_wrap=position >= numbers_from,
        )
    return table
