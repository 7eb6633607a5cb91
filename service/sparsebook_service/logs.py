"""One stream of structured log lines, ours and our libraries'."""

import logging
import math
import sys
import threading
import time
from typing import Literal

import structlog
from structlog.typing import Processor

# The same warning of the queue is shown once in so many seconds.
REPEAT_SECONDS = 30.0


def configure(form: Literal["auto", "console", "json"], level: str) -> None:
    """Send everything that is logged to standard error.

    Args:
        form: lines for people (console), JSON for machines, or by whether standard error is a terminal (auto).
        level: the least severe level that is shown.
    """
    terminal = sys.stderr.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[Processor]
    if form == "json" or (form == "auto" and not terminal):
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        renderers = [structlog.dev.ConsoleRenderer(colors=terminal)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # DBOS brings a handler of its own where it finds none; uvicorn says in many lines what `serve` says in one.
    for name in ("dbos", "uvicorn", "uvicorn.error"):
        library = logging.getLogger(name)
        library.handlers = [logging.NullHandler()]
        library.propagate = True
        library.setLevel(logging.WARNING)
    # A queue that finds the disk full says so ten times a second.
    logging.getLogger("dbos").addFilter(_Seldom())
    threading.excepthook = _log_thread_death


class _Seldom(logging.Filter):
    """Lets the same warning pass once in a while."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno > logging.WARNING:
            return True
        now = time.monotonic()
        said = record.getMessage()
        if now - self._passed.get(said, -math.inf) < REPEAT_SECONDS:
            return False
        self._passed = {
            text: when for text, when in self._passed.items() if now - when < REPEAT_SECONDS
        }
        self._passed[said] = now
        return True


def _log_thread_death(death: threading.ExceptHookArgs) -> None:
    if death.exc_value is not None:
        name = None if death.thread is None else death.thread.name
        structlog.get_logger(__name__).error("a thread died", thread=name, exc_info=death.exc_value)
