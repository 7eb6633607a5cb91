"""How long and how often a client tries again: one policy for both clients, carried out by tenacity."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception
from tenacity.wait import wait_exponential_jitter

from sparsebook_service.talking.faults import Refused, may_pass

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0

# Is told why a request failed, and after how many seconds it is sent again.
Notice: TypeAlias = Callable[[BaseException, float], None]

_growing = wait_exponential_jitter(
    multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS, jitter=0.2
)


@dataclass(frozen=True, slots=True)
class Patience:
    """Tries again what may pass, with pauses that grow, or that the service asks for.

    Attributes:
        seconds: all pauses together; what an upload takes before it fails does not count. With 0 nothing is tried again.
        notice: is told of every pause.
    """

    seconds: float
    notice: Notice | None = None

    def retrying(self) -> Retrying:
        """Calls a function until it returns."""
        return Retrying(**self._policy())

    def async_retrying(self) -> AsyncRetrying:
        """Likewise, a coroutine function."""
        return AsyncRetrying(**self._policy())

    def _policy(self) -> dict[str, Any]:
        return {
            "retry": retry_if_exception(may_pass),
            "wait": _pause,
            "stop": lambda state: state.idle_for + state.upcoming_sleep > self.seconds,
            "before_sleep": self._tell,
            "reraise": True,
        }

    def _tell(self, state: RetryCallState) -> None:
        error = _error(state)
        if self.notice is not None and error is not None:
            self.notice(error, state.upcoming_sleep)


def _pause(state: RetryCallState) -> float:
    error = _error(state)
    if isinstance(error, Refused) and error.pause is not None:
        return max(error.pause, FIRST_PAUSE_SECONDS)
    return _growing(state)


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()
