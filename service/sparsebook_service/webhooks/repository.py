"""The webhooks' table: what is still to be delivered, when, and what came of every attempt.

Whether a job has ended, its own table says; so nothing can be lost between the end of a job and the order to tell of it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa

from sparsebook_service.database import make_tables, writing
from sparsebook_service.jobs.schemas import FINAL
from sparsebook_service.webhooks.sender import Outcome

Delivery: TypeAlias = Literal["pending", "delivered", "failed"]

_METADATA = sa.MetaData()
_WEBHOOKS = sa.Table(
    "webhooks",
    _METADATA,
    sa.Column("job_id", sa.String, primary_key=True),
    sa.Column("url", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("next_at", sa.Float, nullable=False),
    sa.Column("attempts", sa.JSON, nullable=False),
)
_JOBS = sa.table("jobs", sa.column("id"), sa.column("state"))


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook as the table has it; `next_at` is seconds since 1970, `attempts` are the outcomes so far."""

    job_id: str
    url: str
    state: Delivery
    next_at: float
    attempts: list[dict[str, Any]]


class WebhookRepository:
    """Reads and writes webhooks. Every method is one transaction; writing raises StorageFull where the disk is."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        make_tables(engine, _METADATA)

    def noting(self, job_id: str, url: str) -> Callable[[sa.Connection], None]:
        """Notes a webhook, in the transaction that adds its job."""
        values = {"job_id": job_id, "url": url, "state": "pending", "next_at": 0.0, "attempts": []}

        def note(connection: sa.Connection) -> None:
            connection.execute(_WEBHOOKS.insert().values(values))

        return note

    def get(self, job_id: str) -> WebhookRow | None:
        """That of a job."""
        with self._engine.connect() as connection:
            query = sa.select(_WEBHOOKS).where(_WEBHOOKS.c.job_id == job_id)
            row = connection.execute(query).one_or_none()
        return None if row is None else WebhookRow(**row._mapping)

    def forget(self, job_id: str) -> None:
        """Remove that of a job, if it has one."""
        with writing(self._engine) as connection:
            connection.execute(_WEBHOOKS.delete().where(_WEBHOOKS.c.job_id == job_id))

    def due(self, limit: int) -> list[WebhookRow]:
        """Those of jobs that have ended whose time has come, the longest overdue first."""
        ready = (_WEBHOOKS.c.state == "pending") & (_WEBHOOKS.c.next_at <= time.time())
        query = (
            sa.select(_WEBHOOKS)
            .join(_JOBS, _JOBS.c.id == _WEBHOOKS.c.job_id)
            .where(ready & _JOBS.c.state.in_(FINAL))
            .order_by(_WEBHOOKS.c.next_at)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [WebhookRow(**row._mapping) for row in connection.execute(query)]

    def claim(self, row: WebhookRow, seconds: float) -> bool:
        """Take one for so long; False where somebody else has taken it. If this process dies, its time comes again after that."""
        unchanged = (_WEBHOOKS.c.job_id == row.job_id) & (_WEBHOOKS.c.next_at == row.next_at)
        values = {"next_at": time.time() + seconds}
        return self._update(unchanged & (_WEBHOOKS.c.state == "pending"), values)

    def settle(self, row: WebhookRow, outcome: Outcome, state: Delivery, next_at: float) -> None:
        """Note what came of an attempt, and what is to be done next."""
        plain = {name: value for name, value in asdict(outcome).items() if name != "lasting"}
        attempts: Sequence[dict[str, Any]] = [*row.attempts, plain]
        values = {"state": state, "next_at": next_at, "attempts": attempts}
        self._update(_WEBHOOKS.c.job_id == row.job_id, values)

    def _update(self, condition: sa.ColumnElement[bool], values: dict[str, Any]) -> bool:
        with writing(self._engine) as connection:
            found = connection.execute(_WEBHOOKS.update().where(condition).values(values))
            return found.rowcount > 0
