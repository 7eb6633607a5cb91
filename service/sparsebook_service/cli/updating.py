"""`sparsebook apply`: a new artifact out of an old one and an update."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

import sparsebook_compressor as compressor
from sparsebook_compressor.errors import BadValue
from sparsebook_service.cli import console, form, work
from sparsebook_service.cli.options import AsJson


def apply_command(
    base: Annotated[
        Path,
        typer.Argument(help="The artifact that is there, or its bundle.", metavar="BASE"),
    ],
    update: Annotated[
        Path,
        typer.Argument(help="What `compress --base` wrote beside the new one.", metavar="UPDATE"),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The .onnx file to write.", metavar="FILE")
    ],
    as_json: AsJson = False,
) -> None:
    """Make a new artifact of the one that is there and an update; its hash is checked.

    Example: `sparsebook apply old/model.onnx update.sbku -o model.onnx`
    """
    artifact = work.artifact_in(base)
    work.check_input(artifact, "the base")
    work.check_input(update, "the update")
    if out.is_dir():
        raise BadValue(f"{out} is a folder; name the file to write, such as {out / 'model.onnx'}")
    facts = compressor.apply_update(artifact, update, out)
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(facts), indent=1, sort_keys=True) + "\n")
    else:
        console.out.print(
            f"{out}: {form.size(facts.bytes)}, SHA-256 {facts.sha256}", markup=False, soft_wrap=True
        )
