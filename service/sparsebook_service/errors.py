"""What can go wrong in the service itself, and how every error becomes an answer.

    SparsebookError (compressor)
    ├── InputError
    │   ├── DigestMismatch        the bytes are not those that were announced
    │   ├── IdempotencyConflict   the key belongs to another request
    │   ├── MalformedRequest      a body that is not what it says it is
    │   ├── SlowBody              a body of which nothing comes any more
    │   ├── UnsupportedMediaType  a body of a kind that is not accepted
    │   ├── NotAcceptable         no representation that the caller accepts
    │   ├── RangeNotSatisfiable   a range outside the file
    │   ├── Unauthorized          no API key, or none that is active
    │   ├── Forbidden             the key is not good for this
    │   ├── UnknownJob            no such job
    │   ├── UnknownUpload         no such upload, or not whole
    │   └── NotFound              nothing at this address
    ├── UploadsFull               uploads that wait for their job have all the room they may have
    ├── NoResult                  the job has not succeeded
    ├── Cancelled                 the job was cancelled
    ├── PushFailed                the artifact could not be put into the caller's bucket
    ├── Refused
    │   ├── RateLimited           the key asks too often
    │   └── QuotaExceeded         the key has all that it may have
    └── NotReady                  the service cannot take work now

Statuses and titles stand in `problems`; only this module turns exceptions into answers.
"""

from collections.abc import Mapping, Sequence

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from sparsebook_compressor.errors import InputError, SparsebookError
from sparsebook_service import problems, secure
from sparsebook_service.addresses import methods
from sparsebook_service.schemas import Problem

# A stop and a start take a little longer; whoever is told asks a few times.
NOT_READY_SECONDS = 2
CHALLENGE = 'Bearer realm="sparsebook"'

log = structlog.get_logger(__name__)


class DigestMismatch(InputError):
    """The body does not have the announced Content-Digest."""

    problem = "digest-mismatch"


class IdempotencyConflict(InputError):
    """The Idempotency-Key was used for another request."""

    problem = "idempotency-conflict"


class MalformedRequest(InputError):
    """The body cannot be read as what it says it is."""

    problem = "malformed-request"


class SlowBody(InputError):
    """Nothing has come of the body for too long."""

    problem = "body-timeout"


class UnsupportedMediaType(InputError):
    """The Content-Type is not one that carries a model."""

    problem = "unsupported-media-type"


class NotAcceptable(InputError):
    """The Accept header leaves nothing to answer with."""

    problem = "not-acceptable"


class RangeNotSatisfiable(InputError):
    """The range starts at or after the end; `size` is the file's length in bytes."""

    problem = "range-not-satisfiable"

    def __init__(self, detail: str, size: int) -> None:
        """Keep the size for the Content-Range header."""
        super().__init__(detail)
        self.size = size


class Unauthorized(InputError):
    """No API key, or none that is active; `sent` says whether something came that was meant to be one."""

    problem = "unauthorized"

    def __init__(self, detail: str, *, sent: bool = False) -> None:
        """Keep for the WWW-Authenticate header whether a key was sent."""
        super().__init__(detail)
        self.sent = sent


class Forbidden(InputError):
    """The caller may not do this; `scope` is what the key lacks."""

    problem = "forbidden"

    def __init__(self, detail: str, *, scope: str | None = None) -> None:
        """Keep the scope for the WWW-Authenticate header."""
        super().__init__(detail)
        self.scope = scope


class UnknownJob(InputError):
    """No job has this id."""

    problem = "unknown-job"

    def __init__(self, job_id: str) -> None:
        """Name the job that was asked for."""
        super().__init__(f"no job {job_id[:64]!r}: it never existed here or was deleted")


class UnknownUpload(InputError):
    """No upload has this id, or it is not whole yet."""

    problem = "unknown-upload"


class NotFound(InputError):
    """Nothing at this address."""

    problem = "not-found"


