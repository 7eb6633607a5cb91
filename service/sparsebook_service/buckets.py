"""Buckets of the callers' own: where models are taken from and results are pushed to, by name.

The service reads and writes there with its own credentials, so only what the operator names is reached.
"""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import S3Store

from sparsebook_compressor.errors import BadValue
from sparsebook_service.errors import NotReady, PushFailed
from sparsebook_service.places import PLACE
from sparsebook_service.storage import CHUNK_BYTES, PART_BYTES, PARTS_UNDER_WAY

REQUEST_SECONDS = 60
# What a server that is overloaded or restarts may take; a job waits for it rather than fail.
RETRY_SECONDS = 180
# A caller waits for the answer while a model is taken: not for so long.
PATIENCE_SECONDS = 15
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
LONGEST_URL = 1200  # a bucket's name and a key of S3's longest, 1024 bytes

log = structlog.get_logger(__name__)


def connect(url: str, retry_seconds: float = RETRY_SECONDS) -> S3Store:
    """A hand on `s3://BUCKET/PREFIX`; nothing is asked of it yet.

    Raises:
        BadValue: no such URL.
    """
    match = PLACE.fullmatch(url)
    if match is None:
        raise BadValue(f"{url[:200]!r} is not s3://BUCKET or s3://BUCKET/PREFIX")
    # Its parts, not the URL: what was checked is what is reached.
    return S3Store(
        match["bucket"],
        prefix=match["key"] or None,
        client_options={
            "timeout": timedelta(seconds=REQUEST_SECONDS),
            # Options that are given here win over the variables; who writes http:// means it.
            "allow_http": any(os.environ.get(name, "").startswith("http:") for name in ENDPOINTS),
        },
        retry_config={"max_retries": 10, "retry_timeout": timedelta(seconds=retry_seconds)},
    )


def check(url: str, what: str, allowed: Sequence[str], variable: str) -> str:
    """Refuse a place in a bucket that the operator has not named.

    Args:
        url: as the caller gave it.
        what: the parameter, for the message.
        allowed: `s3://BUCKET` or `s3://BUCKET/PREFIX`: these and what lies below.
        variable: where the operator names them.

    Returns:
        The URL without a slash at its end.

    Raises:
        BadValue: no such URL, or outside of all that is allowed.
    """
    place = url.removesuffix("/")
    match = PLACE.fullmatch(place)
    segments = (match["key"] or "").split("/") if match else []
    plain = match is not None and len(url) <= LONGEST_URL and url.isprintable()
    if not plain or (len(segments) > 1 and "" in segments) or {".", ".."} & set(segments):
        raise BadValue(
            f"{what} {url[:200]!r}: give s3://BUCKET/KEY, the key without empty, '.' or '..' parts and without %, #, ? and backslashes"
        )
    if not any(place == root or place.startswith(f"{root}/") for root in allowed):
        raise BadValue(
            f"{what} {url[:200]!r}: this service does not reach there; {variable} names what it does, where it runs"
        )
    return place


def split(url: str) -> tuple[str, str]:
    """The folder of a checked URL, as a URL, and the last part of its key.

    Raises:
        BadValue: it names a bucket alone.
    """
    folder, _, name = url.rpartition("/")
    if folder == "s3:/":
        raise BadValue(f"{url}: name a file in the bucket")
    return folder, name


async def read(url: str) -> AsyncIterator[bytes]:
    """The bytes of one file, a chunk at a time.

    Raises:
        BadValue: there is no such file, or the service may not read it.
        NotReady: the bucket does not answer.
    """
    folder, name = split(url)
    try:
        answer = await obstore.get_async(connect(folder, PATIENCE_SECONDS), name)
        async for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)
    except (FileNotFoundError, PermissionError) as error:
        raise BadValue(f"source {url}: there is no such file that this service may read") from error
    except (BaseError, OSError) as error:
        # What is said of it may name addresses inside: it is for the operator.
        log.warning("a bucket cannot be read", source=url, fault=_first(error))
        raise NotReady(
            f"source {url}: the bucket does not answer; the service's log says why"
        ) from error


def push(
    url: str, folder: Path, names: Sequence[str], last: str, check: Callable[[], None]
) -> None:
    """Copy files of a folder to below a URL; what is there under their names is replaced.

    Args:
        url: checked before.
        folder: of the files.
        names: of the files, with slashes.
        last: the name of the file that comes last, so that whoever sees it finds the others.
        check: is called after every chunk; what it raises ends the copy.

    Raises:
        PushFailed: the bucket refuses them, or does not answer.
    """
    try:
        bucket = connect(url)
        for name in sorted(names, key=lambda name: (name == last, name)):
            with (
                (folder / name).open("rb") as file,
                obstore.open_writer(
                    bucket, name, buffer_size=PART_BYTES, max_concurrency=PARTS_UNDER_WAY
                ) as target,
            ):
                while chunk := file.read(CHUNK_BYTES):
                    target.write(chunk)
                    check()
    except (BaseError, OSError) as error:
        log.warning("a bucket does not take an artifact", push=url, fault=_first(error))
        raise PushFailed(
            f"push {url}: {_reason(error)}; the service's log has the details"
        ) from error


def _reason(error: BaseException) -> str:
    match error:
        case FileNotFoundError():
            return "there is no such bucket"
        case PermissionError():
            return "it refuses"
        case _:
            return "it does not answer"


def _first(error: BaseException) -> str:
    """What matters of obstore's many lines."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
