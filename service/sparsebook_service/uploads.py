"""Takes the body of an upload into the storage as it arrives: once, hashed on the way, in flat memory.

Nothing is parsed here but HTTP. The caller removes the job's folder when anything is raised.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from sparsebook_compressor.config import Config
from sparsebook_compressor.demands import require_data, require_operators
from sparsebook_compressor.errors import BadValue, NotOnnx, StorageFull, TooLarge
from sparsebook_service import multipart
from sparsebook_service.errors import DigestMismatch, UnsupportedMediaType
from sparsebook_service.jobs import keys
from sparsebook_service.names import Tree, model_name, plain_name
from sparsebook_service.resumable.store import Finished
from sparsebook_service.settings import Settings
from sparsebook_service.storage import CHUNK_BYTES, Storage

MAX_CONFIG_BYTES = 1 << 20
MAX_EXTERNAL_FILES = 10_000
# Room for the headers of a form's parts.
FORM_BYTES = 8 << 20
PARTS = ("model", "data", "config", "loss", "metric", "base", "external")
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
    data: list[Part] = field(default_factory=list)
    loss: Part | None = None
    metric: Part | None = None
    external: list[Part] = field(default_factory=list)
    base: Part | None = None

    @property
    def input_bytes(self) -> int:
        """Bytes of the model with its external data."""
        return self.model.bytes + sum(part.bytes for part in self.external)

    def fingerprint(self, config: Config) -> str:
        """A digest of what is asked for: the same for the same files and config, however they were sent."""
        content: dict[str, Any] = {
            "config": config.as_given(),
            "model": [self.model.name, self.model.sha256],
            "data": [part.sha256 for part in self.data],
            "loss": self.loss.sha256 if self.loss else None,
            "metric": self.metric.sha256 if self.metric else None,
            "external": sorted([part.name, part.sha256] for part in self.external),
        }
        if self.base is not None:
            content["base"] = self.base.sha256
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def check(self, config: Config) -> None:
        """Refuse what would fail before the model is opened.

        Raises:
            BadValue: the config and the parts do not go together.
        """
        data = [Path(part.name) for part in self.data]
        loss = Path(self.loss.name) if self.loss else None
        metric = Path(self.metric.name) if self.metric else None
        # A job waits for a worker as long as it takes.
        require_data(config, data, loss, metric, trains=True)
        require_operators(config, self.base is not None)

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)


class Receiver:
    """Receives one request's body as the input of a job."""

    def __init__(
        self,
        storage: Storage,
        settings: Settings,
        job_id: str,
        request: Request,
        room: Callable[[int], None],
        finished: Finished | None = None,
    ) -> None:
        """`room` raises where so many bytes are too many; it blocks. `finished` is the model, where it was uploaded before."""
        self._room = room
        self._finished = finished
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
        before = None if self._finished is None else await self._taken(self._finished, name)
        if kind == "multipart/form-data":
            upload, config = await self._form(content_type, config, name, before)
        elif before is not None:
            await self._empty()
            upload = Upload(before)
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
        config = config or Config()
        upload.check(config)
        return upload, config

    # ------------------------------------------------------------------------------------------- the body

    def _refuse_by_length(self, most: int) -> None:
        """Refuse by the announced length what would be refused while it arrives."""
        announced = announced_bytes(self._request)
        if announced > most:
            raise TooLarge(f"the upload is larger than {most} bytes")
        self._check_room(announced)

    def _check_room(self, wanted: int) -> None:
        if self._storage.free_bytes() - wanted < self._settings.min_free_bytes:
            raise StorageFull("no room left on the disk for the upload; nothing of it was kept")

    async def _body(self, most: int) -> AsyncIterator[bytes]:
        """The body in pieces of about a megabyte, counted and hashed."""
        total, checked = 0, 0
        pending = bytearray()
        async for chunk in self._request.stream():
            total += len(chunk)
            if total > most:
                raise TooLarge(f"the upload is larger than {most} bytes")
            if total - checked >= ROOM_CHECK_BYTES:
                checked = total
                self._check_room(0)
                await run_in_threadpool(self._room, total)
            pending += chunk
            if len(pending) >= CHUNK_BYTES:
                self._digest.update(pending)
                yield bytes(pending)
                pending.clear()
        if pending:
            self._digest.update(pending)
            yield bytes(pending)

    async def _raw(self, name: str) -> Part:
        most = self._settings.max_upload_bytes
        self._refuse_by_length(most)
        key = keys.model(self._job_id, name)
        size = 0
        async with self._storage.writer(key) as writer:
            async for chunk in self._body(most):
                size += len(chunk)
                await writer.write(chunk)
        return Part(name=name, key=key, bytes=size, sha256=self._digest.hexdigest())

    async def _taken(self, finished: Finished, name: str | None) -> Part:
        """A model that was uploaded before, as this job's; its bytes are hashed, and stay where they are for other jobs."""
        chosen = model_name(name or finished.name or "model.onnx")
        key = keys.model(self._job_id, chosen)

        def take() -> str:
            self._storage.take(key, finished.path)
            with finished.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        digest = await asyncio.to_thread(take)
        return Part(name=chosen, key=key, bytes=finished.bytes, sha256=digest)

    async def _empty(self) -> None:
        async for _ in self._body(0):
            pass

    # ------------------------------------------------------------------------------------------- the form

    async def _form(
        self, content_type: str, config: Config | None, name: str | None, before: Part | None
    ) -> tuple[Upload, Config | None]:
        settings = self._settings
        most = settings.max_upload_bytes + settings.max_data_bytes + 2 * settings.max_graph_bytes
        most += MAX_CONFIG_BYTES + FORM_BYTES
        self._refuse_by_length(most)
        form = _Form(self._storage, settings, self._job_id, name, config, before)
        async for part in multipart.parts(content_type, self._body(most)):
            await form.take(part)
        return form.upload(), form.config