class UploadsFull(SparsebookError):
    """Uploads that wait for their job have all the room that they may have, or all that is one key's."""

    problem = "uploads-full"


class NoResult(SparsebookError):
    """The job is not done, or failed."""

    problem = "no-result"


class Cancelled(SparsebookError):
    """The job was cancelled."""

    problem = "cancelled"


class PushFailed(SparsebookError):
    """The caller's bucket did not take the artifact."""

    problem = "push-failed"


class NotReady(SparsebookError):
    """The service cannot take work now."""

    problem = "not-ready"


class Refused(SparsebookError):
    """Not now; `retry_after` is in seconds, None where no wait alone helps."""

    def __init__(self, detail: str, *, retry_after: int | None) -> None:
        """Keep the seconds for the Retry-After header."""
        super().__init__(detail)
        self.retry_after = retry_after


class RateLimited(Refused):
    """The key asks too often."""

    problem = "rate-limited"


class QuotaExceeded(Refused):
    """The key has all the jobs or bytes that it may have."""

    problem = "quota-exceeded"


class ProblemResponse(JSONResponse):
    """A problem as an HTTP answer."""

    media_type = "application/problem+json"

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        """Take the status from the problem."""
        # Here too, because an answer to a fault passes by every middleware.
        super().__init__(
            problem.model_dump(exclude_none=True),
            status_code=problem.status,
            headers={**secure.headers(), **(headers or {})},
        )


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Make every error of the app an application/problem+json answer.

    Args:
        app: to install in.
        routes: all of the app's, for `addresses`.
    """
    app.state.routes = routes
    app.add_exception_handler(SparsebookError, _sparsebook_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unexpected)


async def _sparsebook_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, SparsebookError)
    problem = problems.of_error(error, request.url.path)
    if problem.status >= 500:
        log.error("request failed", path=request.url.path, problem=error.problem, detail=str(error))
    return ProblemResponse(problem, _headers(error))


def _headers(error: SparsebookError) -> dict[str, str]:
    """The headers that tell programs what the detail tells people."""
    match error:
        case RangeNotSatisfiable(size=size):
            return {"Content-Range": f"bytes */{size}"}
        case Unauthorized(sent=sent):
            return {"WWW-Authenticate": CHALLENGE + (', error="invalid_token"' if sent else "")}
        case Forbidden(scope=str(scope)):
            lacks = f', error="insufficient_scope", scope="{scope}"'
            return {"WWW-Authenticate": CHALLENGE + lacks}
        case SlowBody():  # or the rest would be taken for the next request
            return {"Connection": "close"}
        case Refused(retry_after=int(seconds)):
            return {"Retry-After": str(seconds)}
        case NotReady():
            return {"Retry-After": str(NOT_READY_SECONDS)}
        case _:
            return {}


async def _validation_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = " ".join(str(part) for part in first["loc"])
    detail = f"{where}: {first['msg']}"
    return ProblemResponse(problems.describe("bad-value", detail, request.url.path))


async def _http_exception(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 404:
        problem = problems.describe(
            "not-found", f"nothing at {path[:200]}; /docs lists what there is", path
        )
    elif error.status_code == 405:
        allowed = methods(request.scope)
        allowed |= {"HEAD"} if "GET" in allowed else set()  # see `middleware`
        named = ", ".join(sorted(allowed))
        detail = f"{request.method} is not allowed at {path[:200]}, which takes {named}"
        problem = problems.describe("method-not-allowed", detail, path)
        return ProblemResponse(problem, {"Allow": named})
    elif error.status_code < 500:
        problem = problems.describe("malformed-request", str(error.detail), path)
    else:
        problem = problems.describe("internal", str(error.detail), path)
    return ProblemResponse(problem, error.headers)


async def _unexpected(request: Request, error: Exception) -> ProblemResponse:
    # Starlette raises the error again after this answer; uvicorn logs it with its traceback.
    detail = f"an unexpected {type(error).__name__}; the service's log has the details"
    return ProblemResponse(problems.describe("internal", detail, request.url.path))
