"""The HTTP routes of jobs."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from sparsebook_compressor.errors import BadValue
from sparsebook_service import buckets, downloads
from sparsebook_service.access.caller import Caller
from sparsebook_service.access.guard import Reader, Submitter
from sparsebook_service.contract import header, links, refusals
from sparsebook_service.errors import (
    MalformedRequest,
    NotFound,
    NotReady,
)
from sparsebook_service.intake import headers
from sparsebook_service.intake.receiver import Receiver
from sparsebook_service.jobs import deadlines, keys
from sparsebook_service.jobs.body import BINARY, BODY
from sparsebook_service.jobs.schemas import EXAMPLE_ID, EXAMPLE_SHA256, Job, JobList, State
from sparsebook_service.jobs.service import Jobs
from sparsebook_service.jobs.terms import Terms
from sparsebook_service.numbers import DECIMAL, WHOLE
from sparsebook_service.resumable.store import Finished
from sparsebook_service.services import Services, ServicesDep
from sparsebook_service.settings import MAX_DEADLINE_SECONDS, Settings
from sparsebook_service.webhooks import guard

MAX_WAIT_SECONDS = 60.0
RETRY_AFTER_SECONDS = "1"

router = APIRouter(tags=["jobs"])


@router.post(
    "/compress",
    status_code=202,
    summary="Compress a model",
    openapi_extra=BODY,
    responses={
        202: {
            "description": "The job was accepted; it is queued",
            "headers": {
                "Location": header("Address of the job", f"/jobs/{EXAMPLE_ID}"),
                "Retry-After": header("Seconds to wait before asking for it", "1"),
            },
            "links": links(
                "job_id",
                "$response.body#/id",
                "get_job",
                "follow_job",
                "cancel_job",
                "delete_job",
                "get_report",
                "get_bundle",
            ),
        },
        **refusals(
            "bad-value",
            "unknown-option",
            "digest-mismatch",
            "malformed-request",
            "idempotency-conflict",
            "rate-limited",
            "quota-exceeded",
            "too-large",
            "unsupported-media-type",
            "not-onnx",
            "external-data-outside",
            "not-ready",
            "storage-full",
            "unknown-upload",
        ),
    },
)
async def compress(
    request: Request,
    response: Response,
    services: ServicesDep,
    caller: Submitter,
    config: Annotated[
        str | None,
        Query(
            description="The config, JSON; of a form, its part `config`",
            examples=['{"preset": "safe"}'],
        ),
    ] = None,
    name: Annotated[
        str | None, Query(description="The model's file name", examples=["resnet.onnx"])
    ] = None,
    upload: Annotated[
        str | None,
        Query(
            description="A finished upload that is the model (see `POST /uploads`); the body is empty, or a form without `model`",
            examples=["5b0c6c6e-7a1f-4d0e-9c43-0c8f3c0b7a55"],
        ),
    ] = None,
    source: Annotated[
        str | None,
        Query(
            description="The model's place in a bucket that SPARSEBOOK_SOURCES names where the service runs: an .onnx file, or a .zip "
            "with its external data; the body is empty, or a form without `model`",
            examples=["s3://exports/resnet.onnx"],
        ),
    ] = None,
    push: Annotated[
        str | None,
        Query(
            description="Where the bundle's files go before the job has succeeded, in a bucket that SPARSEBOOK_DESTINATIONS names; "
            "what has their names there is replaced, `manifest.json` last",
            examples=["s3://models/resnet/2026-01"],
        ),
    ] = None,
    deadline: Annotated[
        float | None,
        Query(
            gt=0,
            le=MAX_DEADLINE_SECONDS,
            allow_inf_nan=False,
            description="Seconds from its acceptance within which the job must have ended, or it fails with `deadline`",
            examples=[3600],
        ),
        DECIMAL,
    ] = None,
    webhook: Annotated[
        str | None,
        Query(
            description="Where the job's end is posted, signed after Standard Webhooks",
            examples=["https://ci.example.org/hooks/sparsebook"],
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="The same key with the same files and config gives the same job",
            examples=["export-2026-01-05"],
            json_schema_extra={"pattern": "^[!-~]{1,255}$"},
        ),
    ] = None,
    cache_control: Annotated[
        str | None,
        Header(
            description="`no-cache` has the job computed even if the same was asked for before",
            examples=["no-cache"],
        ),
    ] = None,
    content_digest: Annotated[
        str | None,
        Header(
            description="sha-256 of the body (RFC 9530); checked",
            examples=["sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:"],
            json_schema_extra={"pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$"},
        ),
    ] = None,
) -> Job:
    """Take a model and queue its compression.

    What can be seen without parsing the model is answered at once; what needs it parsed is a job that fails with its
    problem as `error`.
    """
    if services.bell.closed:
        raise NotReady("the service is stopping")
    key = headers.idempotency_key(idempotency_key)
    digest = headers.announced_digest(request.headers.getlist("content-digest"))
    seconds = deadlines.allowed(services.settings, deadline)
    announced = headers.announced_bytes(request)
    room = await run_in_threadpool(services.quotas.before, caller, key, announced)
    target = None if webhook is None else _webhook(webhook, services.settings)
    bucket = None if push is None else _destination(push, services.settings)
    job_id = Jobs.new_id()
    origin = await _origin(upload, source, services, caller)
    receiver = Receiver(services.storage, services.settings, job_id, request, room, origin)
    try:
        received, chosen = await receiver.receive(config, name, digest)
        await run_in_threadpool(services.doorkeeper.look_again, caller)
    except ClientDisconnect as gone:
        services.storage.remove(keys.job(job_id))
        raise MalformedRequest("the connection ended before the body was complete") from gone
    except BaseException:
        services.storage.remove(keys.job(job_id))
        raise
    terms = Terms(
        caller,
        deadline=seconds,
        fresh="no-cache" in (cache_control or "").lower(),
        webhook=target,
        push=bucket,
    )
    job = await run_in_threadpool(services.jobs.admit, job_id, received, chosen, key, terms)
    response.headers["Location"] = keys.address(job.id)
    response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return job


async def _origin(
    upload: str | None, source: str | None, services: Services, caller: Caller
) -> Finished | str | None:
    """Where a model is that does not come with the request."""
    if upload is not None and source is not None:
        raise BadValue("upload and source both name a model: give one of them")
    if upload is not None:
        return await run_in_threadpool(services.uploads.finished, upload, caller)
    if source is None:
        return None
    allowed = services.settings.sources
    return buckets.check(source, "source", allowed, "SPARSEBOOK_SOURCES")


def _destination(push: str, settings: Settings) -> str:
    return buckets.check(push, "push", settings.destinations, "SPARSEBOOK_DESTINATIONS")


def _webhook(url: str, settings: Settings) -> str:
    if settings.webhook_secret is None:
        raise BadValue(
            "webhook: this service has nothing to sign with; set SPARSEBOOK_WEBHOOK_SECRET where it runs, or wait for the job"
        )
    return guard.check_url(url, settings.webhook_allow)


@router.get("/jobs", summary="List jobs", responses=refusals("bad-value"))
def list_jobs(
    services: ServicesDep,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=200, description="Jobs a page"), WHOLE] = 50,
    cursor: Annotated[
        str | None, Query(description="`next` of the page before", min_length=1, examples=["MTA0"])
    ] = None,
    state: Annotated[
        State | None, Query(description="Only jobs in this state", examples=["running"])
    ] = None,
    search: Annotated[
        str | None,
        Query(
            description="Only jobs with this in the model's file name, in any case, or whose id begins with it",
            min_length=1,
            max_length=200,
            examples=["resnet"],
        ),
    ] = None,
) -> JobList:
    """A page of jobs, newest first."""
    return services.jobs.page(caller, cursor=cursor, limit=limit, state=state, search=search)


@router.get(
    "/jobs/{job_id}",
    summary="Look a job up",
    responses={
        200: {"headers": {"Retry-After": header("Seconds to wait, while it has not ended", "1")}},
        **refusals("bad-value", "unknown-job"),
    },
)
async def get_job(
    job_id: str,
    response: Response,
    services: ServicesDep,
    caller: Reader,
    wait: Annotated[
        float,
        Query(
            ge=0,
            allow_inf_nan=False,
            description="Answer when it has ended, or after so many seconds (at most 60)",
        ),
        DECIMAL,
    ] = 0,
) -> Job:
    """The job as it is now, or, with `wait`, when it has ended."""
    job = await services.jobs.wait(job_id, min(wait, MAX_WAIT_SECONDS), caller)
    if wait:
        await run_in_threadpool(services.doorkeeper.look_again, caller)
    if not job.final:
        response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return job


@router.post("/jobs/{job_id}/cancel", summary="Cancel a job", responses=refusals("unknown-job"))
def cancel_job(job_id: str, services: ServicesDep, caller: Submitter) -> Job:
    """Stop a job within two seconds. A job that has ended stays as it is."""
    return services.jobs.cancel(job_id, caller)


@router.delete(
    "/jobs/{job_id}",
    status_code=204,
    summary="Delete a job",
    responses=refusals("unknown-job"),
)
def delete_job(job_id: str, services: ServicesDep, caller: Submitter) -> None:
    """Forget a job and free its storage; one that runs is stopped."""
    services.jobs.delete(job_id, caller)


_FILE_HEADERS = {
    "ETag": header("The sha-256 of the whole file", f'"{EXAMPLE_SHA256}"'),
    "Accept-Ranges": header("Ranges are served", "bytes"),
    "Repr-Digest": header(
        "Digest of the whole file (RFC 9530)",
        "sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:",
    ),
    "Content-Digest": header(
        "Digest of what is sent, where that is the whole file",
        "sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:",
    ),
}


def _file_responses(media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": BINARY}}
    return {
        200: {"description": "The file", "headers": _FILE_HEADERS, "content": content},
        206: {"description": "The range that was asked for", "content": content},
        304: {"description": "The file with this ETag is still the same"},
        **refusals("unknown-job", "not-found", "no-result", "cancelled", "range-not-satisfiable"),
    }


@router.get(
    "/jobs/{job_id}/artifact",
    summary="Download the bundle",
    response_class=Response,
    responses=_file_responses("application/zip"),
)
def get_bundle(job_id: str, request: Request, services: ServicesDep, caller: Reader) -> Response:
    """All files of the artifact as one .zip. The same job gives the same bytes."""
    bundle, _ = services.jobs.made(job_id, caller)
    return downloads.serve(
        request,
        partial(services.storage.stream, keys.bundle(job_id, bundle)),
        size=bundle.bytes,
        sha256=bundle.sha256,
        name=f"sparsebook-{job_id}.zip",
        media_type="application/zip",
    )


@router.get(
    "/jobs/{job_id}/artifact/{file:path}",
    summary="Download one file of the bundle",
    response_class=Response,
    responses=_file_responses("application/octet-stream"),
)
def get_artifact_file(
    job_id: str, file: str, request: Request, services: ServicesDep, caller: Reader
) -> Response:
    """One of the job's `result.files`."""
    _, files = services.jobs.made(job_id, caller)
    made = files.get(file)
    if made is None:
        raise NotFound(f"the artifact has no file {file[:200]!r}; it has {', '.join(files)}")
    return downloads.serve(
        request,
        partial(services.storage.stream, keys.artifact(job_id, made)),
        size=made.bytes,
        sha256=made.sha256,
        name=made.name.rsplit("/", 1)[-1],
    )
