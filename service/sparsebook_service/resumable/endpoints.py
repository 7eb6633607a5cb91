"""The HTTP routes of uploads that can be resumed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from sparsebook_compressor.errors import BadValue
from sparsebook_service import problems
from sparsebook_service.access.caller import Caller
from sparsebook_service.access.guard import Submitter
from sparsebook_service.contract import header, refusals
from sparsebook_service.errors import NotReady
from sparsebook_service.intake.headers import refuse_encoded
from sparsebook_service.numbers import WHOLE
from sparsebook_service.resumable.pieces import MOST_BYTES
from sparsebook_service.resumable.store import PATH, Answer
from sparsebook_service.services import Services, ServicesDep

router = APIRouter(tags=["uploads"])

_VERSION = "1.0.0"
_TUS = {"Tus-Resumable": header("Version of the protocol", _VERSION)}
_OFFSET = {"Upload-Offset": header("Bytes that are there", "8388608")}
_EXPIRES = {"Upload-Expires": header("When it is removed", "Mon, 05 Jan 2026 12:00:00 GMT")}
_LENGTH = {"Upload-Length": header("Bytes of the whole", "104857600")}
_PIECE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": f"The next bytes, at most {MOST_BYTES} of them",
        "content": {
            "application/offset+octet-stream": {"schema": {"type": "string", "format": "binary"}}
        },
    }
}
_SLUGS = {
    403: "upload-conflict",
    404: "unknown-upload",
    409: "upload-conflict",
    410: "unknown-upload",
    413: "too-large",
    415: "unsupported-media-type",
    423: "upload-conflict",
    460: "digest-mismatch",
}

# Every client of the protocol says it; another version than this is the protocol's business.
TusVersion = Annotated[
    str,
    Header(
        description="Version of the protocol",
        examples=[_VERSION],
        json_schema_extra={"pattern": r"^1\.0\.0$"},
    ),
]


@router.options(
    PATH,
    status_code=204,
    summary="What the upload protocol can do here",
    response_class=Response,
    responses={204: {"headers": {**_TUS, "Tus-Max-Size": header("Largest upload", "4294967296")}}},
)
async def upload_options(request: Request, services: ServicesDep) -> Response:
    """The version and extensions of tus (https://tus.io)."""
    return _answered(await services.uploads.answer(request), request)


@router.post(
    PATH,
    status_code=201,
    summary="Begin an upload",
    response_class=Response,
    responses={
        201: {
            "headers": {
                **_TUS,
                **_EXPIRES,
                "Location": header("Where the bytes go", f"{PATH}/3fa8"),
            }
        },
        **refusals(
            "bad-value",
            "malformed-request",
            "body-timeout",
            "too-large",
            "storage-full",
            "unsupported-media-type",
            "uploads-full",
            "not-ready",
        ),
    },
)
async def begin_upload(
    request: Request,
    services: ServicesDep,
    caller: Submitter,
    upload_length: Annotated[
        int, Header(ge=1, description="Bytes of the whole file", examples=[104857600]), WHOLE
    ],
    tus_resumable: TusVersion,
    upload_metadata: Annotated[
        str | None,
        Header(
            description="`filename` and its value in base64",
            examples=["filename bW9kZWwub25ueA=="],
        ),
    ] = None,
) -> Response:
    """Announce a file. Its bytes follow by PATCH, piece by piece; then `POST /compress?upload=ID` makes a job of it."""
    if services.bell.closed:
        raise NotReady("the service is stopping")
    if request.headers.get("upload-defer-length"):
        raise BadValue("Upload-Defer-Length: say at once how long the file is, as Upload-Length")
    refuse_encoded(request)
    async with _room(services, caller, upload_length):
        await asyncio.to_thread(services.quotas.check_bytes, caller, upload_length)
        answer = await services.uploads.take(request, min(upload_length, MOST_BYTES))
        location = answer.headers.get("Location")
        if location is not None:
            await asyncio.to_thread(services.uploads.begun, location, caller)
    return _answered(answer, request)


@router.head(
    f"{PATH}/{{upload_id}}",
    summary="How far an upload is",
    response_class=Response,
    responses={
        200: {"headers": {**_TUS, **_OFFSET, **_LENGTH, **_EXPIRES}},
        **refusals("malformed-request", "unknown-upload"),
    },
)
async def look_at_upload(
    upload_id: str,
    request: Request,
    services: ServicesDep,
    caller: Submitter,
    tus_resumable: TusVersion,
) -> Response:
    """The bytes that are there, from which it goes on."""
    await _check_owner(upload_id, services, caller)
    return _answered(await services.uploads.answer(request), request)


@router.patch(
    f"{PATH}/{{upload_id}}",
    status_code=204,
    summary="Send the next bytes",
    response_class=Response,
    openapi_extra=_PIECE,
    responses={
        204: {"headers": {**_TUS, **_OFFSET, **_EXPIRES}},
        **refusals(
            "bad-value",
            "malformed-request",
            "body-timeout",
            "digest-mismatch",
            "unknown-upload",
            "upload-conflict",
            "too-large",
            "unsupported-media-type",
            "storage-full",
        ),
    },
)
async def continue_upload(
    upload_id: str,
    request: Request,
    services: ServicesDep,
    caller: Submitter,
    upload_offset: Annotated[
        int, Header(ge=0, description="Bytes that are there", examples=[0]), WHOLE
    ],
    tus_resumable: TusVersion,
    upload_checksum: Annotated[
        str | None,
        Header(
            description="`sha256` or `sha1` of the piece, and its value in base64; checked",
            examples=["sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="],
        ),
    ] = None,
) -> Response:
    """Append a piece at the offset, which must be the one that HEAD gives."""
    await _check_owner(upload_id, services, caller)
    refuse_encoded(request)
    if upload_checksum == "":
        raise BadValue("Upload-Checksum: empty; send an algorithm and its value in base64")
    return _answered(await services.uploads.take(request, MOST_BYTES), request)


@router.delete(
    f"{PATH}/{{upload_id}}",
    status_code=204,
    summary="Give an upload up",
    response_class=Response,
    responses=refusals("malformed-request", "unknown-upload", "upload-conflict"),
)
async def delete_upload(
    upload_id: str,
    request: Request,
    services: ServicesDep,
    caller: Submitter,
    tus_resumable: TusVersion,
) -> Response:
    """Remove its bytes. Jobs that were made of it have their own."""
    await _check_owner(upload_id, services, caller)
    return _answered(await services.uploads.answer(request), request)


@asynccontextmanager
async def _room(services: Services, caller: Caller, length: int) -> AsyncIterator[None]:
    room = services.uploads.promised(caller, length)
    await asyncio.to_thread(room.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(room.__exit__, None, None, None)


async def _check_owner(upload_id: str, services: Services, caller: Caller) -> None:
    await asyncio.to_thread(services.uploads.check_owner, upload_id, caller)


def _answered(answer: Answer, request: Request) -> Response:
    if answer.status >= 400:
        return _refusal(answer, request.url.path)
    return Response(status_code=answer.status, headers=dict(answer.headers))


def _refusal(answer: Answer, path: str) -> Response:
    slug = _SLUGS.get(answer.status, "malformed-request")
    found = problems.describe(slug, f"{answer.text} (the protocol's status {answer.status})", path)
    headers = {name: value for name, value in answer.headers.items() if name.startswith("Tus")}
    if answer.status == 412:  # as the protocol has it
        headers["Tus-Version"] = _VERSION
    return Response(
        found.model_dump_json(), found.status, headers, media_type="application/problem+json"
    )
