"""The page's routes. They are no part of the HTTP contract: whatever a program wants is there under its own address.

Pages themselves hold nothing of anybody's: they are frames, which a script fills with parts that it asks for as any client asks, with the
API key in a header. No cookie is ever set, so that no other site can ask in somebody's name.
"""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from sparsebook_compressor.report import Report
from sparsebook_compressor.reporting import page as report_page
from sparsebook_service.access.caller import Caller
from sparsebook_service.access.guard import Reader, Submitter
from sparsebook_service.errors import NotFound
from sparsebook_service.jobs import keys
from sparsebook_service.jobs.schemas import Job, State
from sparsebook_service.jobs.trials import Wanted
from sparsebook_service.page import curves, render
from sparsebook_service.page.stages import STAGES_SAID
from sparsebook_service.problems import BY_SLUG
from sparsebook_service.services import Services, ServicesDep
from sparsebook_service.version import VERSION

router = APIRouter(include_in_schema=False)

JOBS_A_PART = 20
_MORE = {"trial-head": "Run both", "about": "Job"}
_A_YEAR = "public, max-age=31536000, immutable"


def _page(text: str) -> HTMLResponse:
    return HTMLResponse(text, headers={"Content-Security-Policy": render.POLICY})


@router.get("/")
def index(services: ServicesDep) -> HTMLResponse:
    """Where a model is handed in, and the jobs."""
    access, trains = services.settings.access, services.trainings.have_a_worker
    return _page(render.html("index.html", version=VERSION, access=access, trains=trains))


@router.get("/page/jobs/{job_id}")
async def job_page(job_id: str, services: ServicesDep) -> HTMLResponse:
    """One job: its stages while it runs, its report afterwards. Whether there is one, its part says."""
    access = services.settings.access
    return _page(render.html("job.html", version=VERSION, access=access, job_id=job_id[:80]))


@router.get("/page/assets/{name}")
async def asset(name: str, request: Request) -> Response:
    """A style sheet, a script, a picture."""
    kind = render.ASSETS.get(name)
    if kind is None:
        raise NotFound(f"the page has no file {name[:80]!r}")
    etag = f'"{render.version(name)}"'
    headers = {"ETag": etag, "Cache-Control": _A_YEAR}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(render.asset(name), media_type=kind, headers=headers)


@router.get("/page/parts/jobs")
def jobs_part(
    services: ServicesDep,
    caller: Reader,
    search: Annotated[str | None, Query(max_length=200)] = None,
    state: State | None = None,
    cursor: Annotated[str | None, Query(min_length=1)] = None,
) -> HTMLResponse:
    """Rows of the list of jobs."""
    found = services.jobs.page(
        caller, cursor=cursor, limit=JOBS_A_PART, state=state, search=search or None
    )
    filtered = bool(search or state)
    return _page(render.html("jobs_part.html", jobs=found.jobs, next=found.next, filtered=filtered))


@router.get("/page/parts/jobs/{job_id}")
def job_part(job_id: str, services: ServicesDep, caller: Reader) -> HTMLResponse:
    """A job as it is: running, failed, or with its report."""
    job = services.jobs.get(job_id, caller)
    slug = None if job.error is None else job.error.type.rsplit("/", 1)[-1]
    return _page(
        render.html(
            "job_part.html",
            job=job,
            stages=STAGES_SAID,
            elapsed=_elapsed(job),
            config=job.config,
            remedy=BY_SLUG[slug].remedy if slug in BY_SLUG else None,
            report=None if job.result is None else _report(services, job_id, caller),
            curve=curves.drawn(services.repository.events(job_id, 0)),
        )
    )


@router.post("/page/parts/jobs/{job_id}/trial")
def trial_part(
    job_id: str,
    services: ServicesDep,
    caller: Submitter,
    model: Annotated[str, Query(description="The upload that is the original")],
    data: Annotated[str | None, Query(description="An upload with samples")] = None,
) -> HTMLResponse:
    """The same inputs through the original and the artifact, in a process of their own."""
    job = services.jobs.get(job_id, caller)
    _, files = services.jobs.made(job_id, caller)
    original = services.uploads.finished(model, caller)
    samples = None if data is None else services.uploads.finished(data, caller)
    trial = services.trials.run(Wanted(job_id, files, job.input.sha256, original, samples))
    return _page(render.html("trial_part.html", trial=trial))


@router.get("/page/parts/jobs/{job_id}/curve")
def curve_part(job_id: str, services: ServicesDep, caller: Reader) -> HTMLResponse:
    """The loss so far."""
    services.jobs.get(job_id, caller)
    return _page(curves.drawn(services.repository.events(job_id, 0)))


def _elapsed(job: Job) -> float | None:
    """Seconds since it was started; by the server's clock, since that of the browser may be another."""
    if job.times.started is None:
        return None
    return max(0.0, (datetime.now(UTC) - job.times.started).total_seconds())


def _report(services: Services, job_id: str, caller: Caller) -> Markup:
    """The report as a part of a page, from the JSON that the job has made: it is data, and is escaped like any other."""
    _, files = services.jobs.made(job_id, caller)
    text = services.storage.content(keys.artifact(job_id, files[keys.REPORT])).decode()
    return report_page.part(Report.from_json(text), titled=False, more=_MORE)
