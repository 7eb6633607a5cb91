"""Pictures as SVG text, drawn here so that a page needs no script and no library for them.

Every function returns markup that is safe to put into a page: all text goes through `escape`. Colours are classes of the style sheet, so
that light and dark are its business. Numbers have one decimal: a pixel is enough.
"""

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from sparsebook_compressor.looks import Histogram, Parts

_WIDTH, _HEIGHT = 320, 120
# Room above a picture for what its heights are, and at the left of a plot for labels.
_HEAD, _MARGIN = 20, -10
_LEVELS = 8


def histogram(found: Histogram, *, pruned: bool) -> Markup:
    """The values of a weight before pruning, or of the survivors behind it (Figure 4, top)."""
    counts = found.after if pruned else found.before
    what = "survivors of pruning" if pruned else "values before pruning"
    return _framed(
        f"Histogram of the {what}, {_short(-found.limit)} to {_short(found.limit)}",
        _bars(counts, "c2" if pruned else "c1"),
        _ends(-found.limit, found.limit, "value"),
    )


def codebooks(limit: float, start: Sequence[float], now: Sequence[float]) -> Markup:
    """Centroids before tuning (above, where they are known) and as they are (Figure 4, bottom)."""
    rows = [(now, "c1", "")] if not start else [(start, "c3", "before"), (now, "c1", "tuned")]
    height = 92 // len(rows)
    parts = []
    for row, (values, colour, label) in enumerate(rows):
        top = 4 + row * (height + 4)
        ticks = "".join(f"M{_at(value, limit)} {top + 14}v{height - 14}" for value in values)
        parts.append(f'<path class="tick {colour}" d="{ticks}"/>')
        parts.append(f'<text class="label" x="0" y="{top + 9}">{label}</text>')
    what = "Centroids before and after tuning" if start else "Centroids"
    return _framed(f"{what}, {len(now)} values", "".join(parts), _ends(-limit, limit, "value"))


def distribution(counts: Sequence[int], step: int, what: str) -> Markup:
    """How often each symbol occurs (Figure 5)."""
    last = max(0, len(counts) * step - 1)
    each = f", {step} symbols a bar" if step > 1 else ""
    axis = {"codes": "code", "gaps": "zeros before a non-zero"}.get(what, what)
    return _framed(
        f"Distribution of the {what}, 0 to {last}{each}", _bars(counts, "c1"), _ends(0, last, axis)
    )


def stack(parts: Sequence[tuple[str, int]], total: int) -> Markup:
    """One bar of parts; the n-th has the colour of class c<n>."""
    x, drawn = 0.0, []
    for number, (_, size) in enumerate(parts, 1):
        width = _WIDTH * size / max(1, total)
        if width >= 0.05:
            drawn.append(f'<rect class="c{number}" x="{x:.1f}" width="{width:.1f}" height="16"/>')
        x += width
    said = ", ".join(f"{name} {100 * size / max(1, total):.0f}%" for name, size in parts)
    return _svg(said, "".join(drawn), (0, 0, _WIDTH, 16), "stack", stretch=True)


def parts_of(found: Parts) -> tuple[tuple[str, int], ...]:
    """The paper's split of a weight's storage (Figure 11), and what the file format adds."""
    return (
        ("codes", found.codes),
        ("gaps", found.gaps),
        ("codebook", found.codebook),
        ("tables", found.tables),
    )


def total(found: Parts) -> int:
    """Bytes of a payload."""
    return sum(size for _, size in parts_of(found))


def strip(cells: Sequence[int], name: str) -> Markup:
    """Where the non-zeros of a weight are: stretches in row-major order, darker where more of them are not zero."""
    if not cells:
        return Markup("")
    most = max(cells)
    levels: dict[int, list[str]] = {}
    for at, share in enumerate(cells):
        level = math.ceil(_LEVELS * share / most) if most else 0
        if level:
            levels.setdefault(level, []).append(f"M{at} 0h1v1h-1z")
    drawn = "".join(
        f'<path class="heat{level}" d="{"".join(paths)}"/>'
        for level, paths in sorted(levels.items())
    )
    said = f"Non-zeros of {name}: {min(cells) / 10:.1f}% to {most / 10:.1f}% of a stretch"
    return _svg(said, drawn, (0, 0, len(cells), 1), "strip", stretch=True)


def scatter(
    points: Sequence[tuple[float, float, bool, bool]], x_label: str, y_label: str
) -> Markup:
    """Points (x, y, within the budget, chosen) over an x axis of powers of two."""
    if not points:
        return Markup("")
    xs = [math.log2(max(x, 1e-9)) for x, *_ in points]
    ys = [y for _, y, *_ in points]
    place = _Plane(xs, ys)
    drawn = []
    # The chosen one last, so that no other covers it.
    for x, (_, y, met, chosen) in sorted(zip(xs, points, strict=True), key=lambda at: at[1][3]):
        kind = "chosen" if chosen else "met" if met else "missed"
        radius = 5 if chosen else 3
        said = f"<title>{2**x:.3g}×, {_short(y, 4)}</title>"
        drawn.append(f'<circle class="{kind}" {place.centre(x, y)} r="{radius}">{said}</circle>')
    axes = place.axes(f"{2 ** min(xs):.3g}×", f"{2 ** max(xs):.3g}×")
    axes += place.titles(x_label, y_label)
    return _plot(f"{y_label} against {x_label}, {len(points)} points", axes + "".join(drawn))


