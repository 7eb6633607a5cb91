"""The command, run in this process: what it prints, what it leaves, how it ends."""

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sparsebook_service.cli import main


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


class Cli:
    """Runs the command in this process, in a folder of its own."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.folder = folder

    def __call__(self, *arguments: object) -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["sparsebook", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = self._capsys.readouterr()
        status = ended.value.code
        assert status is None or isinstance(status, int)
        return Ended(status or 0, captured.out, captured.err)

    def left(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


def said(*arguments: object) -> str:
    """What a command that has to succeed prints; a process of its own would import for more than a second."""
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as out,
    ):
        patch.setattr(sys, "argv", ["sparsebook", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code, (arguments, ended.value.code)
    return out.getvalue()
