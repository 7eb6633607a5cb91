"""`sparsebook report`: the report of an artifact, written again."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import sparsebook_compressor as compressor
from sparsebook_compressor.errors import BadValue
from sparsebook_service.cli import console
from sparsebook_service.cli.options import AsJson


def report_command(
    artifact: Annotated[
        Path, typer.Argument(help="A compressed .onnx file, or its bundle.", metavar="FILE")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The HTML file to write.", metavar="FILE")
    ] = Path("report.html"),
    as_json: AsJson = False,
) -> None:
    """Write the report of an artifact again: one HTML file that needs nothing else.

    It is whole where the bundle's report.json lies beside the artifact; else it says what the artifact itself tells.

    Example: `sparsebook report model-sparsebook -o report.html`
    """
    if not artifact.exists():
        raise BadValue(f"the artifact {artifact} does not exist")
    found = compressor.recover(artifact)
    if as_json:
        sys.stdout.write(found.to_json())
        return
    # Templates, which no other command needs.
    from sparsebook_compressor import pack  # noqa: PLC0415
    from sparsebook_compressor.reporting.page import document  # noqa: PLC0415

    with pack.usable(out):
        out.write_text(document(found), encoding="utf-8")
    console.out.print(f"{out}: the report of {artifact}", markup=False, soft_wrap=True)