class _Form:
    """The parts of a form, as they arrive."""

    def __init__(
        self,
        storage: Storage,
        settings: Settings,
        job_id: str,
        name: str | None,
        config: Config | None,
        before: Part | None,
    ) -> None:
        self.config = config
        self._storage = storage
        self._settings = settings
        self._job_id = job_id
        self._name = name
        self._tree = Tree()
        self._model = before
        self._graphs: dict[str, Part] = {}
        self._data: list[Part] = []
        self._external: list[Part] = []
        self._model_room = settings.max_upload_bytes
        if before is not None:
            self._tree.add(before.name)
            self._model_room -= before.bytes
        self._data_room = settings.max_data_bytes

    async def take(self, part: multipart.FormPart) -> None:
        """Store a part, or understand it.

        Raises:
            InputError: it is refused.
            StorageFull: there is no room.
        """
        match part.name:
            case "config":
                if self.config is not None:
                    raise BadValue("config is given twice: send it once, as a part or as ?config=")
                self.config = Config.parse_json(await part.read(MAX_CONFIG_BYTES))
            case "model":
                if self._model is not None:
                    raise BadValue("the part 'model' is given twice: one job compresses one model")
                self._model = await self._take_model(part)
            case "data":
                await self._take_data(part)
            case "loss" | "metric" | "base":
                await self._take_graph(part)
            case "external":
                if len(self._external) == MAX_EXTERNAL_FILES:
                    raise TooLarge(f"more than {MAX_EXTERNAL_FILES} files of external data")
                self._external.append(await self._beside_model(part, part.filename or ""))
            case _:
                raise BadValue(f"unknown part {part.name[:80]!r}: the parts are {', '.join(PARTS)}")

    def upload(self) -> Upload:
        """All that was stored.

        Raises:
            BadValue: the model is missing.
        """
        if self._model is None:
            raise BadValue("the part 'model' is missing: send the .onnx file under this name")
        return Upload(
            model=self._model,
            data=self._data,
            loss=self._graphs.get("loss"),
            metric=self._graphs.get("metric"),
            external=self._external,
            base=self._graphs.get("base"),
        )

    async def _take_model(self, part: multipart.FormPart) -> Part:
        return await self._beside_model(
            part, model_name(self._name or part.filename or "model.onnx")
        )

    async def _beside_model(self, part: multipart.FormPart, name: str) -> Part:
        self._tree.add(name)
        most = self._settings.max_upload_bytes
        refusal = f"the model and its external data are larger than {most} bytes"
        stored = await self._store(
            part, name, keys.model(self._job_id, name), self._model_room, refusal
        )
        self._model_room -= stored.bytes
        return stored

    async def _take_data(self, part: multipart.FormPart) -> None:
        number, most = len(self._data), self._settings.max_data_files
        if number == most:
            raise TooLarge(f"more than {most} parts 'data': put more samples into each")
        refusal = f"the parts 'data' are larger than {self._settings.max_data_bytes} bytes"
        name = plain_name(part.filename, "data.npz")
        key = keys.data(self._job_id, number, name)
        stored = await self._store(part, name, key, self._data_room, refusal)
        self._data_room -= stored.bytes
        self._data.append(stored)

    async def _take_graph(self, part: multipart.FormPart) -> None:
        if part.name in self._graphs:
            raise BadValue(f"the part {part.name!r} is given twice")
        settings = self._settings
        most = settings.max_upload_bytes if part.name == "base" else settings.max_graph_bytes
        refusal = f"the part {part.name!r} is larger than {most} bytes"
        name = plain_name(part.filename, f"{part.name}.onnx")
        key = keys.graph(self._job_id, part.name, name)
        self._graphs[part.name] = await self._store(part, name, key, most, refusal)

    async def _store(
        self, part: multipart.FormPart, name: str, key: str, room: int, refusal: str
    ) -> Part:
        digest = hashlib.sha256()
        size = 0
        async with self._storage.writer(key) as writer:
            async for chunk in part.chunks():
                size += len(chunk)
                if size > room:
                    raise TooLarge(refusal)
                digest.update(chunk)
                await writer.write(chunk)
        return Part(name=name, key=key, bytes=size, sha256=digest.hexdigest())


def announced_bytes(request: Request) -> int:
    """The length of the body that the client announces; 0 where it does not."""
    length = request.headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


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
