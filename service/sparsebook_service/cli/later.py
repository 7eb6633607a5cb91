"""What the command line will have one day: refused by name, so that nobody believes it was honoured."""

from typing import NoReturn

from sparsebook_compressor.errors import UnknownOption

SMALL = "the preset that searches by itself"

PRESETS = {"small": SMALL}


class NotBuiltYet(UnknownOption):
    """A command, an option or a preset of a later version."""


def refuse(what: str, comes_with: str) -> NoReturn:
    """Refuse it.

    Raises:
        NotBuiltYet: always.
    """
    raise NotBuiltYet(f"{what!r} is not built yet (it comes with {comes_with})")
