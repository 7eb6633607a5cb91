"""Trying again what may pass: a storage or a database that does not answer for a while, a machine that is short of something.

What the work itself is to blame for is not tried again: it would only fail once more, later.
"""

import errno
import re
import threading

import tenacity
from obstore.exceptions import BaseError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

ATTEMPTS = 6
# Between attempts: about half a second, one, two, four, eight.
FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0

_PASSING = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENETUNREACH,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)

# obstore says so of what it has no class for: of the file system's faults with their number, of an object store's without.
_GENERIC = re.compile(r"Generic \w+ error: ")
_NUMBER = re.compile(r"os error (\d+)")


def may_pass(error: BaseException) -> bool:
    """Whether the same may work a little later.

    >>> may_pass(TimeoutError()), may_pass(FileNotFoundError()), may_pass(ValueError())
    (True, False, False)
    """
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    if isinstance(error, BaseError | OSError) and _GENERIC.match(str(error)):
        number = _NUMBER.search(str(error))
        return number is None or int(number[1]) in _PASSING
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    if isinstance(error, OSError):
        return error.errno in _PASSING
    return isinstance(error, NoConnection)


def attempts(closing: threading.Event) -> tenacity.Retrying:
    """Attempts with growing, uneven pauses between them, which end at once when `closing` is set.

    The last one's error is raised, and at once one that does not pass. Each attempt must look at `closing` itself.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(may_pass),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential(multiplier=FIRST_SECONDS, max=LONGEST_SECONDS)
        + tenacity.wait_random(0, FIRST_SECONDS),
        sleep=tenacity.sleep_using_event(closing),
        reraise=True,
    )
