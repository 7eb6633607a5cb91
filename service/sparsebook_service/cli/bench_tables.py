"""A measurement as a table for people."""

from sparsebook_service.bench.result import Comparison, Latency, Seconds, Side
from sparsebook_service.cli.console import out
from sparsebook_service.cli.form import Table, size

UNKNOWN = "unknown"


def comparison(found: Comparison) -> None:
    """The original beside the artifact, and how many times better the artifact is."""
    ours, theirs = found.artifact, found.model
    table = Table(
        ours.file if ours.file == theirs.file else f"{ours.file} against {theirs.file}",
        "",
        "original",
        "artifact",
        "artifact is",
        numbers_from=1,
    )
    table.add("file", size(theirs.bytes), size(ours.bytes), smaller(theirs.bytes, ours.bytes))
    for what, before, after in (
        ("load time", theirs.load, ours.load),
        ("first inference", theirs.first, ours.first),
    ):
        table.add(what, spread(before), spread(after), faster(before.median, after.median))
    for theirs_at, ours_at in zip(theirs.latencies, ours.latencies, strict=True):
        _latency(table, theirs_at, ours_at)
    if theirs.resident_bytes is not None and ours.resident_bytes is not None:
        table.add(
            "resident memory",
            size(theirs.resident_bytes),
            size(ours.resident_bytes),
            smaller(theirs.resident_bytes, ours.resident_bytes),
        )
    _weights(table, found)
    table.show(out)
    _forms(ours)
    out.print(conditions(found), markup=False)
    for note in found.notes:
        out.print(f"note: {note}", markup=False)


def conditions(found: Comparison) -> str:
    """What the figures are of."""
    sizes = sorted(found.machine.caches.items())
    caches = ", ".join(f"L{level} {cache(count)}" for level, count in sizes)
    parts = [
        f"{found.threads} thread{'s' * (found.threads > 1)}",
        f"{found.inputs} inputs",
        *(() if found.door == "none" else (f"door: {found.door}",)),
        f"ONNX Runtime {found.versions['onnxruntime']}",
        f"{found.machine.processor}{f' ({caches})' * bool(caches)}",
        "medians, quartiles in brackets",
    ]
    return "; ".join(parts)


def _latency(table: Table, before: Latency, after: Latency) -> None:
    table.add(
        f"latency, batch {before.batch}",
        spread(before.seconds),
        spread(after.seconds),
        faster(before.seconds.median, after.seconds.median),
    )
    if before.joules is not None and after.joules is not None:
        table.add(
            f"energy, batch {before.batch}",
            _energy(before.joules),
            _energy(after.joules),
            smaller(before.joules, after.joules),
        )


def _weights(table: Table, found: Comparison) -> None:
    ours, theirs = found.artifact.weight_bytes, found.model.weight_bytes
    table.add(
        "weights",
        _cached(theirs, found.machine.caches),
        _cached(ours, found.machine.caches),
        "" if ours is None or theirs is None else smaller(theirs, ours),
    )


def _cached(count: int | None, caches: dict[int, int]) -> str:
    if count is None:
        return UNKNOWN
    fits = home(count, caches)
    return f"{size(count)}{f' ({fits})' * bool(fits)}"


def home(count: int, caches: dict[int, int]) -> str:
    """The smallest cache from the second level on that bytes fit into.

    >>> home(1000, {1: 10, 2: 2000, 3: 9000}), home(9500, {2: 2000, 3: 9000}), home(5, {})
    ('fits L2', 'beyond L3', '')
    """
    levels = sorted(level for level in caches if level >= 2)
    fitting = [level for level in levels if count <= caches[level]]
    if fitting:
        return f"fits L{fitting[0]}"
    return f"beyond L{levels[-1]}" if levels else ""


def _forms(side: Side) -> None:
    if side.weight_forms and side.weight_bytes is not None:
        parts = [
            f"{form.weights} as {form.form}{f' ({form.isa})' * bool(form.isa)}, {size(form.bytes)}"
            for form in side.weight_forms
        ]
        out.print(f"the artifact's weights in memory: {'; '.join(parts)}", markup=False)


def cache(count: int) -> str:
    """A cache's size in the binary units that processors are sold by.

    >>> cache(48 << 10), cache(2 << 20), cache(1280 << 10)
    ('48 KiB', '2 MiB', '1.25 MiB')
    """
    return f"{count / (1 << 20):.4g} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def spread(found: Seconds) -> str:
    """The median and the quartiles, in the unit that suits the median, three figures.

    >>> spread(Seconds(median=2.5, low=2.49, high=12.0, calls=3)), spread(Seconds.of([0.0000456]))
    ('2.50 s (2.49–12.0)', '45.6 µs (45.6–45.6)')
    """
    units = ((1.0, "s"), (1e3, "ms"), (1e6, "µs"))
    factor, unit = next((row for row in units if found.median * row[0] >= 1), units[-1])
    low, median, high = (
        _figures(factor * value) for value in (found.low, found.median, found.high)
    )
    return f"{median} {unit} ({low}–{high})"


def faster(before: float, after: float) -> str:
    """How many times as fast, in words.

    >>> faster(3.0, 1.0), faster(1.0, 2.5), faster(1.0, 1.0)
    ('3.0x faster', '2.5x slower', 'as fast')
    """
    return _compared(before, after, "faster", "slower", "as fast")


def smaller(before: float, after: float) -> str:
    """How many times as small, in words.

    >>> smaller(30.0, 2.0), smaller(1.0, 0.0)
    ('15x smaller', '')
    """
    return _compared(before, after, "smaller", "larger", "as large")


def _compared(before: float, after: float, better: str, worse: str, same: str) -> str:
    if not before or not after:
        return ""
    times, word = (before / after, better) if before >= after else (after / before, worse)
    text = f"{times:.2f}" if times < 1.95 else f"{times:.1f}" if times < 9.95 else f"{times:.0f}"
    return same if text == "1.00" else f"{text}x {word}"


def _figures(value: float) -> str:
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"


def _energy(joules: float) -> str:
    return f"{joules:.2f} J" if joules >= 1 else f"{joules * 1e3:.3g} mJ"
