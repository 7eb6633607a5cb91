"""What every benchmark does with its figures: a table for people, JSON with versions for machines."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.table import Table

from sparsebook_compressor.summary import versions
from sparsebook_service.bench.machine import cores, processor

FOLDER = Path("build/benchmarks")
# What has been printed since the last file was written: it goes into that file, so that docs/benchmarks.md can be made of it.
_shown: list[dict[str, Any]] = []


def show(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], picture: str | None = None
) -> None:
    """Print one table, remember it for the JSON, and keep it as an SVG picture where it has a name."""
    _shown.append({"title": title, "columns": list(columns), "rows": [list(row) for row in rows]})
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(width=max(140, Console().width), record=picture is not None)
    console.print(table)
    if picture is not None:
        # The stock template names fonts on another host; a picture of ours asks nobody for anything.
        template = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        template = re.sub(r"<!--.*?-->\s*", "", template)
        FOLDER.mkdir(parents=True, exist_ok=True)
        console.save_svg(str(FOLDER / picture), title="Sparsebook", code_format=template)


def write(name: str, results: Any, **facts: Any) -> Path:
    """Write JSON with versions and machine beside the results, and the tables that were shown since the last file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    machine = {"processor": processor(), "cores": cores()}
    facts |= {"versions": versions(), "machine": machine, "tables": list(_shown)}
    _shown.clear()
    path.write_text(json.dumps({**facts, "results": results}, indent=1, sort_keys=True) + "\n")
    return path
