"""What can go wrong between a client and the service, and what of it may pass by itself."""

import contextlib
from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from sparsebook_compressor.errors import BadValue, SparsebookError
from sparsebook_service.jobs.schemas import Job
from sparsebook_service.schemas import Problem

# The service, or a proxy before it, is starting, stopping or short of something just now, or waited for a body in vain.
PASSING = frozenset({408, 429, 502, 503, 504})


_NOBODYS_FAULT = {"body-timeout", "cancelled", "diverged", "rate-limited", "quota-exceeded"}


class ServiceProblem(SparsebookError):
    """The service answered with a problem, or a job ended with one.

    Attributes:
        found: the problem.
        job: the job that ended with it; it may have a result all the same.
    """

    def __init__(self, found: Problem, job: Job | None = None) -> None:
        super().__init__(found.detail)
        self.found = found
        self.job = job

    @property
    def slug(self) -> str:
        """The last part of the problem's type."""
        return self.found.type.rsplit("/", 1)[-1]

    @property
    def callers_fault(self) -> bool:
        """Whether the caller can mend it."""
        return 400 <= self.found.status < 500 and self.slug not in _NOBODYS_FAULT


class Unreachable(SparsebookError):
    """No answer that makes sense came from the address."""


class Refused(Exception):
    """An answer that is an error.

    Attributes:
        status: of HTTP.
        error: what it means to the caller.
        pause: seconds that the service asks to wait; None where it does not say.
    """

    def __init__(self, answer: httpx.Response) -> None:
        """Args: answer: which has been read."""
        super().__init__(answer.status_code)
        self.status = answer.status_code
        self.error = _meaning(answer)
        self.pause = _seconds(answer.headers.get("retry-after"))

    @property
    def slug(self) -> str | None:
        """Of the problem; None where the answer is none."""
        return self.error.slug if isinstance(self.error, ServiceProblem) else None


def _meaning(answer: httpx.Response) -> SparsebookError:
    try:
        return ServiceProblem(Problem.model_validate_json(answer.content))
    except ValidationError:
        return Unreachable(f"{answer.url} answered with status {answer.status_code}")


def _seconds(retry_after: str | None) -> float | None:
    # A date, the other form of the header, is left to the client's own pauses: clocks differ.
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


def may_pass(error: BaseException) -> bool:
    """Whether the same request may be answered later: no connection, or a service that is not ready."""
    if isinstance(error, Refused):
        # A quota without an hour at which there is room again passes when somebody makes room.
        return error.status in PASSING and (error.status != 429 or error.pause is not None)
    lasting = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
    return isinstance(error, httpx.TransportError) and not isinstance(error, lasting)


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what the block could not get over into what callers know.

    Raises:
        ServiceProblem: the service refuses.
        Unreachable: it is gone, or something else is at `url`.
        BadValue: `url` is not one of HTTP.
    """
    try:
        yield
    except Refused as refused:
        raise refused.error from None
    except httpx.UnsupportedProtocol as error:
        raise BadValue(
            f"the server's address {url!r} must start with http:// or https://"
        ) from error
    except httpx.TransportError as error:
        raise Unreachable(
            f"no connection to {url}: {error}; is `sparsebook serve` running there?"
        ) from error
