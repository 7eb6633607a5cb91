"""Server-sent events of a job: `GET /jobs/{id}/events`."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from sqlalchemy.exc import DBAPIError

from sparsebook_service.access.caller import Caller
from sparsebook_service.access.guard import Reader
from sparsebook_service.contract import refusals
from sparsebook_service.errors import Unauthorized, UnknownJob
from sparsebook_service.heads import is_head
from sparsebook_service.jobs.history import Event
from sparsebook_service.jobs.schemas import EXAMPLE_ID
from sparsebook_service.jobs.table import JobRow
from sparsebook_service.jobs.views import to_job
from sparsebook_service.numbers import WHOLE
from sparsebook_service.services import Services, ServicesDep

# Proxies give a connection up on which nothing is heard for half a minute.
HEARTBEAT_SECONDS = 15.0
# A key that has ended is noticed after so long.
KEY_SECONDS = 5.0
# A client that lost the connection comes back after so long.
RETRY_MS = 1000
_SHOWN = {"state", "stage", "weight", "progress", "training", "waiting"}
_EXAMPLE = f"""\
retry: 1000

event: started
data: {{"at": "2026-01-05T09:30:00.310000Z"}}
id: 1

event: stage
data: {{"at": "2026-01-05T09:30:00.480000Z", "stage": "prune"}}
id: 2

event: progress
data: {{"state": "running", "stage": "prune", "weight": "w", "progress": 0.21, "training": null, "waiting": null}}

event: end
data: {{"id": "{EXAMPLE_ID}", "state": "succeeded", "progress": 1.0}}
id: 3
"""

router = APIRouter(tags=["jobs"])
log = structlog.get_logger(__name__)


@router.get(
    "/jobs/{job_id}/events",
    summary="Follow a job",
    response_class=Response,
    responses={
        200: {
            "description": "Events until the job has ended: `started`, `stage`, `point` (an epoch of a training), `waiting`, "
            "`progress` (how it is now; without an id), `end` (the job), `deleted`",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        204: {
            "description": "The job has ended, and Last-Event-ID is its `end`: nothing will come"
        },
        **refusals("bad-value", "unknown-job"),
    },
)
async def follow_job(
    job_id: str,
    request: Request,
    services: ServicesDep,
    caller: Reader,
    last_event_id: Annotated[
        int,
        Header(
            ge=0, lt=2**62, description="The id of the last event that arrived; it goes on after it"
        ),
        WHOLE,
    ] = 0,
) -> Response:
    """What happens to a job, as it happens. Who lost the connection comes back with Last-Event-ID and has missed nothing."""
    rows, lengths = await run_in_threadpool(services.repository.look, [job_id])
    if job_id not in rows or not caller.sees(rows[job_id].owner):
        raise UnknownJob(job_id)
    after, length = last_event_id, lengths.get(job_id, 0)
    if rows[job_id].final and after == length + 1:
        return Response(status_code=204)
    if after > length:  # an id of another job, or of another service
        after = 0
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if is_head(request):
        answer = Response(headers=headers, media_type=EventSourceResponse.media_type)
        del answer.headers["content-length"]  # a stream has none
        return answer
    return EventSourceResponse(_stream(services, caller, job_id, after), headers=headers)


async def _stream(
    services: Services, caller: Caller, job_id: str, after: int
) -> AsyncIterator[bytes]:
    """What is told, until the job has ended or the caller's key: who comes back with that is told why."""
    looked = time.monotonic()
    async with aclosing(_told(services, job_id, after)) as told:
        async for news in told:
            if time.monotonic() - looked > KEY_SECONDS:
                looked = time.monotonic()
                if not await _still_admitted(services, caller):
                    return
            yield news


async def _still_admitted(services: Services, caller: Caller) -> bool:
    try:
        await run_in_threadpool(services.doorkeeper.look_again, caller)
    except Unauthorized as ended:
        log.info("events ended", client_key=caller.key_id, detail=str(ended))
        return False
    except DBAPIError:  # there is no database just now; the next look decides
        log.exception("a look at a key failed; it is tried again")
    return True


async def _told(services: Services, job_id: str, after: int) -> AsyncGenerator[bytes]:
    yield format_sse_event(retry=RETRY_MS)
    shown: dict[str, Any] | None = None
    async for news in services.feed.listen(job_id, after, HEARTBEAT_SECONDS):
        if news is None:
            yield KEEPALIVE_COMMENT
            continue
        for event in news.events:
            after = event.number
            yield _event(event)
        if news.row is None:
            yield format_sse_event(event="deleted", data_str="{}")
        elif news.row.final:
            job = to_job(news.row).model_dump_json()
            yield format_sse_event(event="end", data_str=job, id=str(after + 1))
        elif (now := _now(news.row)) != shown:
            shown = now
            yield format_sse_event(event="progress", data_str=json.dumps(now))


def _event(event: Event) -> bytes:
    at = datetime.fromtimestamp(event.what.at, UTC).isoformat().replace("+00:00", "Z")
    data = json.dumps({"at": at, **event.what.data})
    return format_sse_event(event=event.what.kind, data_str=data, id=str(event.number))


def _now(row: JobRow) -> dict[str, Any]:
    return to_job(row).model_dump(mode="json", include=_SHOWN)
