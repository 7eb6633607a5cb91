"""Lines that libraries write go the way of ours, and not ten times a second."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from sparsebook_service import logs


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root, queue = logging.getLogger(), logging.getLogger("dbos")
    before = (root.handlers, root.level, queue.handlers, queue.filters, queue.propagate)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    logs.configure("json", "info")
    yield stream
    root.handlers, level, queue.handlers, queue.filters, queue.propagate = before
    root.setLevel(level)


def lines(written: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_queue_that_repeats_itself_is_heard_once(written: io.StringIO) -> None:
    queue = logging.getLogger("dbos")
    for _ in range(5):
        queue.warning("the disk is full")
        queue.error("something else")
    queue.warning("another thing")
    events = [line["event"] for line in lines(written)]
    assert events.count("the disk is full") == 1
    assert events.count("something else") == 5
    assert events.count("another thing") == 1


def test_a_thread_that_dies_is_logged(written: io.StringIO) -> None:
    def die() -> None:
        raise RuntimeError("of this")

    thread = threading.Thread(target=die, name="mortal")
    thread.start()
    thread.join()
    (line,) = lines(written)
    assert (line["event"], line["thread"]) == ("a thread died", "mortal")
    assert "of this" in line["exception"]
