"""Takes the body of an upload into the storage as it arrives: once, hashed on the way, in flat memory.

Nothing is parsed here but HTTP. The caller removes the job's folder when anything is raised.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any

from starlette.requests import Request

from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue, NotOnnx, StorageFull, TooLarge
from sparsebook_service import multipart
from sparsebook_service.errors import DigestMismatch, UnsupportedMediaType
from sparsebook_service.jobs import keys
from sparsebook_service.names import Tree, model_name
from sparsebook_service.settings import Settings
from sparsebook_service.storage import CHUNK_BYTES, Storage

MAX_CONFIG_BYTES = 1 << 20
MAX_EXTERNAL_FILES = 10_000
# The free room is looked at again after so many bytes.
ROOM_CHECK_BYTES = 64 << 20
RAW_TYPES = frozenset(
    {"", "application/octet-stream", "application/zip", "application/x-zip-compressed"}
)
"""Media types of a raw body. A missing Content-Type says nothing, so the body is taken as it is."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file that was uploaded; `key` is where it lies."""

    name: str
    key: str
    bytes: int
    sha256: str


@dataclass(slots=True)
class Upload:
    """A whole upload."""

    model: Part
    data: Part | None = None
    external: list[Part] = field(default_factory=list)

    @property
    def input_bytes(self) -> int:
        """Bytes of the model with its external data."""
        return self.model.bytes + sum(part.bytes for part in self.external)

    def fingerprint(self, config: Config) -> str:
        """A digest of what is asked for: the same for the same files and config, however they were sent."""
        content: dict[str, Any] = {
            "config": config.as_given(),
            "model": [self.model.name, self.model.sha256],
            "data": self.data.sha256 if self.data else None,
            "external": sorted([part.name, part.sha256] for part in self.external),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)


