"""Uploads on their way, in a folder beside the storage, and what is known of them, in a table of their own: both of this host alone.

The `resumable-upload` package has the protocol. A piece is written first and counted afterwards, so that after a crash the count is true.
"""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resumable_upload.locks import InMemoryLockBackend
from resumable_upload.server import TusServer
from resumable_upload.storage import SQLiteStorage

from sparsebook_compressor.errors import StorageFull, TooLarge
from sparsebook_service.access.caller import Caller
from sparsebook_service.errors import UnknownUpload
from sparsebook_service.resumable.owners import Owners
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage, full_disk_named

PATH = "/uploads"
FOLDER = "uploads"
# A piece is held in memory before it is written.
MOST_PIECE_BYTES = 8 << 20
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
        self._server = TusServer(
            storage=self._kept,
            base_path=PATH,
            max_size=settings.max_upload_bytes,
            max_chunk_size=MOST_PIECE_BYTES,
            upload_expiry=settings.upload_expiry_seconds,
            checksum_algorithms=("sha1", "sha256"),
            lock_backend=InMemoryLockBackend(),
            disable_concatenation=True,
        )
        self._server.SUPPORTED_EXTENSIONS = EXTENSIONS
        self._swept = 0.0

    async def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Answer a request of the protocol, whose body is at most `MOST_PIECE_BYTES`.

        Raises:
            StorageFull: the disk has no room.
        """
        given = {name: value for name, value in headers.items() if name != "x-http-method-override"}
        with full_disk_named("the upload"):
            status, found, content = await self._server.handle_request_async(
                method, path, given, body
            )
        assert isinstance(content, bytes)
        return Answer(status, found, content.decode())

    def begun(self, location: str, caller: Caller) -> None:
        """Note whose the upload is that lies at an address."""
        self._owners.note(location.rsplit("/", 1)[-1], caller)

    def check_owner(self, upload_id: str, caller: Caller) -> None:
        """Refuse an upload of somebody else.

        Raises:
            UnknownUpload: it is not the caller's.
        """
        self._owners.check(upload_id, caller)

    def check_room(self, length: int) -> None:
        """Refuse an upload of so many bytes that would not find room beside those that are under way.

        Raises:
            TooLarge: more than one upload may have.
            StorageFull: the disk has not so much room, or unfinished uploads have been promised it.
        """
        settings = self._settings
        if length > settings.max_upload_bytes:
            raise TooLarge(f"the upload is larger than {settings.max_upload_bytes} bytes")
        promised = self._promised()
        if promised + length > settings.max_pending_bytes:
            raise StorageFull(
                f"uploads that wait for their job have {promised} bytes, of {settings.max_pending_bytes} at most; "
                "use them, delete them, or wait until they expire"
            )
        if self._storage.free_bytes() - length < settings.min_free_bytes:
            raise StorageFull("no room left on the disk for the upload")

    def _promised(self) -> int:
        # The package has no call for it.
        with contextlib.closing(sqlite3.connect(self._kept.db_path, timeout=30)) as connection:
            (promised,) = connection.execute("SELECT SUM(upload_length) FROM uploads").fetchone()
        return int(promised or 0)

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
        """Remove what has expired, and files that nobody knows. Call it now and then."""
        if time.monotonic() - self._swept < SWEEP_SECONDS:
            return
        self._swept = time.monotonic()
        self._kept.cleanup_expired_uploads()
        self._owners.sweep()
        for file in self._folder.iterdir():
            old = time.time() - file.stat().st_mtime > SWEEP_SECONDS
            if old and self._kept.get_upload(file.name) is None:
                file.unlink(missing_ok=True)
