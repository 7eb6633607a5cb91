"""Tables of docs/benchmarks.md, from the JSON that the scripts of benchmarks/ wrote.

benchmarks/results/ has what was last seen, as the scripts left it in build/benchmarks/. A new figure comes onto the page by a run, a copy and
`make reference`.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from docs.site.reference import table

RESULTS = Path(__file__).parents[2] / "benchmarks/results"


def tables(path: Path) -> str:
    """What a script printed, and on what."""
    found = json.loads(path.read_text())
    parts = []
    for each in found["tables"]:
        head = "| " + " | ".join(each["columns"]) + " |"
        rows = ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in each["rows"]]
        parts.append(f"{each['title']}:\n\n{table(head, rows)}")
    return "\n".join([*parts, f"[{path.name}](../benchmarks/results/{path.name}): {_on(found)}.\n"])


def _plain(cell: str) -> str:
    """A cell as Markdown takes it."""
    return cell.replace("|", "\\|").replace("<", "&lt;").strip()


def _on(found: dict[str, Any]) -> str:
    """The machine, the versions and the seed that figures belong to."""
    machine, versions = found["machine"], found["versions"]
    names = {"python": "Python", "numpy": "NumPy", "onnx": "ONNX", "onnxruntime": "ONNX Runtime"}
    parts = [f"{machine['cores']} cores of {machine['processor']}", versions["machine"]]
    parts += [f"{shown} {versions[name]}" for name, shown in names.items() if name in versions]
    parts += [f"Sparsebook {versions['sparsebook-compressor']}"]
    return ", ".join(parts + ([f"seed {found['seed']}"] if "seed" in found else []))


TABLES: dict[str, Callable[[], str]] = {
    path.stem: partial(tables, path) for path in sorted(RESULTS.glob("*.json"))
}
