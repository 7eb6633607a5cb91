"""`sparsebook verify`: whether a bundle is whole, and whose it is."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsebook_compressor.errors import BadValue
from sparsebook_service.cli import console
from sparsebook_service.cli.options import AsJson

if TYPE_CHECKING:
    from sparsebook_service.verifying import Verdict

FAULTY = 1


def verify_command(
    bundle: Annotated[
        Path, typer.Argument(help="The folder, or the .zip of it.", metavar="BUNDLE")
    ],
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="PUB",
            help="The service's public key (PEM): the bundle must be signed with it. Without, any signature is accepted, and none.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the hashes of a bundle's files, the checksums of its payloads and its signature.

    Exit status: 0 all is right, 1 something is not, 2 it is no bundle.

    Examples:
    * `sparsebook verify model-sparsebook`
    * `sparsebook verify bundle.zip --key sparsebook.pub`
    """
    # Parts of a second that no other command needs.
    from sparsebook_service import signing, verifying  # noqa: PLC0415

    if not bundle.exists():
        raise BadValue(f"the bundle {bundle} does not exist")
    found = verifying.verify(bundle, None if key is None else signing.public_key(key))
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=1) + "\n")
    elif found.right:
        console.out.print(f"{bundle}: {_words(found)}", markup=False, soft_wrap=True)
    for fault in found.faults:
        console.error(f"{bundle}: {fault}")
    if not found.right:
        raise typer.Exit(FAULTY)


def _words(found: "Verdict") -> str:
    if found.signed_by is None:
        signed = "not signed"
    elif found.trusted:
        signed = f"signed with the key given, {found.signed_by}"
    else:
        signed = f"signed with {found.signed_by}; give --key to know that it is the service's"
    return f"{found.files} files and {found.payloads} payloads are right; {signed}"
