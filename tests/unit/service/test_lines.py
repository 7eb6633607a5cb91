"""A child that is talked with in lines, and interrupts that come while it is started."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sparsebook_service.cli.interrupts import Interrupts
from sparsebook_service.lines import LineProcess

ENDLESS = [sys.executable, "-c", "import time; time.sleep(600)"]


def line_process(folder: Path, command: list[str]) -> LineProcess:
    return LineProcess(command, folder=folder, stderr=folder / "stderr")


def test_lines_and_status(tmp_path: Path) -> None:
    with line_process(tmp_path, [sys.executable, "-c", "print(input()); exit(3)"]) as process:
        process.say(b"hear")
        assert [line for line in process.lines(60) if line] == [b"hear\n"]
        assert process.exit_status() == 3


def test_a_child_has_its_limits(tmp_path: Path) -> None:
    """And nobody else."""
    told = "import resource; input(); print(*resource.getrlimit(resource.RLIMIT_FSIZE))"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limited = LineProcess(
        [sys.executable, "-c", told],
        folder=tmp_path,
        stderr=tmp_path / "stderr",
        limits={resource.RLIMIT_FSIZE: 1 << 20},
    )
    with limited as process:
        process.say(b"")
        (line,) = (line for line in process.lines(60) if line)
    assert line.split() == [b"%d" % (1 << 20), b"%d" % before[1]]
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_while_it_starts_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: signal.Signals
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(real(*arguments, **options))
        os.kill(os.getpid(), kind)
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    # A shell's background ignores interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupts = Interrupts()
        with (
            pytest.raises(KeyboardInterrupt),
            interrupts.heard(),
            line_process(tmp_path, ENDLESS),
        ):
            pytest.fail("the interrupt was lost")
    finally:
        signal.signal(signal.SIGINT, before)
    assert started[0].returncode == -signal.SIGKILL
    assert interrupts.status == 128 + kind


def test_what_does_not_start_leaves_the_handlers(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(FileNotFoundError), line_process(tmp_path, [str(tmp_path / "nothing")]):
        pytest.fail("it cannot start")
    assert signal.getsignal(signal.SIGINT) is before


def test_signals_that_are_ignored_stay_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts().heard():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_repetition_is_the_same_signal() -> None:
    """A shell and the system may both tell of a hangup: cleaning up is not cut short by the second."""
    interrupts = Interrupts()
    with interrupts.heard():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
    assert interrupts.status == 128 + signal.SIGHUP
