"""The report of a job, for programs or for people: `GET /jobs/{id}/report`."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from sparsebook_compressor.report import Report
from sparsebook_compressor.reporting import page
from sparsebook_service.access.guard import Reader
from sparsebook_service.contract import refusals
from sparsebook_service.errors import NotAcceptable, UnknownJob
from sparsebook_service.jobs import keys
from sparsebook_service.services import ServicesDep

JSON, HTML = "application/json", "text/html"
_VARY = {"Vary": "Accept"}
# The beginning: docs/page.md and the page show all of it.
_EXAMPLE = {
    "input": {"name": "model.onnx", "bytes": 3195614},
    "artifact": {"name": "model.onnx", "bytes": 402113},
    "ratio": 7.947,
    "weights": [{"name": "dense/kernel", "shape": [257, 512], "density": 0.31, "code_bits": 5}],
}

router = APIRouter(tags=["jobs"])


@router.get(
    "/jobs/{job_id}/report",
    summary="The report of a job",
    response_class=Response,
    responses={
        200: {
            "description": "The report: every weight, bytes by part, fidelity, time and memory by stage; as HTML where that is asked for",
            "content": {
                JSON: {"schema": {"type": "object"}, "example": _EXAMPLE},
                HTML: {"schema": {"type": "string"}, "example": "<!doctype html>…"},
            },
        },
        **refusals("unknown-job", "not-acceptable", "no-result", "cancelled"),
    },
)
async def get_report(
    job_id: str, request: Request, services: ServicesDep, caller: Reader
) -> Response:
    """What was done to each weight and what came of it."""
    kind = chosen(request.headers.get("accept", "*/*"))
    _, files = await run_in_threadpool(services.jobs.made, job_id, caller)
    try:
        content = await services.storage.read(keys.artifact(job_id, files[keys.REPORT]))
    except FileNotFoundError as gone:  # it was deleted meanwhile
        raise UnknownJob(job_id) from gone
    if kind == JSON:
        return Response(content, media_type=JSON, headers=_VARY)
    # Made here of the data: what a process has written that parses strangers' files is nothing to show as a page.
    text = await run_in_threadpool(lambda: page.document(Report.from_json(content.decode())))
    policy = f"{page.policy()}; frame-ancestors 'none'"
    return HTMLResponse(text, headers={**_VARY, "Content-Security-Policy": policy})


def chosen(accept: str) -> str:
    """JSON where it is as good as HTML; browsers name HTML, and anything else only for want of it.

    Raises:
        NotAcceptable: neither of them will do.

    >>> chosen("*/*"), chosen("text/html,application/xhtml+xml,*/*;q=0.8")
    ('application/json', 'text/html')
    """
    weights = dict(map(_weighed, accept.lower().split(",")))
    anything = weights.get("*/*", weights.get("", 0.0))
    json = weights.get(JSON, weights.get("application/*", anything))
    html = weights.get(HTML, weights.get("text/*", anything))
    if not json and not html:
        raise NotAcceptable("the report is JSON or HTML; ask for application/json or text/html")
    return JSON if json >= html else HTML


def _weighed(member: str) -> tuple[str, float]:
    """A media range and its weight (RFC 9110, section 12.5.1); one that cannot be read is 1."""
    kind, *parameters = (part.strip() for part in member.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return kind, float(value)
            except ValueError:
                break
    return kind, 1.0
