"""The tables of API keys: what each may, and how many jobs each has sent on which day."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sparsebook_compressor.errors import BadValue
from sparsebook_service.access.caller import Quota, Scope
from sparsebook_service.claim import opening
from sparsebook_service.database import insert, make_tables, open_database, writing
from sparsebook_service.settings import Settings

_METADATA = sa.MetaData()
_KEYS = sa.Table(
    "api_keys",
    _METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("jobs_at_once", sa.Integer),
    sa.Column("stored_bytes", sa.BigInteger),
    sa.Column("jobs_a_day", sa.Integer),
    sa.Column("requests_a_minute", sa.Integer),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float),
    sa.Column("revoked", sa.Float),
    sa.Column("used", sa.Float),
)
# Beside the jobs' own table, because a job that is deleted has been sent all the same.
_DAYS = sa.Table(
    "api_keys_days",
    _METADATA,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True),
    sa.Column("jobs", sa.Integer, nullable=False),
)
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as the table has it; times are seconds since 1970, None of a limit is none."""

    id: str
    name: str
    digest: str
    scopes: tuple[Scope, ...]
    jobs_at_once: int | None
    stored_bytes: int | None
    jobs_a_day: int | None
    requests_a_minute: int | None
    created: float
    expires: float | None
    revoked: float | None
    used: float | None

    @property
    def quota(self) -> Quota:
        """What it may have."""
        return Quota(self.jobs_at_once, self.stored_bytes, self.jobs_a_day)

    def state(self, now: float) -> str:
        """active, expired or revoked."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


class KeyRepository:
    """Reads and writes keys. Every method is one transaction; writing raises StorageFull where the disk is."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        make_tables(engine, _METADATA)

    def add(
        self,
        key_id: str,
        *,
        name: str,
        digest: str,
        scopes: tuple[Scope, ...],
        quota: Quota,
        requests_a_minute: int | None,
        expires: float | None,
    ) -> KeyRow:
        """Insert a key.

        Raises:
            BadValue: an active key has this name.
        """
        row = KeyRow(
            id=key_id,
            name=name,
            digest=digest,
            scopes=scopes,
            jobs_at_once=quota.jobs_at_once,
            stored_bytes=quota.stored_bytes,
            jobs_a_day=quota.jobs_a_day,
            requests_a_minute=requests_a_minute,
            created=time.time(),
            expires=expires,
            revoked=None,
            used=None,
        )
        values = {column.name: getattr(row, column.name) for column in _KEYS.columns}
        with writing(self._engine) as connection:
            # First the row, then the look at the others: SQLite begins the transaction with the first write.
            connection.execute(_KEYS.insert().values({**values, "scopes": list(scopes)}))
            same = sa.select(_KEYS).where((_KEYS.c.name == name) & (_KEYS.c.id != key_id))
            for other in map(_row, connection.execute(same)):
                if other.state(row.created) == "active":
                    raise BadValue(
                        f"the key {other.id} has the name {name!r}: choose another, or revoke that one first"
                    )
        return row

    def get(self, key_id: str) -> KeyRow | None:
        """Read one key, active or not."""
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(_KEYS).where(_KEYS.c.id == key_id)).one_or_none()
        return None if found is None else _row(found)

    def all(self) -> list[KeyRow]:
        """Every key, oldest first."""
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(_KEYS).order_by(_KEYS.c.created, _KEYS.c.id))
            return [_row(row) for row in found]

    def revoke(self, key_id: str) -> bool:
        """End a key for good; False where it has ended already."""
        return self._update((_KEYS.c.id == key_id) & _KEYS.c.revoked.is_(None), revoked=time.time())

    def replace(self, key_id: str, digest: str) -> bool:
        """Give a key another secret; False where it was revoked."""
        return self._update((_KEYS.c.id == key_id) & _KEYS.c.revoked.is_(None), digest=digest)

    def note_use(self, key_id: str) -> None:
        """Note that a key is used now."""
        self._update(_KEYS.c.id == key_id, used=time.time())

    def jobs_today(self, key_id: str) -> int:
        """How many jobs a key has sent since midnight, UTC."""
        with self._engine.connect() as connection:
            return connection.execute(_sent(key_id, today())).scalar() or 0

    def _update(self, condition: sa.ColumnElement[bool], **values: Any) -> bool:
        with writing(self._engine) as connection:
            return connection.execute(_KEYS.update().where(condition).values(values)).rowcount > 0


def count_job(connection: sa.Connection, key_id: str) -> int:
    """Count one more job of today, within the transaction that accepts it.

    The counter's row is locked until the end of the transaction, so of two that come at the same time the second one
    sees the first.

    Returns:
        How many they are now.
    """
    day = today()
    first = insert(connection, _DAYS).values(key=key_id, day=day, jobs=1)
    connection.execute(
        first.on_conflict_do_update(
            index_elements=[_DAYS.c.key, _DAYS.c.day], set_={"jobs": _DAYS.c.jobs + 1}
        )
    )
    connection.execute(_DAYS.delete().where((_DAYS.c.key == key_id) & (_DAYS.c.day < day)))
    return connection.execute(_sent(key_id, day)).scalar_one()


def today() -> int:
    """The number of the day, UTC."""
    return int(time.time() // DAY_SECONDS)


def _sent(key_id: str, day: int) -> sa.Select[int]:
    return sa.select(_DAYS.c.jobs).where((_DAYS.c.key == key_id) & (_DAYS.c.day == day))


def _row(row: sa.Row[Any]) -> KeyRow:
    return KeyRow(**{**row._mapping, "scopes": tuple(row.scopes)})


@contextmanager
def opened(settings: Settings) -> Iterator[KeyRepository]:
    """The keys of a service, running or not, for the command line."""
    with opening(settings.data_dir):
        engine = open_database(settings.database_url, settings.database_file)
        keys = KeyRepository(engine)
    try:
        yield keys
    finally:
        engine.dispose()