class Receiver:
    """Receives one request's body as the input of a job."""

    def __init__(self, storage: Storage, settings: Settings, job_id: str, request: Request) -> None:
        self._storage = storage
        self._settings = settings
        self._job_id = job_id
        self._request = request
        self._digest = hashlib.sha256()

    async def receive(
        self, config_text: str | None, name: str | None, announced: bytes | None
    ) -> tuple[Upload, Config]:
        """Read the body to its end.

        Args:
            config_text: the config of the query, JSON.
            name: the model's file name of the query.
            announced: the sha-256 of the body that the client has announced.

        Raises:
            InputError: the request is refused; the class says why.
            StorageFull: there is no room.
            ClientDisconnect: the client went away.
        """
        content_type = self._request.headers.get("content-type", "")
        kind = content_type.split(";", 1)[0].strip().lower()
        config = None if config_text is None else Config.parse_json(config_text)
        self._refuse_by_length()
        if kind == "multipart/form-data":
            upload, config = await self._form(content_type, config, name)
        elif kind in RAW_TYPES:
            default = "model.zip" if "zip" in kind else "model.onnx"
            upload = Upload(await self._raw(model_name(name or default)))
        else:
            raise UnsupportedMediaType(
                f"the Content-Type is {kind[:80]!r}: send the model as application/octet-stream "
                "(curl: -H 'Content-Type: application/octet-stream') or as multipart/form-data"
            )
        if announced is not None and announced != self._digest.digest():
            raise DigestMismatch(
                f"Content-Digest announces sha-256 {announced.hex()}, "
                f"the body has {self._digest.hexdigest()}"
            )
        if upload.model.bytes == 0:
            raise NotOnnx(f"{upload.model.name}: the file is empty")
        return upload, config or Config()

    # ------------------------------------------------------------------------------------------- the body

    def _refuse_by_length(self) -> None:
        """Refuse by the announced length what would be refused while it arrives."""
        length = self._request.headers.get("content-length", "0")
        announced = int(length) if length.isdecimal() else 0
        if announced > self._settings.max_upload_bytes:
            raise self._too_large()
        self._check_room(announced)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the upload is larger than {self._settings.max_upload_bytes} bytes")

    def _check_room(self, wanted: int) -> None:
        if self._storage.free_bytes() - wanted < self._settings.min_free_bytes:
            raise StorageFull("no room left on the disk for the upload; nothing of it was kept")

    async def _body(self) -> AsyncIterator[bytes]:
        """The body in pieces of about a megabyte, counted and hashed."""
        total, checked = 0, 0
        pending = bytearray()
        async for chunk in self._request.stream():
            total += len(chunk)
            if total > self._settings.max_upload_bytes:
                raise self._too_large()
            if total - checked >= ROOM_CHECK_BYTES:
                checked = total
                self._check_room(0)
            pending += chunk
            if len(pending) >= CHUNK_BYTES:
                self._digest.update(pending)
                yield bytes(pending)
                pending.clear()
        if pending:
            self._digest.update(pending)
            yield bytes(pending)

    async def _raw(self, name: str) -> Part:
        key = keys.model(self._job_id, name)
        size = 0
        async with self._storage.writer(key) as writer:
            async for chunk in self._body():
                size += len(chunk)
                await writer.write(chunk)
        return Part(name=name, key=key, bytes=size, sha256=self._digest.hexdigest())

    # ------------------------------------------------------------------------------------------- the form

    async def _form(
        self, content_type: str, config: Config | None, name: str | None
    ) -> tuple[Upload, Config | None]:
        model: Part | None = None
        data: Part | None = None
        external: list[Part] = []
        tree = Tree()
        async for part in multipart.parts(content_type, self._body()):
            if part.name == "config":
                if config is not None:
                    raise BadValue("config is given twice: send it once, as a part or as ?config=")
                config = Config.parse_json(await part.read(MAX_CONFIG_BYTES))
            elif part.name == "model":
                if model is not None:
                    raise BadValue("the part 'model' is given twice: one job compresses one model")
                chosen = model_name(name or part.filename or "model.onnx")
                tree.add(chosen)
                model = await self._store(part, chosen, keys.model(self._job_id, chosen))
            elif part.name == "data":
                if data is not None:
                    raise BadValue("the part 'data' is given twice: put all arrays into one .npz")
                data = await self._store(part, "data.npz", keys.data(self._job_id))
            elif part.name == "external":
                if len(external) == MAX_EXTERNAL_FILES:
                    raise TooLarge(f"more than {MAX_EXTERNAL_FILES} files of external data")
                chosen = part.filename or ""
                tree.add(chosen)
                external.append(await self._store(part, chosen, keys.model(self._job_id, chosen)))
            else:
                raise BadValue(
                    f"unknown part {part.name[:80]!r}: the parts are model, data, config and external"
                )
        if model is None:
            raise BadValue("the part 'model' is missing: send the .onnx file under this name")
        return Upload(model=model, data=data, external=external), config

    async def _store(self, part: multipart.FormPart, name: str, key: str) -> Part:
        digest = hashlib.sha256()
        size = 0
        async with self._storage.writer(key) as writer:
            async for chunk in part.chunks():
                digest.update(chunk)
                size += len(chunk)
                await writer.write(chunk)
        return Part(name=name, key=key, bytes=size, sha256=digest.hexdigest())


_DIGEST = re.compile(r"\s*([a-z0-9*_.-]+)\s*=\s*:([A-Za-z0-9+/=]*):\s*")


def announced_digest(header: str | None) -> bytes | None:
    """The sha-256 of a Content-Digest header (RFC 9530); None where there is none. Other algorithms are left aside.

    Raises:
        BadValue: the header cannot be read.
    """
    if header is None:
        return None
    found: bytes | None = None
    for member in header.split(","):
        match = _DIGEST.fullmatch(member)
        if match is None:
            raise BadValue("Content-Digest: cannot be read; the form is sha-256=:<base64>:")
        if match[1] == "sha-256":
            try:
                found = base64.b64decode(match[2], validate=True)
            except binascii.Error as error:
                raise BadValue(f"Content-Digest: {error}") from error
    return found


_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def idempotency_key(header: str | None) -> str | None:
    """The key of an Idempotency-Key header, quoted or bare.

    Raises:
        BadValue: empty, too long, or with other than printable ASCII characters.
    """
    if header is None:
        return None
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not _KEY.fullmatch(key):
        raise BadValue("Idempotency-Key: 1 to 255 printable ASCII characters without spaces")
    return key
