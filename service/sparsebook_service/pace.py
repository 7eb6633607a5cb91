"""Looks that cost something, taken at most so often."""

import time
from collections.abc import Callable


def paced(look: Callable[[], None], seconds: float) -> Callable[[], None]:
    """A function that calls `look` the first time, and later where the last look is `seconds` old.

    So a loop over megabytes may ask in every turn whether it is still wanted, and the database is asked now and then.
    """
    due = 0.0

    def maybe() -> None:
        nonlocal due
        if time.monotonic() >= due:
            look()
            due = time.monotonic() + seconds

    return maybe


def once(look: Callable[[], None]) -> Callable[[], None]:
    """A function that calls `look` until it has come to its end without a fault, and then no more."""
    done = False

    def maybe() -> None:
        nonlocal done
        if not done:
            look()
            done = True

    return maybe
