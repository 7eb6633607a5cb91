"""Uploads on their way, in a folder beside the storage, and what is known of them, in a table of their own: both of this host alone.

The `resumable-upload` package has the protocol. A piece is written first and counted afterwards, so that after a crash the count is true.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resumable_upload.locks import InMemoryLockBackend
from resumable_upload.server import TusServer
from resumable_upload.storage import SQLiteStorage
from starlette.requests import Request

from sparsebook_service.access.caller import Caller
from sparsebook_service.errors import MalformedRequest, UnknownUpload
from sparsebook_service.resumable import pieces
from sparsebook_service.resumable.owners import Owners
from sparsebook_service.resumable.promises import Promises
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage, full_disk_named

PATH = "/uploads"
FOLDER = "uploads"
SWEEP_SECONDS = 60.0

# A client's mistake is no error of the service.
logging.getLogger("resumable_upload").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Finished:
    """An upload that is whole: its file, and the name that the client has given it, if any."""

    path: Path
    name: str | None
    bytes: int


# An upload says how long it will be, so that its room is known; and it is one file.
EXTENSIONS = ["creation", "creation-with-upload", "termination", "checksum", "expiration"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the protocol answers."""

    status: int
    headers: Mapping[str, str]
    text: str


class Uploads:
    """The uploads that are under way or wait for their job."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        """Open them; what a crash has left goes on."""
        self._settings = settings
        self._storage = storage
        self._folder = settings.data_dir / FOLDER
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._kept = SQLiteStorage(str(settings.data_dir / "uploads.sqlite"), str(self._folder))
        self._owners = Owners(self._kept.db_path)
        self._promises = Promises(settings, storage, self._kept.db_path)
        self._in_memory = asyncio.Semaphore(pieces.MOST_IN_MEMORY)
        self._opened = time.time()
        self._server = TusServer(
            storage=self._kept,
            base_path=PATH,
            max_size=settings.max_upload_bytes,
            max_chunk_size=pieces.MOST_BYTES,
            upload_expiry=settings.upload_expiry_seconds,
            checksum_algorithms=("sha1", "sha256"),
            lock_backend=InMemoryLockBackend(),
            disable_concatenation=True,
        )
        self._server.SUPPORTED_EXTENSIONS = EXTENSIONS
        self._swept = 0.0
        self._period = min(SWEEP_SECONDS, settings.upload_idle_seconds)

    async def answer(self, request: Request) -> Answer:
        """Answer a request of the protocol that has no body; one that comes all the same is not read."""
        return await self._answer(request, b"")

    async def take(self, request: Request, most: int) -> Answer:
        """Answer a request of the protocol with a piece of at most so many bytes.

        Where the connection breaks, what came of a piece without checksum is kept, so that the client goes on there.

        Raises:
            TooLarge: the piece has more.
            MalformedRequest: the connection broke, and nothing of it can be kept.
            SlowBody: nothing came for too long.
            StorageFull: the disk has no room.
        """
        with pieces.waiting_room(self._folder) as room:
            whole = await pieces.take(request, room, most, self._settings.body_idle_seconds)
            if not whole and (request.method != "PATCH" or "upload-checksum" in request.headers):
                raise MalformedRequest("the connection ended before the piece was complete")
            async with self._in_memory:
                room.seek(0)
                return await self._answer(request, room.read())

    async def _answer(self, request: Request, body: bytes) -> Answer:
        given = {
            name: value
            for name, value in request.headers.items()
            if name != "x-http-method-override"
        }
        with full_disk_named("the upload"):
            status, found, content = await self._server.handle_request_async(
                request.method, request.url.path, given, body
            )
        assert isinstance(content, bytes)
        # A name without a value in Upload-Metadata comes back with a space behind it, and no header ends in one.
        headers = {name: value.strip() for name, value in found.items()}
        return Answer(status, headers, content.decode())

    def begun(self, location: str, caller: Caller) -> None:
        """Note whose the upload is that lies at an address."""
        self._owners.note(location.rsplit("/", 1)[-1], caller)

    def check_owner(self, upload_id: str, caller: Caller) -> None:
        """Refuse an upload of somebody else.

        Raises:
            UnknownUpload: it is not the caller's.
        """
        self._owners.check(upload_id, caller)

    def promised(self, caller: Caller, length: int) -> contextlib.AbstractContextManager[None]:
        """Keep room for an upload of so many bytes while it is begun; blocks where it is entered.

        Raises:
            TooLarge: more than one upload may have.
            UploadsFull: others have been promised what it would need.
            StorageFull: the disk has not so much room.
        """
        return self._promises.promised(caller, length)

    def finished(self, upload_id: str, caller: Caller) -> Finished:
        """An upload of the caller's that is whole.

        Raises:
            UnknownUpload: he has none of this name, or it is not whole yet.
        """
        self.check_owner(upload_id, caller)
        found = self._kept.get_upload(upload_id)
        if found is None:
            raise UnknownUpload(
                f"there is no upload {upload_id[:80]!r}: it never was, or has expired"
            )
        if not found["completed"]:
            raise UnknownUpload(
                f"the upload {upload_id!r} is not whole: {found['offset']} of {found['upload_length']} bytes are there"
            )
        path = Path(self._kept.get_file_path(upload_id))
        return Finished(path, found["metadata"].get("filename"), int(found["upload_length"]))

    def sweep(self) -> None:
        """Remove what has expired or does not go on, and files that nobody knows. Call it now and then."""
        if time.monotonic() - self._swept < self._period:
            return
        self._swept = time.monotonic()
        self._kept.cleanup_expired_uploads()
        for file in self._folder.iterdir():
            self._sweep(file)
        self._owners.sweep()

    def _sweep(self, file: Path) -> None:
        try:
            written = file.stat().st_mtime
        except FileNotFoundError:  # deleted meanwhile
            return
        found = self._kept.get_upload(file.name)
        if found is None:
            if time.time() - written > SWEEP_SECONDS:
                file.unlink(missing_ok=True)
        elif not found["completed"]:
            # Nobody could go on with it while the service was down.
            idle = time.time() - max(written, self._opened)
            if idle > self._settings.upload_idle_seconds:
                self._kept.delete_upload(file.name)
