"""Whose an upload is: beside the table of the protocol's package, in the same file."""

import contextlib
import sqlite3
from collections.abc import Iterator

from sparsebook_service.access.caller import Caller
from sparsebook_service.errors import UnknownUpload


class Owners:
    """The API keys that have begun uploads."""

    def __init__(self, database: str) -> None:
        self._database = database
        with self._connected() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS upload_owners (upload_id TEXT PRIMARY KEY, owner TEXT)"
            )

    def note(self, upload_id: str, caller: Caller) -> None:
        """Say who has begun an upload."""
        with self._connected() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO upload_owners VALUES (?, ?)", (upload_id, caller.key_id)
            )

    def check(self, upload_id: str, caller: Caller) -> None:
        """Refuse an upload of somebody else, as if there were none.

        Raises:
            UnknownUpload: it is not the caller's.
        """
        with self._connected() as connection:
            row = connection.execute(
                "SELECT owner FROM upload_owners WHERE upload_id = ?", (upload_id,)
            ).fetchone()
        if not caller.sees(None if row is None else row[0]):
            raise UnknownUpload(
                f"there is no upload {upload_id[:80]!r}: it never was, or has expired"
            )

    def sweep(self) -> None:
        """Forget those of uploads that are gone."""
        with self._connected() as connection:
            connection.execute(
                "DELETE FROM upload_owners WHERE upload_id NOT IN (SELECT upload_id FROM uploads)"
            )

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with (
            contextlib.closing(sqlite3.connect(self._database, timeout=30)) as connection,
            connection,
        ):
            yield connection
