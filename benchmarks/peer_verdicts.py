"""What was measured of ours and of peers, as figures that compare them."""

from collections.abc import Sequence

from benchmarks.kernel_bars import geometric_mean
from benchmarks.peer_curves import Against, Point, against, delta_rate, overall, worst
from benchmarks.peer_plot import points
from benchmarks.peer_rows import OURS, PEER, Row

MUST, AIM = 0.8, 0.5
BEST = "the best peer"


def judged(row: Row, rows: Sequence[Row]) -> Against | None:
    """A peer's row against our curve on the same model; None for what is no peer's, or did not run."""
    if row.kind != PEER or not row.bytes or not row.error:
        return None
    ours = points([each for each in rows if each.model == row.model and each.kind == OURS])
    return against(ours, Point(row.bytes, row.error)) if ours else None


def verdicts(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Against the best of all peers and against each, the geometric mean over families of models.

    A peer's several settings on a model are as one: the one that needs most of our bytes over its own counts. The last two
    columns count settings, of all models: bounds, and those that are closer than all of ours and so are in no mean. The third column is
    over all errors that both curves reach, with the best peer at each of them.
    """
    along = delta_rates(rows)
    found: dict[str, dict[str, list[Against]]] = {}
    groups: dict[tuple[str, str, str], list[Against]] = {}
    for row in rows:
        judgement = judged(row, rows)
        if judgement is not None:
            for who in (BEST, row.who):
                groups.setdefault((who, row.family, row.model), []).append(judgement)
    for (who, family, _), several in groups.items():
        found.setdefault(who, {}).setdefault(family, []).append(worst(several))
    lines: list[tuple[str, ...]] = []
    for who, families in sorted(found.items(), key=lambda each: each[0] != BEST):
        mean, count = overall(families)
        every = [each for key, judged in groups.items() if key[0] == who for each in judged]
        bounds = sum(each.where == "bound" for each in every)
        outside = sum(each.where == "outside" for each in every)
        shown = "" if mean is None else f"{mean:.3f}"
        whole = along.get(who)
        curve = "" if whole is None else f"{whole:.3f}"
        asked = (f"{MUST}", f"{AIM}")
        lines.append((who, str(count), curve, shown, *asked, str(bounds or ""), str(outside or "")))
    return lines


def delta_rates(rows: Sequence[Row]) -> dict[str, float]:
    """Against the best of all peers and against each, the geometric mean of `delta_rate` over families of models."""
    found: dict[str, dict[str, list[float]]] = {}
    for model, family in dict.fromkeys((row.model, row.family) for row in rows):
        for who in (BEST, *dict.fromkeys(row.who for row in rows if row.kind == PEER)):
            rate = _along(rows, model, who)
            if rate is not None:
                found.setdefault(who, {}).setdefault(family, []).append(rate)
    return {
        who: geometric_mean([geometric_mean(members) for members in families.values()])
        for who, families in found.items()
    }


def _along(rows: Sequence[Row], model: str, who: str) -> float | None:
    """Our bytes over a peer's, or over the best one's at every error, along the curves of one model."""
    own = [row for row in rows if row.model == model]
    ours = points([row for row in own if row.kind == OURS])
    theirs = [row for row in own if row.kind == PEER and who in (BEST, row.who)]
    return delta_rate(ours, points(theirs))


def by_model(rows: Sequence[Row]) -> tuple[list[str], list[tuple[str, ...]]]:
    """The peers, and for each model what `worst` makes of each peer's settings on it; last, the best peer along the curves."""
    groups: dict[str, dict[str, list[Against]]] = {}
    for row in rows:
        judgement = judged(row, rows)
        if judgement is not None:
            groups.setdefault(row.model, {}).setdefault(row.who, []).append(judgement)
    peers = list(dict.fromkeys(who for found in groups.values() for who in found))
    lines = []
    for model, found in groups.items():
        rate = _along(rows, model, BEST)
        each = (told(worst(found[who])) if who in found else "" for who in peers)
        lines.append((model, *each, "" if rate is None else f"{rate:.2f}"))
    return peers, lines


def told(found: Against) -> str:
    mark = "<= " if found.where == "bound" else ""
    return "closer than ours" if found.ratio is None else f"{mark}{found.ratio:.2f}"
