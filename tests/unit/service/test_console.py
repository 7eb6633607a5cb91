"""What the command line shows to whoever waits where there is no terminal."""

import threading

import pytest

from sparsebook_service.cli import console
from sparsebook_service.cli.console import Lines


class Log:
    """Lines under a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.written: list[str] = []
        self.lines = Lines(self.written.append, lambda: self.now)

    def at(self, seconds: float) -> "Log":
        self.now = 1000.0 + seconds
        return self

    def show(self, stage: str | None, at: str | None = None, *, waiting: str | None = None) -> None:
        self.lines.show(stage, at, 0.25, waiting)

    def tail(self) -> str:
        return self.written[-1] if self.written else ""


def test_a_line_for_every_stage() -> None:
    log = Log()
    log.show(None)
    log.at(1).show("prune", "fc1.weight")
    log.at(1.5).show("prune", "fc2.weight")
    log.at(62).show("retrain", "epoch 1/8  loss 0.31")
    assert log.written == [
        "0:00:00  25% queued",
        "0:00:01  25% prune   fc1.weight",
        "0:01:02  25% retrain epoch 1/8  loss 0.31",
    ]


def test_a_long_stage_is_told_of_every_half_minute() -> None:
    log = Log()
    log.show("retrain")
    log.at(29).show("retrain", "epoch 1/8")
    log.lines.tick()
    assert len(log.written) == 1
    log.at(30).show("retrain", "epoch 2/8")
    assert log.tail().endswith("epoch 2/8")
    # Nobody says anything any more: the last that was heard comes again.
    log.at(59).lines.tick()
    assert len(log.written) == 2
    log.at(60).lines.tick()
    assert log.written[2:] == ["0:01:00  25% retrain epoch 2/8"]


def test_stages_that_take_turns_are_no_flood() -> None:
    log = Log()
    for number in range(300):
        for stage in ("prune", "share", "encode"):
            log.at(number / 100).show(stage, f"w{number}")
    assert [line.split()[2] for line in log.written] == ["prune", "share", "encode"]
    log.at(10).lines.tick()
    assert len(log.written) == 3
    log.show("prune", "w300")  # long enough after the last line
    assert log.tail().endswith("w300")


def test_waiting_begins_and_ends_with_a_line() -> None:
    log = Log()
    log.show("retrain")
    log.at(1).show("retrain", waiting="waiting for a fine-tuning worker: none is running")
    assert log.tail().endswith("retrain waiting for a fine-tuning worker: none is running")
    log.at(2).show("retrain", waiting="waiting for a fine-tuning worker: none is running")
    log.at(3).show("retrain", "epoch 1/8")
    assert len(log.written) == 3
    assert log.tail().endswith("epoch 1/8")


def test_nothing_is_written_before_the_first_step() -> None:
    log = Log()
    log.at(100).lines.tick()
    assert log.written == []


def test_lines_come_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the listener is not called any more."""
    monkeypatch.setattr(console, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(console, "TICK_SECONDS", 0.01)
    twice = threading.Event()
    written: list[str] = []

    def write(line: str) -> None:
        written.append(line)
        if len(written) == 2:
            twice.set()

    with Lines(write, lambda: 0.0) as lines:
        lines.show("share", "fc6.weight", 0.5)
        assert twice.wait(60)
    assert set(written) == {"0:00:00  50% share   fc6.weight"}
    assert not lines._ticker.is_alive()


def test_there_is_something_to_show_unless_it_is_not_wanted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.progress(True) as shown:
        assert shown is not None
        shown.show("plan", None, 0.1)
    with console.progress(False) as shown:
        assert shown is None
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "0:00:00  10% plan\n")
