"""What every benchmark does with its figures: a table for people, JSON with versions for machines."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.table import Table

from sparsebook_compressor.summary import versions
from sparsebook_service.bench.machine import cores, processor

FOLDER = Path("build/benchmarks")
# What docs/benchmarks.md is made of: committed, written by `make reference` from whole runs.
COMMITTED = Path("benchmarks/results")
# What has been printed since the last file was written: it goes into that file, so that docs/benchmarks.md can be made of it.
_shown: list[dict[str, Any]] = []


def show(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    picture: str | None = None,
    *,
    page: bool = True,
) -> None:
    """Print one table, remember it for the JSON, and keep it as an SVG picture where it has a name.

    What is too long for docs/benchmarks.md (`page` off) is in the JSON's results alone.
    """
    if page:
        table_of = {"title": title, "columns": list(columns), "rows": [list(row) for row in rows]}
        _shown.append(table_of)
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


def write(name: str, results: Any, *, whole: bool = True, **facts: Any) -> Path:
    """Write JSON with date, versions and machine beside the results, and the tables that were shown since the last file.

    Args:
        name: of the file, and of the tables in docs/benchmarks.md.
        results: the figures.
        whole: whether the run measured all that its table is for; `make reference` leaves others alone.
        facts: what else decides the figures: seeds, counts.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    facts |= {**measured(), "whole": whole, "tables": list(_shown)}
    _shown.clear()
    path.write_text(json.dumps({**facts, "results": results}, indent=1, sort_keys=True) + "\n")
    return path


def measured() -> dict[str, Any]:
    """When, on what and by which versions something is measured now."""
    machine = {"processor": processor(), "cores": cores()}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"date": date, "versions": versions(), "machine": machine}


def with_kept(name: str, found: Mapping[str, Any], **facts: Any) -> dict[str, dict[str, Any]]:
    """Parts just measured, and those besides that earlier runs left, here or in what is committed; the later one counts.

    So a table fills up though its parts are run one at a time. What is returned goes into `write` as `parts`.

    Args:
        name: of the file.
        found: the figures of each part measured now.
        facts: what else decides them.

    Returns:
        For every part `found`, `facts`, and when and on what it was measured.
    """
    now = {"facts": facts, **measured()}
    kept: dict[str, dict[str, Any]] = {}
    for path in (folder / f"{name}.json" for folder in (COMMITTED, FOLDER)):
        before = json.loads(path.read_text()) if path.is_file() else {}
        for part, each in before.get("parts", {}).items():
            if part not in kept or each["date"] > kept[part]["date"]:
                kept[part] = each
    return kept | {part: {"found": each, **now} for part, each in found.items()}


def day(part: Mapping[str, Any]) -> str:
    """The day on which a part was measured, as in 2026-11-29."""
    return str(part["date"]).partition("T")[0]
