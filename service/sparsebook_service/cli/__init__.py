"""The `sparsebook` command."""

from sparsebook_service.cli.command import main

__all__ = ["main"]
