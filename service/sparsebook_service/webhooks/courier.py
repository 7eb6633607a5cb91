"""Delivers what is due, while the service runs. What a process that dies has under way is delivered again: at least once."""

import asyncio
import concurrent.futures
import contextlib
import random
import time
from collections.abc import Sequence

import structlog

from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.views import to_job
from sparsebook_service.webhooks.repository import Delivery, WebhookRepository, WebhookRow
from sparsebook_service.webhooks.sender import Outcome, Sender

LOOK_SECONDS = 0.5
MOST_AT_ONCE = 16
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
        under_way: set[str] = set()
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    found = await asyncio.to_thread(self._webhooks.due, MOST_AT_ONCE)
                except Exception:
                    log.exception("a look for due webhooks failed; it is tried again")
                    found = []
                for row in found:
                    if row.job_id not in under_way and len(under_way) < MOST_AT_ONCE:
                        under_way.add(row.job_id)
                        tasks.create_task(self._deliver(sender, row, under_way))
                await asyncio.sleep(LOOK_SECONDS)

    async def _deliver(self, sender: Sender, row: WebhookRow, under_way: set[str]) -> None:
        try:
            lease = sender.timeout + MARGIN_SECONDS
            if await asyncio.to_thread(self._webhooks.claim, row, lease):
                await self._try(sender, row)
        except Exception:  # a full disk, say: the claim runs out, and it is tried again
            log.exception("a webhook could not be delivered; it is tried again", job=row.job_id)
        finally:
            under_way.discard(row.job_id)

    async def _try(self, sender: Sender, row: WebhookRow) -> None:
        job = await asyncio.to_thread(self._jobs.get, row.job_id)
        if job is None:
            return
        outcome = await sender.send(row.url, to_job(job))
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
