"""The room that uploads have been promised: all together, each API key its share, and on the disk what is still to come."""

import contextlib
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator

from sparsebook_compressor.errors import StorageFull, TooLarge
from sparsebook_service.access.caller import Caller
from sparsebook_service.errors import UploadsFull
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage

_REMEDY = "delete uploads that are not needed, or wait until they expire"


class Promises:
    """What the table of uploads adds up to, and those that are being begun and do not stand there yet."""

    def __init__(self, settings: Settings, storage: Storage, database: str) -> None:
        self._settings = settings
        self._storage = storage
        self._database = database
        self._beginning: Counter[str | None] = Counter()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def promised(self, caller: Caller, length: int) -> Iterator[None]:
        """Keep so many bytes for an upload while the block runs, at whose end it stands in the table.

        Raises:
            TooLarge: more than one upload may have.
            UploadsFull: others have been promised what it would need.
            StorageFull: the disk has not so much room.
        """
        most = self._settings.max_upload_bytes
        if length > most:
            raise TooLarge(f"the upload is larger than {most} bytes")
        with self._lock:
            self._check(caller, length)
            self._beginning[caller.key_id] += length
        try:
            yield
        finally:
            with self._lock:
                self._beginning[caller.key_id] -= length

    def _check(self, caller: Caller, length: int) -> None:
        settings = self._settings
        everybody, own, coming = self._known(caller)
        beginning = self._beginning.total()
        everybody, coming = everybody + beginning, coming + beginning
        own += self._beginning[caller.key_id]
        share = max(
            int(settings.pending_share * settings.max_pending_bytes), settings.max_upload_bytes
        )
        if caller.key_id is not None and own + length > share:
            raise UploadsFull(
                f"uploads of the key {caller.key_id} that wait for their job have {own} bytes, of {share} at most; {_REMEDY}"
            )
        if everybody + length > settings.max_pending_bytes:
            raise UploadsFull(
                f"uploads that wait for their job have {everybody} bytes, of {settings.max_pending_bytes} at most; {_REMEDY}"
            )
        if self._storage.free_bytes() - coming - length < settings.min_free_bytes:
            raise StorageFull("no room left on the disk for the upload")

    def _known(self, caller: Caller) -> tuple[int, int, int]:
        """Bytes of all uploads, of the caller's, and those of all that have not come yet."""
        # The package has no call for it.
        query = (
            "SELECT TOTAL(upload_length), TOTAL(CASE WHEN owner IS ? THEN upload_length END), "
            "TOTAL(upload_length - offset) FROM uploads LEFT JOIN upload_owners USING (upload_id)"
        )
        with contextlib.closing(sqlite3.connect(self._database, timeout=30)) as connection:
            everybody, own, coming = connection.execute(query, (caller.key_id,)).fetchone()
        return int(everybody), int(own), int(coming)
