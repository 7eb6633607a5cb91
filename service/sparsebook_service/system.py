"""The HTTP routes beside jobs: health, metrics, operator libraries, descriptions of problems."""

import hashlib
from collections.abc import AsyncIterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from sparsebook_service import downloads
from sparsebook_service.access.guard import may
from sparsebook_service.contract import refusals
from sparsebook_service.errors import NotFound, NotReady
from sparsebook_service.libraries import HERE_ALONE, PLATFORMS, Libraries
from sparsebook_service.page import render
from sparsebook_service.page.reference import NO_KEYS
from sparsebook_service.problems import BY_SLUG, CATALOGUE, ProblemType
from sparsebook_service.schemas import Health, OperatorLibraries, OperatorLibrary, Ready
from sparsebook_service.services import ServicesDep
from sparsebook_service.storage import CHUNK_BYTES
from sparsebook_service.version import VERSION

router = APIRouter()

_VARY = {"Vary": "Accept"}
_METRICS = """\
# HELP sparsebook_jobs Jobs by state
# TYPE sparsebook_jobs gauge
sparsebook_jobs{state="queued"} 3.0
sparsebook_jobs{state="running"} 2.0
"""


def _plain(kind: ProblemType) -> dict[str, str | int]:
    return {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "meaning": kind.meaning,
        "remedy": kind.remedy,
    }


_KIND = _plain(BY_SLUG["not-onnx"])


@router.get("/healthz", tags=["operation"], summary="Is the process alive?")
async def health() -> Health:
    """The process answers."""
    return Health(version=VERSION)


@router.get(
    "/readyz",
    tags=["operation"],
    summary="Are new jobs accepted?",
    responses=refusals("not-ready"),
)
def ready(services: ServicesDep) -> Ready:
    """The database answers, there is room for uploads, and the service is not stopping."""
    if services.bell.closed:
        raise NotReady("the service is stopping")
    services.repository.count_by_state()
    if services.storage.free_bytes() < services.settings.min_free_bytes:
        raise NotReady("less free disk than SPARSEBOOK_MIN_FREE_BYTES: uploads are refused")
    if services.quotas.is_full():
        raise NotReady("SPARSEBOOK_MAX_STORED_BYTES are stored: uploads are refused")
    return Ready()


@router.get(
    "/metrics",
    tags=["operation"],
    summary="Metrics for Prometheus",
    dependencies=[may("metrics")],
    response_class=Response,
    responses={
        200: {
            "description": "Metrics in Prometheus' text format",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": _METRICS}},
        }
    },
)
def metrics(services: ServicesDep) -> Response:
    """Jobs by state, stage seconds, bytes in and out, ratios."""
    return Response(
        generate_latest(services.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


@lru_cache(maxsize=16)
def _digest(path: Path, _modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _described(platform: str, path: Path) -> OperatorLibrary:
    known, facts = PLATFORMS.get(platform, HERE_ALONE), path.stat()
    return OperatorLibrary(
        platform=platform,
        name=path.name,
        bytes=facts.st_size,
        sha256=_digest(path, facts.st_mtime_ns),
        tested=known.tested,
        remark=known.remark,
        href=f"/runtime/{platform}",
    )


@router.get(
    "/runtime",
    tags=["runtime"],
    summary="List the operator libraries",
    dependencies=[may("read")],
)
def list_libraries(services: ServicesDep) -> OperatorLibraries:
    """The operator libraries that can be downloaded, by platform."""
    found = Libraries.find(services.settings.runtimes).by_platform()
    return OperatorLibraries(libraries=[_described(*library) for library in found.items()])


@router.get(
    "/runtime/{platform}",
    tags=["runtime"],
    summary="Download an operator library",
    dependencies=[may("read")],
    response_class=Response,
    responses={
        200: {
            "description": "The library",
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        },
        206: {"description": "The range that was asked for"},
        304: {"description": "The library with this ETag is still the same"},
        **refusals("not-found", "range-not-satisfiable"),
    },
)
def get_library(platform: str, request: Request, services: ServicesDep) -> Response:
    """The library that runs artifacts on a platform."""
    path = Libraries.find(services.settings.runtimes).of(platform)
    library = _described(platform, path)
    return downloads.serve(
        request,
        partial(_stream, path),
        size=library.bytes,
        sha256=library.sha256,
        name=library.name,
    )


async def _stream(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        await file.seek(start)
        left = end - start
        while left and (chunk := await file.read(min(left, CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk


@router.get(
    "/problems",
    tags=["problems"],
    summary="List the problem types",
    response_class=JSONResponse,
    responses={
        200: {
            "content": {
                "application/json": {"example": {"problems": [_KIND]}},
                "text/html": {
                    "schema": {"type": "string"},
                    "example": "<!doctype html><title>Problem types</title>…",
                },
            }
        }
    },
)
async def list_problems(request: Request) -> Response:
    """Every `type` that an error can have; a page for browsers."""
    if _wants_page(request):
        return _page("problems.html", kinds=CATALOGUE)
    return JSONResponse({"problems": [_plain(kind) for kind in CATALOGUE]}, headers=_VARY)


@router.get(
    "/problems/{slug}",
    tags=["problems"],
    summary="Describe a problem type",
    response_class=JSONResponse,
    responses={
        200: {
            "content": {
                "application/json": {"example": _KIND},
                "text/html": {
                    "schema": {"type": "string"},
                    "example": "<!doctype html><title>Not an ONNX file</title>…",
                },
            }
        },
        **refusals("not-found"),
    },
)
async def describe_problem(slug: str, request: Request) -> Response:
    """What a `type` means and what to do about it; a page for browsers."""
    kind = BY_SLUG.get(slug)
    if kind is None:
        raise NotFound(f"no problem type {slug[:80]!r}; /problems lists them")
    if _wants_page(request):
        return _page("problem.html", kind=kind)
    return JSONResponse(_plain(kind), headers=_VARY)


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _page(template: str, **values: Any) -> HTMLResponse:
    text = render.html(template, version=VERSION, access=NO_KEYS, **values)
    return HTMLResponse(text, headers={"Content-Security-Policy": render.POLICY, **_VARY})
