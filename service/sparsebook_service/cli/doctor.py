"""`sparsebook doctor`: whether all is there that Sparsebook needs, and how to mend what is not."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsebook_service.cli import console
from sparsebook_service.cli.options import AsJson

if TYPE_CHECKING:
    from sparsebook_service.checkup import Check

BROKEN = 1
_COLOURS = {"ok": "green", "missing": "yellow", "broken": "red"}


def doctor_command(
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="That of the service. Default sparsebook-data."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try the installation out: operator library, a small model, trainer, walls, data folder; and say how to mend what fails.

    What is *missing* Sparsebook can do without, what is *broken* it cannot. Settings come from SPARSEBOOK_… variables, as for `serve`.
    Exit status: 0 nothing is broken, 1 something is.

    Example: `sparsebook doctor --data-dir /var/lib/sparsebook`
    """
    # Everything is imported: that is part of what is tried.
    from sparsebook_service import checkup, settings  # noqa: PLC0415

    found = []
    for check in checkup.check_all(settings.load(data_dir=data_dir)):
        found.append(check)
        if not as_json:
            _show(check)
    if as_json:
        checks = [dataclasses.asdict(check) for check in found]
        sys.stdout.write(json.dumps({"checks": checks}, indent=1) + "\n")
    if any(check.state == "broken" for check in found):
        raise typer.Exit(BROKEN)


def _show(check: "Check") -> None:
    colour = _COLOURS[check.state]
    console.out.print(f"[{colour}]{check.state:8}[/]", end="")
    console.out.print(f"{check.what}: {check.found}", markup=False, soft_wrap=True)
    if check.mend:
        console.out.print(f"        {check.mend}", markup=False, soft_wrap=True)
