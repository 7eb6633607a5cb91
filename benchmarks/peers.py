"""Real models compressed by others and by us: bytes against the fidelity of outputs, and latency.

    .venv/bin/python -m benchmarks.peers [--quick] [--model NAME|FILE.onnx ...] [--aim 0.01 0.05 0.1] [--samples 64 32 32]
        [--without nncf ...] [--ours] [--kept]

Each peer is in an environment of its own and gets the same files and the same calibration samples; fidelity is measured on held-out samples
that nobody else saw, in one way for all. `--quick` takes ONNX Runtime's quantisers, zstd -19 and COO over our pruned floats, and ours; the full run
NNCodec, NNCF with OpenVINO, ZipNN and DeepSparse besides. What was measured of a model is kept in build/benchmarks/peers and not measured again
unless settings or the product's sources change, or `--again` is given; `--ours` measures ours anew beside the peers that are kept, `--kept` nothing: it shows what is there. Asked for are 0.8 times the bytes of the best peer at its own fidelity, 0.5 the aim.
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
from benchmarks.peer_models import SEED, SUBJECTS, Subject, subject
from benchmarks.peer_others import engine, nncodec, quantised, zipnn, zstd
from benchmarks.peer_ours import artifacts, plain, sparse
from benchmarks.peer_plot import draw
from benchmarks.peer_rows import ORIGINAL, OURS, PEER, Made, Row, run_all
from benchmarks.peer_verdicts import by_model, judged, told, verdicts
from benchmarks.results import FOLDER, show, write

HEAVY = ("nncodec", "zipnn", "nncf", "deepsparse")
AIMS, QUICK_AIMS = (0.003, 0.006, 0.0125, 0.025, 0.05, 0.1, 0.2), (0.05,)
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
    parser.add_argument("--quick", action="store_true", help="the light peers, one aim")
    parser.add_argument("--model", action="append", help=f"of {', '.join(SUBJECTS)}, or a file")
    parser.add_argument("--aim", type=float, nargs="+", help="errors that `small` aims at")
    parser.add_argument(
        "--samples",
        type=int,
        nargs=3,
        default=(64, 32, 32),
        metavar=("CALIBRATION", "CHOSEN", "HELD"),
    )
    parser.add_argument(
        "--without", choices=HEAVY, nargs="+", default=[], help="peers to leave out"
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of timing for a model")
    parser.add_argument("--again", action="store_true", help="measure what is kept too")
    parser.add_argument("--ours", action="store_true", help="measure ours anew, keep the peers")
    parser.add_argument("--kept", action="store_true", help="show what is kept, by any settings")
    arguments = parser.parse_args()
    aims = arguments.aim or list(QUICK_AIMS if arguments.quick else AIMS)
    settings = {
        "quick": arguments.quick,
        "aims": aims,
        "without": sorted(HEAVY if arguments.quick else arguments.without),
        "samples": list(arguments.samples),
        "seconds": arguments.seconds,
        "seed": SEED,
        "sources": sources(),
    }
    rows: list[Row] = []
    versions: dict[str, str] = {}
    by: dict[str, Any] = {}
    for name in arguments.model or SUBJECTS:
        had = read(name, quick=arguments.quick)
        if arguments.kept and had is None:
            print(f"{name}: nothing is kept", file=sys.stderr)
            continue
        if had is not None and (
            arguments.kept or (had["settings"] == settings and not arguments.again)
        ):
            found, known = [Row(**row) for row in had["rows"]], had["versions"]
            by[name] = had["settings"]
        else:
            before = had if arguments.ours else None
            by[name] = settings if before is None else with_peers_of(before, settings)
            found, known = keep(name, by[name], before)
        rows += found
        versions.update(known)
        for row in found:
            print(*cells(row, found), sep=" | ", file=sys.stderr)
    name = "peers-quick" if arguments.quick else "peers"
    whole = not arguments.quick and (arguments.kept or set(by) >= set(SUBJECTS))
    report(rows, {"settings": by, "peers": versions, "seed": SEED, "whole": whole}, name)


def place(name: str, *, quick: bool) -> Path:
    """Where a model's rows are kept."""
    return FOLDER / "peers" / f"{Path(name).stem}{'-quick' if quick else ''}.json"


