"""What is asked of the kernels, beside what was seen."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """How many times as fast, or as small, as ONNX Runtime: at least, and hoped for."""

    must: float
    aim: float


NEVER_SLOWER = Bar(1 / 1.05, 1.0)
DENSE = {
    (0.09, 1): Bar(18, 30),
    (0.04, 1): Bar(30, 50),
    (0.23, 1): Bar(6, 9),
    (0.25, 1): Bar(6, 9),
    (0.10, 1): Bar(7, 12),
    (0.50, 1): Bar(2.8, 5),
    (0.09, 8): Bar(5.5, 8),
    (0.04, 8): Bar(9.5, 15),
    (0.09, 64): Bar(6, 8),
    (0.04, 64): Bar(11, 16),
}
INT8 = {0.09: Bar(4, 8), 0.04: Bar(4, 8)}
CONV_EACH, CONV_30_38, CONV_20 = Bar(1.3, 1.5), Bar(1.5, 2), Bar(1.7, 3)
WHOLE = {"vgg16": Bar(1.5, 2), "alexnet": Bar(1.4, 2)}
LOADING, MEMORY = {"vgg16": Bar(1, 5)}, {"vgg16": Bar(5, 10)}


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        what: was measured.
        how: in which conditions.
        theirs: ONNX Runtime's figure.
        ours: the artifact's.
        seen: how many times theirs is ours.
        warm: the same where nothing was evicted but by the others' turns; None where that is what was seen.
        bar: None where nothing is asked.
    """

    what: str
    how: str
    theirs: str
    ours: str
    seen: float
    bar: Bar | None = NEVER_SLOWER
    warm: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the bar is met."""
        if self.bar is None:
            return ""
        return (
            "aim"
            if self.seen >= self.bar.aim
            else "met"
            if self.seen >= self.bar.must
            else "MISSED"
        )

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        asked = ("", "") if self.bar is None else (f"{self.bar.must:.3g}x", f"{self.bar.aim:.3g}x")
        warm = "" if self.warm is None else f"{self.warm:.2f}x"
        first = (self.what, self.how, self.theirs, self.ours, f"{self.seen:.2f}x", warm)
        return (*first, *asked, self.verdict)


def lines(rows: Sequence[Row]) -> Iterator[Line]:
    """All rows of a run as lines, and what is asked of several together."""
    for row in rows:
        yield from _LINES[row["section"]](row)
    yield from _conv_means([row for row in rows if row["section"] == "conv"])


def summary(table: Sequence[Line]) -> str:
    """How many bars are met."""
    verdicts = [line.verdict for line in table if line.bar is not None]
    met = sum(verdict != "MISSED" for verdict in verdicts)
    return f"of {len(verdicts)} bars {met} are met, {verdicts.count('aim')} of them at what was aimed for"


def ratio(timings: dict[str, Any], rivals: Sequence[str]) -> tuple[float, str]:
    """How many times as long the best of the rivals takes, and which one it is.

    >>> ratio({"a": {"median": 6.0}, "b": {"median": 4.0}, "sparse": {"median": 2.0}}, ("a", "b", "c"))
    (2.0, 'b')
    """
    best = min((name for name in rivals if name in timings), key=lambda n: timings[n]["median"])
    return timings[best]["median"] / timings["sparse"]["median"], best


def conv_ratio(row: Row) -> float:
    """The lower one of by itself, against the better of ONNX Runtime's layouts, and as a link of a chain."""
    return min(ratio(timings, _LAYOUTS)[0] for timings in _conv_timings(row).values())


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive numbers.

    >>> geometric_mean([1.0, 4.0])
    2.0
    """
    return math.exp(sum(map(math.log, values)) / len(values))


_LAYOUTS = ("nchw", "nchwc")


def _dense(row: Row) -> Iterator[Line]:
    timings: dict[str, Any] = row["evicted" if "evicted" in row else "warm"]
    how = f"{row['shape']} {row['density']:.0%}, batch {row['batch']}"
    bars: dict[str, Bar | None] = {"fp32": DENSE.get((row["density"], row["batch"]), NEVER_SLOWER)}
    if "int8" in timings:
        bars["int8"] = INT8.get(row["density"])
    for kind, bar in bars.items():
        rivals = ("int8",) if kind == "int8" else ("gemm", "matmul")
        seen, best = ratio(timings, rivals)
        line = _timed(row["layer"], f"{how}, {kind}", timings, seen, best, bar)
        yield replace(line, warm=ratio(row["warm"], rivals)[0] if "evicted" in row else None)


def _conv(row: Row) -> Iterator[Line]:
    bar = CONV_EACH if 0.20 <= row["density"] <= 0.38 else NEVER_SLOWER
    for way, timings in _conv_timings(row).items():
        seen, best = ratio(timings, _LAYOUTS)
        how = f"{row['shape']} {row['density']:.0%}{way}"
        lower = seen == conv_ratio(row)
        yield _timed(row["layer"], how, timings, seen, best, bar if lower else None)


def _conv_timings(row: Row) -> dict[str, Any]:
    return {"": row["warm"]} | ({", chained": row["chained"]} if "chained" in row else {})


def _conv_means(rows: Sequence[Row]) -> Iterator[Line]:
    groups = (("30-38%", 0.30, 0.38, CONV_30_38), ("20%", 0.20, 0.20, CONV_20))
    for name, low, high, bar in groups:
        found = [conv_ratio(row) for row in rows if low <= row["density"] <= high]
        if found:
            mean = geometric_mean(found)
            yield Line("convolutions", f"{name}, geometric mean of {len(found)}", "", "", mean, bar)


def _whole(row: Row) -> Iterator[Line]:
    seen, best = ratio(row["warm"], ("dense",))
    bar = WHOLE.get(row["layer"], NEVER_SLOWER) if row["batch"] == 1 else NEVER_SLOWER
    yield _timed(row["layer"], f"whole, batch {row['batch']}", row["warm"], seen, best, bar)


def _decode(row: Row) -> Iterator[Line]:
    seen, best = ratio(row["warm"], ("dense",))
    yield _timed(
        row["layer"], "recurrent or Gather, batch 1", row["warm"], seen, best, NEVER_SLOWER
    )


def _loading(row: Row) -> Iterator[Line]:
    dense, sparse, name = row["dense"], row["sparse"], row["layer"]
    facts: list[tuple[str, str, Bar | None]] = [
        ("load_seconds", "session creation", LOADING.get(name)),
        ("load_cpu_seconds", "session creation, CPU", None),
    ]
    for fact, what, bar in facts:
        theirs, ours = dense[fact], sparse[fact]
        yield Line(name, what, f"{theirs:.2f} s", f"{ours:.2f} s", theirs / ours, bar)
    theirs, ours = (side["resident_bytes"] / 1e6 for side in (dense, sparse))
    seen = theirs / max(ours, 1e-3)
    yield Line(name, "resident", f"{theirs:.0f} MB", f"{ours:.0f} MB", seen, MEMORY.get(name))


def _timed(
    what: str, how: str, timings: dict[str, Any], seen: float, best: str, bar: Bar | None
) -> Line:
    sparse = timings["sparse"]
    quartiles = f"{_ms(sparse['low'])}-{_ms(sparse['high'])}"
    theirs = f"{_ms(timings[best]['median'])} ms {best}"
    return Line(what, how, theirs, f"{_ms(sparse['median'])} ({quartiles})", seen, bar)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}" if seconds >= 1e-4 else f"{seconds * 1e3:.3f}"


_LINES: dict[str, Callable[[Row], Iterator[Line]]] = {
    "fc": _dense,
    "conv": _conv,
    "whole": _whole,
    "loading": _loading,
    "decode": _decode,
}
