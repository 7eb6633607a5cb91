"""What the command line will have one day: refused by name, so that nobody believes it was honoured."""

from typing import NoReturn

from sparsebook_compressor.errors import UnknownOption

TRUST = "the service for pipelines"

COMMANDS = {
    "report": "the web page",
    "doctor": TRUST,
}


class NotBuiltYet(UnknownOption):
    """A command or an option of a later version."""


def refuse(what: str, comes_with: str) -> NoReturn:
    """Refuse it.

    Raises:
        NotBuiltYet: always.
    """
    raise NotBuiltYet(f"{what!r} is not built yet (it comes with {comes_with})")