def lines(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    what: str,
    x_label: str,
    y_label: str,
) -> Markup:
    """Curves over a common x axis; the n-th has the colour of class c<n>."""
    points = [point for _, curve in series for point in curve]
    if not points:
        return Markup("")
    place = _Plane([x for x, _ in points], [y for _, y in points])
    drawn = []
    for number, (_, curve) in enumerate(series, 1):
        path = "".join(
            f"{'L' if at else 'M'}{place.x(x):.1f} {place.y(y):.1f}"
            for at, (x, y) in enumerate(curve)
        )
        drawn.append(f'<path class="line c{number}" d="{path}"/>')
        if len(curve) == 1:
            drawn.append(f'<circle class="c{number}" {place.centre(*curve[0])} r="2.5"/>')
    ends = place.axes(_short(min(x for x, _ in points)), _short(max(x for x, _ in points)))
    return _plot(what, ends + place.titles(x_label, y_label) + "".join(drawn))


class _Plane:
    """Where points are in a plot with room for labels."""

    left, right, top, bottom = 46, 352, 8, 140

    def __init__(self, xs: Iterable[float], ys: Iterable[float]) -> None:
        xs, ys = list(xs), list(ys)
        self._x, self._x_span = min(xs), (max(xs) - min(xs)) or 1.0
        self._y, self._y_most = min(ys), max(ys)

    def x(self, value: float) -> float:
        return self.left + (self.right - self.left) * (value - self._x) / self._x_span

    def y(self, value: float) -> float:
        """What never changes is a line in the middle."""
        span = self._y_most - self._y
        share = (value - self._y) / span if span else 0.5
        return self.bottom - (self.bottom - self.top) * share

    def centre(self, x: float, y: float) -> str:
        return f'cx="{self.x(x):.1f}" cy="{self.y(y):.1f}"'

    def axes(self, low: str, high: str) -> str:
        frame = f"M{self.left} {self.top}V{self.bottom}H{self.right}"
        least, most = _apart(self._y, self._y_most)
        labels = [
            (self.left, self.bottom + 16, "start", low),
            (self.left - 8, self.bottom, "end", least),
            (self.left - 8, self.top + 8, "end", most),
        ]
        if self._y == self._y_most:
            labels[1:] = [(self.left - 8, (self.top + self.bottom) // 2 + 4, "end", most)]
        if high != low:
            labels.append((self.right, self.bottom + 16, "end", high))
        texts = "".join(
            f'<text class="label" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
            for x, y, anchor, text in labels
        )
        return f'<path class="axis" d="{frame}"/>{texts}'

    def titles(self, x_label: str, y_label: str) -> str:
        """What the axes are: below the middle of the one, above the other."""
        return _middle((self.left + self.right) / 2, self.bottom + 16, x_label) + (
            f'<text class="label" x="{_MARGIN}" y="-6">{escape(y_label)}</text>'
        )


def _bars(counts: Sequence[int], colour: str) -> str:
    if not counts:
        return ""
    most, width = max(counts) or 1, _WIDTH / len(counts)
    path = "".join(
        f"M{at * width:.1f} 100v-{max(96 * count / most, 0.8):.1f}h{width * 0.86:.1f}V100z"
        for at, count in enumerate(counts)
        if count
    )
    share = 100 * most / max(1, sum(counts))
    most_said = f'<text class="label" x="0" y="-4">tallest bar: {share:.2g}% of them</text>'
    return f'<path class="{colour}" d="{path}"/>{most_said}'


def _middle(x: float, y: float, text: str) -> str:
    return f'<text class="label" x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{escape(text)}</text>'


def _at(value: float, limit: float) -> str:
    share = min(1.0, max(-1.0, value / limit)) if limit else 0.0
    return f"{(share + 1) * (_WIDTH - 2) / 2 + 1:.1f}"


def _ends(low: float, high: float, what: str) -> str:
    return _middle(_WIDTH / 2, 115, what) + (
        f'<path class="axis" d="M0 100.5H{_WIDTH}"/>'
        f'<text class="label" x="0" y="115">{_short(low)}</text>'
        f'<text class="label" x="{_WIDTH}" y="115" text-anchor="end">{_short(high)}</text>'
    )


def _framed(said: str, *drawn: str) -> Markup:
    return _svg(said, "".join(drawn), (0, -_HEAD, _WIDTH, _HEIGHT + _HEAD), "figure")


def _plot(said: str, drawn: str) -> Markup:
    return _svg(said, drawn, (_MARGIN, -_HEAD, 360 - _MARGIN, 160 + _HEAD), "plot")


def _svg(
    said: str, drawn: str, box: tuple[int, int, int, int], kind: str, *, stretch: bool = False
) -> Markup:
    ratio = ' preserveAspectRatio="none"' if stretch else ""
    return Markup(  # noqa: S704 - what is drawn is numbers and classes; the only text is escaped
        f'<svg class="{kind}" viewBox="{" ".join(map(str, box))}"{ratio} role="img" aria-label="{escape(said)}">{drawn}</svg>'
    )


def _apart(low: float, high: float) -> tuple[str, str]:
    """Two figures with as many digits as tell them apart, six at most."""
    for digits in range(3, 6):
        if low == high or _short(low, digits) != _short(high, digits):
            return _short(low, digits), _short(high, digits)
    return _short(low, 6), _short(high, 6)


def _short(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}g}".replace("-", "−")
