"""What is done with API keys: making them, ending them, and knowing who asks by them. Methods block."""

import contextlib
import time
from collections.abc import Callable

from sparsebook_compressor.errors import BadValue, StorageFull
from sparsebook_service.access import tokens
from sparsebook_service.access.caller import Caller, Quota, Scope
from sparsebook_service.access.rates import Rates
from sparsebook_service.access.repository import DAY_SECONDS, KeyRepository, KeyRow
from sparsebook_service.errors import Forbidden, Unauthorized
from sparsebook_service.pace import paced

MAX_NAME = 100
# How exactly `used` is known: a write for every request would cost more than the request.
USE_SECONDS = 60.0


class Keys:
    """The keys of a service, as its operator sees them."""

    def __init__(self, repository: KeyRepository) -> None:
        self._repository = repository

    def create(
        self,
        name: str,
        scopes: tuple[Scope, ...],
        quota: Quota,
        *,
        requests_a_minute: int | None,
        days: float | None,
    ) -> tuple[KeyRow, str]:
        """Make a key.

        Args:
            name: for people; no two active keys have the same.
            scopes: what it is good for.
            quota: what it may have.
            requests_a_minute: how often it may ask; None is no limit.
            days: it ends after so many; None is never.

        Returns:
            What is kept, and the key itself, which nobody can read again.

        Raises:
            BadValue: the name is empty, too long, not printable, or another key's.
        """
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise BadValue(f"--name: 1 to {MAX_NAME} printable characters")
        key_id = tokens.new_id()
        token = tokens.mint(key_id)
        row = self._repository.add(
            key_id,
            name=name,
            digest=tokens.digest(token),
            scopes=scopes,
            quota=quota,
            requests_a_minute=requests_a_minute,
            expires=None if days is None else time.time() + days * DAY_SECONDS,
        )
        return row, token

    def list(self) -> list[KeyRow]:
        """Every key that there is or was, oldest first."""
        return self._repository.all()

    def revoke(self, which: str) -> KeyRow:
        """End a key for good, from its next request on; its jobs stay.

        Raises:
            BadValue: there is no such key, or it was revoked before.
        """
        row = self._find(which)
        if not self._repository.revoke(row.id):
            raise BadValue(f"the key {row.id} ({row.name}) was revoked already")
        return row

    def rotate(self, which: str) -> tuple[KeyRow, str]:
        """Give a key another secret: the old one ends at once, jobs, scopes and limits stay.

        Raises:
            BadValue: there is no such key, or it was revoked.
        """
        row = self._find(which)
        token = tokens.mint(row.id)
        if not self._repository.replace(row.id, tokens.digest(token)):
            raise BadValue(f"the key {row.id} ({row.name}) was revoked; create another")
        return row, token

    def _find(self, which: str) -> KeyRow:
        """A key by its id, or an active one by its name."""
        now = time.time()
        for row in self._repository.all():
            if row.id == which or (row.name == which and row.state(now) == "active"):
                return row
        raise BadValue(f"no key {which!r}; `sparsebook keys list` shows them")


class Doorkeeper:
    """Knows who asks by the key that comes with a request."""

    def __init__(self, repository: KeyRepository) -> None:
        self._repository = repository
        self._rates = Rates()
        self._notes: dict[str, Callable[[], None]] = {}

    def knows_anybody(self) -> bool:
        """Whether any key is active."""
        now = time.time()
        return any(row.state(now) == "active" for row in self._repository.all())

    def admit(self, token: str | None, scope: Scope) -> Caller:
        """Let a request in.

        Args:
            token: the key; None where none came.
            scope: what the request asks for.

        Raises:
            Unauthorized: no key, or none that is active.
            RateLimited: it asks too often.
            Forbidden: the key is not good for this.
        """
        row = self._known(token)
        if row.requests_a_minute is not None:
            self._rates.count(row.id, row.requests_a_minute)
        self._note_use(row.id)
        caller = Caller(row.id, frozenset(row.scopes), row.quota, row.digest)
        if not caller.may(scope):
            has = ", ".join(row.scopes)
            raise Forbidden(
                f"the key {row.id} ({row.name}) has {has}; this needs {scope}", scope=scope
            )
        return caller

    def look_again(self, caller: Caller) -> None:
        """Refuse a caller whose key has ended since his request was let in: a request may last for hours.

        Raises:
            Unauthorized: the key was revoked, was given another secret, or has expired.
        """
        if caller.key_id is None:
            return
        row = self._repository.get(caller.key_id)
        if row is None or row.digest != caller.digest:
            raise Unauthorized("the key has another secret by now", sent=True)
        self._require_active(row)

    def _known(self, token: str | None) -> KeyRow:
        if token is None:
            raise Unauthorized("this service asks for an API key: send Authorization: Bearer …")
        key_id = tokens.id_of(token)
        row = None if key_id is None else self._repository.get(key_id)
        if row is None or not tokens.fits(token, row.digest):
            raise Unauthorized("this is not an API key of this service", sent=True)
        self._require_active(row)
        return row

    @staticmethod
    def _require_active(row: KeyRow) -> None:
        state = row.state(time.time())
        if state != "active":
            raise Unauthorized(f"the key {row.id} ({row.name}) is {state}", sent=True)

    def _note_use(self, key_id: str) -> None:
        note = self._notes.get(key_id)
        if note is None:
            note = paced(lambda: self._repository.note_use(key_id), USE_SECONDS)
            self._notes[key_id] = note
        with contextlib.suppress(StorageFull):  # a full disk must not keep anybody from reading
            note()
