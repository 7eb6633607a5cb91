"""How figures are written for people: in tables of the command line and in the report's page."""


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


def duration(milliseconds: float) -> str:
    """A time in the unit that suits it, three figures.

    >>> duration(0.0298), duration(16.92), duration(1980)
    ('29.8 µs', '16.9 ms', '1.98 s')
    """
    value, unit = milliseconds, "ms"
    if value < 0.9995:
        value, unit = 1000 * value, "µs"
    elif value >= 999.5:
        value, unit = value / 1000, "s"
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {unit}"


def span(seconds: float) -> str:
    """How long something took, for people: two units at most.

    >>> span(9.96), span(391.1), span(4_330)
    ('10.0 s', '6 min 31 s', '1 h 12 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left} s"
    return f"{minutes // 60} h {minutes % 60} min"


def percent(share: float) -> str:
    """A share in percent, one decimal."""
    return f"{100 * share:.1f}%"


def shape(lengths: tuple[int, ...]) -> str:
    """As a product of lengths."""
    return "×".join(str(length) for length in lengths) or "scalar"


def made_of(*steps: int) -> str:
    """Bytes before and after, and between if there is something between."""
    return " → ".join(size(step) for step in steps)


_UNITS = ("B", "KB", "MB", "GB", "TB")
