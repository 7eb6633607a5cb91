"""Takes the body of an upload into the storage as it arrives: once, hashed on the way, in flat memory.

Nothing is parsed here but HTTP. The caller removes the job's folder when anything is raised.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import NotOnnx, StorageFull, TooLarge
from sparsebook_service import buckets
from sparsebook_service.errors import DigestMismatch, UnknownUpload, UnsupportedMediaType
from sparsebook_service.intake import multipart
from sparsebook_service.intake.form import MAX_CONFIG_BYTES, Form
from sparsebook_service.intake.headers import announced_bytes, refuse_encoded
from sparsebook_service.intake.parts import Part, Upload
from sparsebook_service.jobs import keys
from sparsebook_service.names import model_name
from sparsebook_service.resumable.store import Finished
from sparsebook_service.settings import Settings
from sparsebook_service.slow import arriving
from sparsebook_service.storage import Storage

# Room for the headers of a form's parts.
FORM_BYTES = 8 << 20
# A writer is called, and a hash computed, for so many bytes at a time.
PIECE_BYTES = 256 << 10
# The free room is looked at again after so many bytes.
ROOM_CHECK_BYTES = 64 << 20
RAW_TYPES = frozenset(
    {"", "application/octet-stream", "application/zip", "application/x-zip-compressed"}
)
"""Media types of a raw body. A missing Content-Type says nothing, so the body is taken as it is."""


class Receiver:
    """Receives one request's body as the input of a job."""

    def __init__(
        self,
        storage: Storage,
        settings: Settings,
        job_id: str,
        request: Request,
        room: Callable[[int], None],
        origin: Finished | str | None = None,
    ) -> None:
        """`room` raises where so many bytes are too many; it blocks. `origin` is where the model is that does not come with the request: an earlier upload, or the URL of a bucket."""
        self._room = room
        self._origin = origin
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
            SlowBody: it is there, but nothing comes.
        """
        content_type = self._request.headers.get("content-type", "")
        kind = content_type.split(";", 1)[0].strip().lower()
        refuse_encoded(self._request)
        config = None if config_text is None else Config.parse_json(config_text)
        before = await self._from_elsewhere(name)
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
        """The body in pieces of a quarter of a megabyte, counted and hashed."""
        pending = bytearray()
        async for chunk in self._counted(self._arriving(), most):
            pending += chunk
            if len(pending) >= PIECE_BYTES:
                self._digest.update(pending)
                yield bytes(pending)
                pending.clear()
        if pending:
            self._digest.update(pending)
            yield bytes(pending)

    def _arriving(self) -> AsyncGenerator[bytes]:
        return arriving(self._request, self._settings.body_idle_seconds)

    async def _counted(self, chunks: AsyncIterator[bytes], most: int) -> AsyncGenerator[bytes]:
        """What arrives, as long as there is room for it."""
        total, checked = 0, 0
        async for chunk in chunks:
            total += len(chunk)
            if total > most:
                raise TooLarge(f"the upload is larger than {most} bytes")
            if total - checked >= ROOM_CHECK_BYTES:
                checked = total
                self._check_room(0)
                await run_in_threadpool(self._room, total)
            yield chunk

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

    async def _from_elsewhere(self, name: str | None) -> Part | None:
        match self._origin:
            case None:
                return None
            case str(url):
                return await self._fetched(url, name)
            case finished:
                return await self._taken(finished, name)

    async def _fetched(self, url: str, name: str | None) -> Part:
        """A model in a bucket, as this job's."""
        most = self._settings.max_upload_bytes
        chosen = model_name(name or buckets.split(url)[1])
        key = keys.model(self._job_id, chosen)
        digest = hashlib.sha256()
        async with (
            aclosing(self._counted(buckets.read(url), most)) as chunks,
            self._storage.writer(key) as writer,
        ):
            size = 0
            async for chunk in chunks:
                digest.update(chunk)
                await writer.write(chunk)
                size += len(chunk)
        return Part(name=chosen, key=key, bytes=size, sha256=digest.hexdigest())

    async def _taken(self, finished: Finished, name: str | None) -> Part:
        """A model that was uploaded before, as this job's; its bytes are hashed, and stay where they are for other jobs."""
        chosen = model_name(name or finished.name or "model.onnx")
        key = keys.model(self._job_id, chosen)

        def take() -> Part:
            self._storage.take(key, finished.path)
            with finished.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                return Part(name=chosen, key=key, bytes=file.tell(), sha256=digest)

        part = await asyncio.to_thread(take)
        if part.bytes != finished.bytes:
            raise UnknownUpload(
                f"the upload has {part.bytes} bytes and was announced with {finished.bytes}: delete it and send it again"
            )
        return part

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
        form = Form(self._storage, settings, self._job_id, name, config, before)
        async for part in multipart.parts(content_type, self._body(most)):
            await form.take(part)
        return form.upload(), form.config
