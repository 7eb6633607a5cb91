"""The addresses of the service as a page, made of its own OpenAPI document: a viewer out of the network would stay empty where there is none."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from sparsebook_service.contract import PROBLEM_TYPE
from sparsebook_service.page import render
from sparsebook_service.version import VERSION

router = APIRouter(include_in_schema=False)

# A page that shows nothing of anybody's asks for no key.
NO_KEYS = "none"


@dataclass(frozen=True)
class Parameter:
    """What a request may say beside its body."""

    name: str
    where: str
    required: bool
    said: str


@dataclass(frozen=True)
class Answer:
    """What may come back.

    Attributes:
        status: of HTTP.
        said: what it means.
        problems: slugs of the problem types that come with it.
    """

    status: str
    said: str
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Operation:
    """A method of an address."""

    method: str
    path: str
    summary: str
    paragraphs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    bodies: tuple[str, ...]
    answers: tuple[Answer, ...]


@router.get("/docs")
async def reference(request: Request) -> HTMLResponse:
    """Every address, what it takes and what it answers."""
    document = request.app.openapi()
    text = render.html(
        "api.html",
        version=VERSION,
        access=NO_KEYS,
        openapi=document["openapi"],
        intro=" ".join(document["info"]["description"].split("\n\n")[0].split()),
        groups=grouped(document),
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": render.POLICY})


def grouped(document: dict[str, Any]) -> dict[str, list[Operation]]:
    """The operations of an OpenAPI document by their tag, both in the document's order."""
    groups: defaultdict[str, list[Operation]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            groups[told["tags"][0]].append(_operation(path, method, told))
    return dict(groups)


def _operation(path: str, method: str, told: dict[str, Any]) -> Operation:
    paragraphs = told.get("description", "").split("\n\n")
    return Operation(
        method=method.upper(),
        path=path,
        summary=told["summary"],
        paragraphs=tuple(" ".join(each.split()) for each in paragraphs if each.strip()),
        parameters=tuple(map(_parameter, told.get("parameters", ()))),
        bodies=tuple(told.get("requestBody", {}).get("content", ())),
        answers=tuple(
            Answer(status, answer.get("description", ""), _problems(answer))
            for status, answer in sorted(told["responses"].items())
        ),
    )


def _parameter(told: dict[str, Any]) -> Parameter:
    said = told.get("description") or told.get("schema", {}).get("title", "")
    return Parameter(told["name"], told["in"], told.get("required", False), said)


def _problems(answer: dict[str, Any]) -> tuple[str, ...]:
    return tuple(answer.get("content", {}).get(PROBLEM_TYPE, {}).get("examples", ()))
