"""What the OpenAPI document says beyond the signatures of the endpoints."""

from collections import defaultdict
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from sparsebook_compressor.config import Config
from sparsebook_service.problems import BY_SLUG
from sparsebook_service.schemas import Problem

DESCRIPTION = """\
Deep compression for ONNX models. Send a model to `POST /compress`, wait for the job, download an artifact that is
4 to 50 times smaller and still an `.onnx` file.

Every error is an `application/problem+json` document (RFC 9457). Its `type` is the address of a description on this
service and never changes.
"""

PROBLEM_TYPE = "application/problem+json"
_PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}

Responses = dict[int | str, dict[str, Any]]


def refusals(*slugs: str) -> Responses:
    """The `responses` of an endpoint that can answer with these problems."""
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for slug in slugs:
        by_status[BY_SLUG[slug].status].append(slug)
    return {status: _refusal(members) for status, members in by_status.items()}


def _refusal(slugs: list[str]) -> dict[str, Any]:
    kinds = [BY_SLUG[slug] for slug in slugs]
    examples = {
        kind.slug: {
            "summary": kind.title,
            "value": {
                "type": kind.uri,
                "title": kind.title,
                "status": kind.status,
                "detail": kind.meaning,
            },
        }
        for kind in kinds
    }
    return {
        "description": "; ".join(kind.title for kind in kinds),
        "content": {PROBLEM_TYPE: {"schema": _PROBLEM_SCHEMA, "examples": examples}},
    }


def header(description: str, example: str) -> dict[str, Any]:
    """The description of a response header."""
    return {"description": description, "schema": {"type": "string"}, "example": example}


def links(parameter: str, value: str, *operations: str) -> dict[str, Any]:
    """What can be asked next: operations that take a value of this answer, by a runtime expression, as their parameter."""
    return {
        operation: {"operationId": operation, "parameters": {parameter: value}}
        for operation in operations
    }


# Of every address that has such a part.
_IN_PATHS = {
    "job_id": "5f0c2e63d6a94d0f8a55c2ad6a7a5c50",
    "upload_id": "5b0c6c6e-7a1f-4d0e-9c43-0c8f3c0b7a55",
    "file": "model.onnx",
    "platform": "linux-x86_64",
    "slug": "not-onnx",
}


def _add_examples(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["example"] = _IN_PATHS[parameter["name"]]


class DocumentedApp(FastAPI):
    """A FastAPI application whose OpenAPI document tells its problems as they are."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = _document(self)
        return self.openapi_schema


def _add_access(operation: dict[str, Any]) -> None:
    """What API keys add to an operation. A service on the loopback asks for none, so the empty requirement is there too."""
    operation["security"].append({})
    answers = operation["responses"]
    answers["401"] = _refusal(["unauthorized"])
    answers["401"]["headers"] = {
        "WWW-Authenticate": header("How to say who asks", 'Bearer realm="sparsebook"')
    }
    answers["403"] = _refusal(["forbidden"])
    answers.setdefault("429", _refusal(["rate-limited"]))
    answers["429"]["headers"] = {
        "Retry-After": header("Seconds to wait, where waiting helps", "10")
    }


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
        license_info=app.license_info,
    )
    schemas = document["components"]["schemas"]
    for model in (Problem, Config):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= {**schema.pop("$defs", {}), model.__name__: schema}
    config = schemas["Job"]["properties"]["config"]
    schemas["Job"]["properties"]["config"] = {
        "$ref": "#/components/schemas/Config",
        "description": config["description"],
    }
    # Values that do not validate are `bad-value` problems here; FastAPI's own form of them never leaves the service.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
            operation["responses"].setdefault("500", _refusal(["internal"]))
            _add_examples(operation)
            if "503" in operation["responses"]:
                operation["responses"]["503"]["headers"] = {
                    "Retry-After": header("Seconds to wait", "2")
                }
            if "security" in operation:
                _add_access(operation)
    return document
