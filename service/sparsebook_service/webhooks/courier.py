"""Delivers what is due, while the service runs. What a process that dies has under way is delivered again: at least once."""

import asyncio
import concurrent.futures
import contextlib
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import structlog

from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.views import to_job
from sparsebook_service.webhooks.repository import Delivery, WebhookRepository, WebhookRow
from sparsebook_service.webhooks.sender import Outcome, Sender

LOOK_SECONDS = 0.5
MOST_AT_ONCE = 16
# Of one owner's, so that an address which lets everybody wait does not hold up those of others.
MOST_OF_OWNER = 4
# Due ones that are looked at together, and how long those wait whose owner has his places taken.
LOOK_AT = 64
PUT_OFF_SECONDS = 5.0
# A claim outlives the attempt by this much, for the write that ends it.
MARGIN_SECONDS = 5.0
# Pauses are up to a tenth longer, so that what failed together does not come again together.
JITTER = 0.1

log = structlog.get_logger(__name__)


class Courier:
    """Looks for due webhooks again and again, on the service's loop."""

    def __init__(
        self,
        webhooks: WebhookRepository,
        jobs: Repository,
        sender: Sender | None,
        pauses: Sequence[float],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Start.

        Args:
            webhooks: what is to be delivered.
            jobs: what of.
            sender: delivers; None where there is no secret to sign with, and what is due waits for a start with one.
            pauses: seconds between the attempts; there is one attempt more than pauses.
            loop: of the service.
        """
        self._webhooks = webhooks
        self._jobs = jobs
        self._pauses = pauses
        self._running: concurrent.futures.Future[None] | None = None
        if sender is not None:
            self._running = asyncio.run_coroutine_threadsafe(self._run(sender), loop)

    def close(self) -> None:
        """Stop; what is under way is cut, and delivered again after the next start. Not from the loop."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(concurrent.futures.CancelledError):
                self._running.result()

    async def _run(self, sender: Sender) -> None:
        under_way: dict[str, str] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    chosen = await asyncio.to_thread(self._choose, dict(under_way))
                except Exception:
                    log.exception("a look for due webhooks failed; it is tried again")
                    chosen = []
                for row, owner in chosen:
                    under_way[row.job_id] = owner
                    tasks.create_task(self._deliver(sender, row, owner, under_way))
                await asyncio.sleep(LOOK_SECONDS)

    def _choose(self, under_way: Mapping[str, str]) -> list[tuple[WebhookRow, str]]:
        """What is due and has a place, with whom it belongs to; `under_way` is what has one."""
        found = self._webhooks.due(LOOK_AT)
        taken = Counter(under_way.values())
        chosen = []
        for row in found:
            if row.job_id in under_way:
                continue
            owner = self._owner(row)
            if taken.total() < MOST_AT_ONCE and taken[owner] < MOST_OF_OWNER:
                taken[owner] += 1
                chosen.append((row, owner))
            elif len(found) == LOOK_AT and taken[owner] >= MOST_OF_OWNER:
                # Or what one has waiting would hide what others have.
                self._webhooks.claim(row, PUT_OFF_SECONDS)
        return chosen

    def _owner(self, row: WebhookRow) -> str:
        """The API key that has sent the job; where no keys are asked for, the host that the webhook goes to."""
        job = self._jobs.get(row.job_id)
        if job is not None and job.owner is not None:
            return job.owner
        return urlsplit(row.url).hostname or ""

    async def _deliver(
        self, sender: Sender, row: WebhookRow, owner: str, under_way: dict[str, str]
    ) -> None:
        try:
            lease = sender.timeout + MARGIN_SECONDS
            if await asyncio.to_thread(self._webhooks.claim, row, lease):
                await self._try(sender, row, owner)
        except Exception:  # a full disk, say: the claim runs out, and it is tried again
            log.exception("a webhook could not be delivered; it is tried again", job=row.job_id)
        finally:
            del under_way[row.job_id]

    async def _try(self, sender: Sender, row: WebhookRow, owner: str) -> None:
        job = await asyncio.to_thread(self._jobs.get, row.job_id)
        if job is None:
            return
        outcome = await sender.send(row.url, to_job(job), owner)
        state, next_at = self._next(row, outcome)
        await asyncio.to_thread(self._webhooks.settle, row, outcome, state, next_at)
        attempt = len(row.attempts) + 1
        told = log.info if state == "delivered" else log.warning
        told(f"webhook {state}", job=row.job_id, attempt=attempt, error=outcome.error)

    def _next(self, row: WebhookRow, outcome: Outcome) -> tuple[Delivery, float]:
        now = time.time()
        if outcome.error is None:
            return "delivered", now
        if outcome.lasting or len(row.attempts) >= len(self._pauses):
            return "failed", now
        pause = self._pauses[len(row.attempts)]
        return "pending", now + pause * (1 + JITTER * random.random())  # noqa: S311 - no secret
