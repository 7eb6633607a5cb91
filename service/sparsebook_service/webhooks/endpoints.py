"""The log of a job's webhook: `GET /jobs/{id}/webhook`."""

from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from sparsebook_service.access.guard import Reader
from sparsebook_service.contract import refusals
from sparsebook_service.errors import NotFound
from sparsebook_service.services import ServicesDep

router = APIRouter(tags=["jobs"])


class Attempt(BaseModel):
    """One attempt to deliver."""

    at: datetime = Field(examples=["2026-01-05T09:30:04.120000Z"])
    seconds: float = Field(description="How long it took", examples=[0.182])
    status: int | None = Field(description="Of the answer; null where none came", examples=[204])
    error: str | None = Field(
        description="Why it is no success; null where it is", examples=["answered with status 503"]
    )


class WebhookLog(BaseModel):
    """What was told to the address that came with the job."""

    url: str = Field(examples=["https://ci.example.org/hooks/sparsebook"])
    state: Literal["waiting", "pending", "delivered", "failed"] = Field(
        description="waiting: for the end of the job; pending: there will be an attempt; failed: there will be none"
    )
    next: datetime | None = Field(
        description="When the next attempt is due", examples=["2026-01-05T09:35:04.120000Z"]
    )
    attempts: list[Attempt]


@router.get(
    "/jobs/{job_id}/webhook",
    summary="The log of a job's webhook",
    responses=refusals("unknown-job", "not-found"),
)
def get_webhook(job_id: str, services: ServicesDep, caller: Reader) -> WebhookLog:
    """Whether the end of the job was delivered, and what came of every attempt."""
    job = services.jobs.get(job_id, caller)
    row = services.webhooks.get(job_id)
    if row is None:
        raise NotFound("the job came without a webhook")
    pending = row.state == "pending" and job.final
    state = row.state if job.final else "waiting"
    attempts = [{**each, "at": datetime.fromtimestamp(each["at"], UTC)} for each in row.attempts]
    return WebhookLog(
        url=row.url,
        state=state,
        next=datetime.fromtimestamp(row.next_at, UTC) if pending else None,
        attempts=[Attempt.model_validate(each) for each in attempts],
    )