def read(name: str, *, quick: bool) -> dict[str, Any] | None:
    """What is kept of a model: its settings, rows and the peers' versions."""
    file = place(name, quick=quick)
    if not file.exists():
        return None
    had: dict[str, Any] = json.loads(file.read_text())
    return had if had["name"] == name else None


def with_peers_of(before: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Settings for ours alone: on the samples, and beside the peers, that are kept."""
    same = {key: before["settings"][key] for key in ("samples", "without", "seed")}
    return {**settings, **same}


def keep(
    name: str, settings: dict[str, Any], before: dict[str, Any] | None
) -> tuple[list[Row], dict[str, str]]:
    """A model's rows and the peers' versions, measured now and kept.

    Args:
        name: of the model.
        settings: what is asked for.
        before: what is kept of the peers, where only ours is measured.
    """
    file = place(name, quick=settings["quick"])
    model = subject(name, tuple(settings["samples"]))
    if before is None:
        rows, versions = measure(model, settings)
    else:
        rows, versions = ours_alone(model, settings), before["versions"]
        kept = [Row(**row) for row in before["rows"]]
        rows += [row for row in kept if row.kind not in (OURS, ORIGINAL)]
    file.parent.mkdir(parents=True, exist_ok=True)
    contents = {
        "name": name,
        "settings": settings,
        "versions": versions,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    file.write_text(json.dumps(contents, indent=1) + "\n")
    return rows, versions


def ours_alone(model: Subject, settings: dict[str, Any]) -> list[Row]:
    """The original and our artifacts."""
    with tempfile.TemporaryDirectory(prefix="sparsebook-peers-") as scratch:
        ours = list(artifacts(model, settings["aims"], Path(scratch)))
        files = [Made(_whole(model), model.model)]
        files += [made for made in ours if made.row.failure is None]
        rows, _ = run_all(files, model.held, settings["seconds"])
        return rows + [made.row for made in ours if made.row.failure is not None]


def _whole(model: Subject) -> Row:
    size = model.model.stat().st_size
    return Row(model.name, model.family, "original", model.inputs, ORIGINAL, bytes=size)


def measure(model: Subject, settings: dict[str, Any]) -> tuple[list[Row], dict[str, str]]:
    """Everything about one model."""
    with tempfile.TemporaryDirectory(prefix="sparsebook-peers-") as scratch:
        folder = Path(scratch)
        original = Made(_whole(model), model.model)
        ours = list(artifacts(model, settings["aims"], folder))
        able = [made for made in ours if made.row.failure is None]
        # What others make of our floats: of both presets, and of `small` half-way.
        shown = (
            [able[0], able[2], able[4 + (len(able) - 4) // 4 * 2]] if len(able) > 4 else able[::2]
        )
        floats = [plain(made) for made in shown]
        theirs, others = _light(model, original, floats, folder)
        without = settings["without"]
        if "nncodec" not in without:
            found, failed = _attempt(model, "NNCodec", lambda: nncodec(model, folder))
            theirs, others = theirs + found, others + failed
        if "zipnn" not in without:
            found, failed = _attempt(model, "ZipNN", lambda: zipnn([original, *floats], folder))
            theirs, others = theirs + found, others + failed
        files = [original, *(made for made in (*ours, *theirs) if made.row.failure is None)]
        others += [made.row for made in (*ours, *theirs) if made.row.failure is not None]
        rows, expected = run_all(files, model.held, settings["seconds"])
        versions: dict[str, str] = {}
        best = next((made for made in reversed(ours) if made.row.failure is None), original)
        for name in ("nncf", "deepsparse"):
            if name in without:
                continue
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


def cells(row: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    """For the table."""
    if row.failure is not None:
        return (row.model, row.who, row.setting, f"failed: {row.failure}", *[""] * 5)
    whole = next((each.bytes for each in rows if each.model == row.model), None)
    found = judged(row, rows)
    compared = ""
    if found is not None:
        compared = told(found)
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


def report(rows: list[Row], facts: dict[str, Any], name: str) -> None:
    """Tables, JSON and plot."""
    every = [cells(row, rows) for row in rows]
    show("Bytes against fidelity, and latency", COLUMNS, every, page=False)
    peers, lines = by_model(rows)
    show(
        "Ours over a peer's bytes at its own error, the worst of its settings",
        ("model", *peers, "the best along the curves"),
        lines,
    )
    columns = (
        "ours against",
        "models",
        "bytes, along the curves",
        "bytes, the worst setting",
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
