"""Real models compressed by others and by us: bytes against the fidelity of outputs, and latency.

    .venv/bin/python -m benchmarks.peers [--quick] [--model NAME|FILE.onnx ...] [--budget 0.02 0.05 0.1] [--samples 64 32 32]

Each peer is in an environment of its own and gets the same files and the same calibration samples; fidelity is measured on held-out samples
that nobody else saw, in one way for all. `--quick` takes ONNX Runtime's quantisers, zstd -19 and COO over our pruned floats, and ours; the full run
NNCodec, NNCF with OpenVINO, ZipNN and DeepSparse besides. What was measured of a model is kept in build/benchmarks/peers and not measured again
unless settings or the product's sources change, or `--again` is given. Asked for are 0.8 times the bytes of the best peer at its own fidelity, 0.5 the aim.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.kept_runs import sources
from benchmarks.peer_curves import Against, Point, against, overall, worst
from benchmarks.peer_models import SEED, SUBJECTS, Subject, subject
from benchmarks.peer_others import engine, nncodec, quantised, zipnn, zstd
from benchmarks.peer_ours import artifacts, plain, sparse
from benchmarks.peer_plot import draw, points
from benchmarks.peer_rows import ORIGINAL, OURS, PEER, Made, Row, run_all
from benchmarks.results import FOLDER, show, write

MUST, AIM = 0.8, 0.5
BUDGETS, QUICK_BUDGETS = (0.02, 0.05, 0.1), (0.05,)
COLUMNS = (
    "model",
    "whose",
    "setting",
    "bytes",
    "ratio",
    "relative RMS",
    "ms",
    "times as fast",
    "ours / its bytes",
)


def main() -> None:
    """Measure, print the tables, write JSON and plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the light peers, one budget")
    parser.add_argument("--model", action="append", help=f"of {', '.join(SUBJECTS)}, or a file")
    parser.add_argument("--budget", type=float, nargs="+", help="drops of fidelity for `small`")
    parser.add_argument(
        "--samples",
        type=int,
        nargs=3,
        default=(64, 32, 32),
        metavar=("CALIBRATION", "CHOSEN", "HELD"),
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of timing for a model")
    parser.add_argument("--again", action="store_true", help="measure what is kept too")
    arguments = parser.parse_args()
    budgets = arguments.budget or list(QUICK_BUDGETS if arguments.quick else BUDGETS)
    settings = {
        "quick": arguments.quick,
        "budgets": budgets,
        "samples": list(arguments.samples),
        "seconds": arguments.seconds,
        "seed": SEED,
        "sources": sources(),
    }
    rows: list[Row] = []
    versions: dict[str, str] = {}
    for name in arguments.model or SUBJECTS:
        found, known = kept(name, settings, again=arguments.again)
        rows += found
        versions.update(known)
        for row in found:
            print(*cells(row, found), sep=" | ", file=sys.stderr)
    report(rows, {**settings, "peers": versions}, "peers-quick" if arguments.quick else "peers")


def kept(name: str, settings: dict[str, Any], *, again: bool) -> tuple[list[Row], dict[str, str]]:
    """A model's rows and the peers' versions, measured now unless they are there."""
    file = FOLDER / "peers" / f"{Path(name).stem}{'-quick' if settings['quick'] else ''}.json"
    if file.exists() and not again:
        had = json.loads(file.read_text())
        if had["settings"] == settings and had["name"] == name:
            return [Row(**row) for row in had["rows"]], had["versions"]
    rows, versions = measure(subject(name, tuple(settings["samples"])), settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    contents = {
        "name": name,
        "settings": settings,
        "versions": versions,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    file.write_text(json.dumps(contents, indent=1) + "\n")
    return rows, versions


def measure(model: Subject, settings: dict[str, Any]) -> tuple[list[Row], dict[str, str]]:
    """Everything about one model."""
    with tempfile.TemporaryDirectory(prefix="sparsebook-peers-") as scratch:
        folder = Path(scratch)
        size = model.model.stat().st_size
        whole = Row(model.name, model.family, "original", model.inputs, ORIGINAL, bytes=size)
        original = Made(whole, model.model)
        ours = list(artifacts(model, settings["budgets"], folder))
        floats = [plain(made) for made in ours[::2] if made.row.failure is None]
        theirs, others = _light(model, original, floats, folder)
        if not settings["quick"]:
            found, failed = _attempt(model, "NNCodec", lambda: nncodec(model, folder))
            theirs, others = theirs + found, others + failed
            found, failed = _attempt(model, "ZipNN", lambda: zipnn([original, *floats], folder))
            theirs, others = theirs + found, others + failed
        files = [original, *(made for made in (*ours, *theirs) if made.row.failure is None)]
        others += [made.row for made in (*ours, *theirs) if made.row.failure is not None]
        rows, expected = run_all(files, model.held, settings["seconds"])
        versions: dict[str, str] = {}
        if not settings["quick"]:
            best = next(made for made in reversed(ours) if made.row.failure is None)
            for name in ("nncf", "deepsparse"):
                named = {made.row.setting: made.file for made in floats}
                asked = (model, best.file, named, expected, settings["seconds"], folder)
                try:
                    versions[name], found_rows = engine(name, *asked)
                    others += found_rows
                except RuntimeError as error:
                    others.append(_failed(model, name, error))
    return rows + others, versions


def _light(
    model: Subject, original: Made, floats: list[Made], folder: Path
) -> tuple[list[Made], list[Row]]:
    """ONNX Runtime's quantisers, with and without zstd, and what zstd and COO make of our floats."""
    made, failed = _attempt(model, "ONNX Runtime", lambda: quantised(model, folder))
    able = [each for each in made if each.row.failure is None]
    packed, more = _attempt(model, "zstd -19", lambda: zstd([original, *able, *floats], folder))
    return [*made, *packed, *map(sparse, floats)], failed + more


def _attempt(model: Subject, who: str, make: Any) -> tuple[list[Made], list[Row]]:
    try:
        return list(make()), []
    except RuntimeError as error:
        return [], [_failed(model, who, error)]


def _failed(model: Subject, who: str, error: Exception) -> Row:
    return Row(model.name, model.family, who, "", PEER, failure=str(error))


def judged(row: Row, rows: Sequence[Row]) -> Against | None:
    """A peer's row against our curve on the same model; None for what is no peer's, or did not run."""
    if row.kind != PEER or not row.bytes or not row.error:
        return None
    ours = points([each for each in rows if each.model == row.model and each.kind == OURS])
    return against(ours, Point(row.bytes, row.error)) if ours else None


def cells(row: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    """For the table."""
    if row.failure is not None:
        return (row.model, row.who, row.setting, f"failed: {row.failure}", *[""] * 5)
    whole = next((each.bytes for each in rows if each.model == row.model), None)
    found = judged(row, rows)
    compared = ""
    if found is not None:
        mark = "<= " if found.where == "bound" else ""
        compared = "closer than ours" if found.ratio is None else f"{mark}{found.ratio:.2f}"
    return (
        row.model,
        row.who,
        row.setting,
        "" if row.bytes is None else f"{row.bytes:,}",
        "" if row.bytes is None or whole is None else f"{whole / row.bytes:.2f}x",
        "" if row.error is None else f"{row.error:.4f}",
        "" if row.milliseconds is None else f"{row.milliseconds:.3g}",
        "" if row.times is None else f"{row.times:.2f}x",
        compared,
    )


def verdicts(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Against the best of all peers and against each, the geometric mean over families of models.

    A peer's several settings on a model are as one: the one that needs most of our bytes over its own counts. The last two
    columns count settings, of all models: bounds, and those that are closer than all of ours and so are in no mean.
    """
    found: dict[str, dict[str, list[Against]]] = {}
    groups: dict[tuple[str, str, str], list[Against]] = {}
    for row in rows:
        judgement = judged(row, rows)
        if judgement is not None:
            for who in ("the best peer", row.who):
                groups.setdefault((who, row.family, row.model), []).append(judgement)
    for (who, family, _), several in groups.items():
        found.setdefault(who, {}).setdefault(family, []).append(worst(several))
    lines = []
    for who, families in sorted(found.items(), key=lambda each: each[0] != "the best peer"):
        mean, count = overall(families)
        every = [each for key, judged in groups.items() if key[0] == who for each in judged]
        bounds = sum(each.where == "bound" for each in every)
        outside = sum(each.where == "outside" for each in every)
        shown = "" if mean is None else f"{mean:.3f}"
        lines.append(
            (who, str(count), shown, f"{MUST}", f"{AIM}", str(bounds or ""), str(outside or ""))
        )
    return lines


def report(rows: list[Row], facts: dict[str, Any], name: str) -> None:
    """Tables, JSON and plot."""
    show("Bytes against fidelity, and latency", COLUMNS, [cells(row, rows) for row in rows])
    columns = (
        "ours against",
        "models",
        "bytes",
        "asked",
        "aim",
        "<=",
        "closer than ours, left out",
    )
    summary = verdicts(rows)
    show("Bytes at the same fidelity, geometric means", columns, summary)
    results = [dataclasses.asdict(row) for row in rows]
    print("written:", write(name, results, summary=summary, **facts), draw(name, rows))


if __name__ == "__main__":
    main()
