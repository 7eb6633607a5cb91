"""Tables of docs/benchmarks.md, from the JSON that the scripts of benchmarks/ wrote.

A script leaves its JSON in build/benchmarks/. `make reference` takes it over into benchmarks/results/, where it measured all that
its table is for and is newer than what is there, and writes the page again. A table that has no JSON yet stays as it stands on the page, where
it was put down by hand; its name is one of NAMES all the same.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from docs.site.reference import table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks/results"
WRITTEN = ROOT / "build/benchmarks"
IMAGES = ROOT / "docs/images"
# Files whose tables are on the page, or are to be there once a script has written them.
NAMES = (
    "calibrated",
    "codec",
    "distil",
    "first-minutes",
    "hosts",
    "kernels-batch",
    "kernels-conv",
    "kernels-fc",
    "kernels-whole",
    "labelled",
    "labelled-control",
    "page",
    "paper",
    "paper-jobs",
    "paper-robustness",
    "peer-layers",
    "peers",
    "scale",
    "service",
    "service-postgres",
    "size",
    "speed",
    "structured",
    "updates",
    "vgg",
    "vgg-ratio",
)


def take_over(written: Path = WRITTEN, results: Path = RESULTS, images: Path = IMAGES) -> list[str]:
    """Copy what scripts wrote since, with the picture of the same name where the page has one.

    JSON without a date is of an old script, and one that is not `whole` of a run of a part: both stay where they are.

    Returns:
        The names that were copied.
    """
    taken = []
    for name in NAMES:
        new, old = written / f"{name}.json", results / f"{name}.json"
        found = json.loads(new.read_text()) if new.is_file() else {}
        before = json.loads(old.read_text()) if old.is_file() else {}
        if found.get("whole") and found["date"] > before.get("date", ""):
            old.write_text(new.read_text())
            taken.append(name)
            drawn, shown = new.with_suffix(".svg"), images / f"{name}.svg"
            if drawn.is_file() and shown.is_file():
                shown.write_text(drawn.read_text())
    return taken


def tables(path: Path) -> str:
    """What a script printed, when, and on what."""
    found = json.loads(path.read_text())
    parts = []
    for each in found["tables"]:
        head = "| " + " | ".join(each["columns"]) + " |"
        rows = ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in each["rows"]]
        parts.append(f"{each['title']}:\n\n{table(head, rows)}")
    # Parts that were measured one at a time may be of several days, machines and versions.
    days: dict[str, set[str]] = {}
    for part in found.get("parts", {"": found}).values():
        day = part["date"].partition("T")[0] if "date" in part else ""
        days.setdefault(_on(part), set()).add(day)
    measured = "; ".join(", ".join([on, *sorted(filter(None, days[on]))]) for on in days)
    seed = f", seed {found['seed']}" if "seed" in found else ""
    link = f"[{path.name}](../benchmarks/results/{path.name})"
    return "\n".join([*parts, f"{link}: {measured}{seed}.\n"])


def _plain(cell: str) -> str:
    """A cell as Markdown takes it."""
    return cell.replace("|", "\\|").replace("<", "&lt;").strip()


def _on(found: Mapping[str, Any]) -> str:
    """The machine and the versions that figures belong to."""
    machine, versions = found["machine"], found["versions"]
    names = {"python": "Python", "numpy": "NumPy", "onnx": "ONNX", "onnxruntime": "ONNX Runtime"}
    parts = [f"{machine['cores']} cores of {machine['processor']}", versions["machine"]]
    parts += [f"{shown} {versions[name]}" for name, shown in names.items() if name in versions]
    parts += [f"Sparsebook {versions['sparsebook-compressor']}"]
    return ", ".join(parts)


def there() -> dict[str, Callable[[], str]]:
    """What makes the tables of every file that is there, by its name."""
    files = ((name, RESULTS / f"{name}.json") for name in NAMES)
    return {name: partial(tables, path) for name, path in files if path.is_file()}
