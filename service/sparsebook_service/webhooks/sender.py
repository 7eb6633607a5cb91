"""One delivery: a signed POST, and what came of it."""

import asyncio
import json
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpcore
from standardwebhooks import Webhook

from sparsebook_service.jobs.schemas import Job
from sparsebook_service.version import VERSION
from sparsebook_service.webhooks.guard import Forbidden, GuardedBackend, Network
from sparsebook_service.webhooks.names import Names

# Enough of an answer to let the connection end well; what it says is of no interest.
MOST_ANSWER_BYTES = 64 * 1024
GONE = 410


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        at: when it was made, seconds since 1970.
        seconds: how long it took.
        status: of the answer; None where none came.
        error: why it is no success; None where it is.
        lasting: whether another attempt would be in vain.
    """

    at: float
    seconds: float
    status: int | None
    error: str | None
    lasting: bool = False


class Sender:
    """Posts the end of jobs, signed after Standard Webhooks. Redirects are answers like others: they are not followed."""

    def __init__(self, secret: str, allowed: Sequence[Network], timeout: float) -> None:
        """Args: timeout: seconds for an attempt from the look-up of the name to the end of the answer."""
        self._signer = Webhook(secret)
        self._allowed = allowed
        self._names = Names()
        self.timeout = timeout

    async def send(self, url: str, job: Job, owner: str) -> Outcome:
        """Try once; `owner` is whom the webhook belongs to."""
        at, started = time.time(), time.monotonic()
        answered: list[int] = []
        error, lasting = None, False
        try:
            async with asyncio.timeout(self.timeout):
                await self._post(url, job, owner, datetime.fromtimestamp(int(at), UTC), answered)
        except Forbidden as forbidden:
            error, lasting = str(forbidden), True
        except TimeoutError:
            error = f"no answer within {self.timeout:g} seconds"
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as broken:
            error = f"no answer: {str(broken) or type(broken).__name__}"
        except (ssl.SSLError, OSError) as broken:
            error = f"no connection: {broken}"
        status = answered[0] if answered else None
        if status is not None:  # it stands, whatever becomes of the body behind it
            success, lasting = 200 <= status < 300, status == GONE
            error = None if success else f"answered with status {status}"
        return Outcome(at, round(time.monotonic() - started, 3), status, error, lasting)

    async def _post(
        self, url: str, job: Job, owner: str, at: datetime, answered: list[int]
    ) -> None:
        """Post it; `answered` gets the status as soon as it is there."""
        body = message(job)
        identity = f"msg_{job.id}"
        headers: dict[bytes | str, bytes | str] = {
            "content-type": "application/json",
            "user-agent": f"Sparsebook/{VERSION}",
            "webhook-id": identity,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._signer.sign(identity, at, body),
        }
        backend = GuardedBackend(self._allowed, self._names, owner)
        async with httpcore.AsyncConnectionPool(network_backend=backend) as pool:
            content = body.encode()
            async with pool.stream(
                "POST", url, headers=[*headers.items()], content=content
            ) as answer:
                answered.append(answer.status)
                left = MOST_ANSWER_BYTES
                async for chunk in answer.aiter_stream():
                    left -= len(chunk)
                    if left <= 0:
                        break


def message(job: Job) -> str:
    """The body: the same at every attempt."""
    assert job.times.finished is not None
    data = job.model_dump(mode="json")
    kind, at = f"job.{job.state}", data["times"]["finished"]
    return json.dumps({"type": kind, "timestamp": at, "data": data})
