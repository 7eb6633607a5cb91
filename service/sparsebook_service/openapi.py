"""Writes the OpenAPI document: `python -m sparsebook_service.openapi openapi.yaml`."""

import sys
from pathlib import Path
from typing import Any

import yaml

from sparsebook_service.app import create_app
from sparsebook_service.settings import Settings


class _Dumper(yaml.SafeDumper):
    """Writes everything out: aliases are hard to read in a contract."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def document() -> str:
    """The document as YAML; the same code gives the same text."""
    contract = create_app(Settings()).openapi()
    return yaml.dump(contract, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document())
