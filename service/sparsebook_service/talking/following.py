"""Following a job by its events, over as many connections as it takes."""

from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import ServerSentEvent
from pydantic import ValidationError

from sparsebook_service import problems
from sparsebook_service.jobs.schemas import Job
from sparsebook_service.talking.faults import Refused, ServiceProblem, Unreachable

# The service lets itself be heard every fifteen seconds; a connection that is silent for three of them is lost.
SILENCE = httpx.Timeout(45, connect=10)
DEFAULT_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job, as docs/http.md lists it.

    Attributes:
        kind: started, stage, point, waiting, progress or end.
        id: its number; None for progress.
        data: as JSON has it; of `end`, the job.
    """

    kind: str
    id: str | None
    data: dict[str, Any]

    def applied_to(self, job: Job) -> Job:
        """The job as it is after this event."""
        if self.kind == "end":
            return Job.model_validate(self.data)
        if self.kind == "progress":
            return Job.model_validate({**job.model_dump(), **self.data})
        return job


class Following:
    """Knows what has been heard, and what to ask for when the connection breaks."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._last: str | None = None
        self.ended = False
        self.pause = DEFAULT_PAUSE_SECONDS

    def request(self) -> dict[str, Any]:
        """What asks for all that has not been heard."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._last is not None:
            headers["Last-Event-ID"] = self._last
        path = f"/jobs/{self._job_id}/events"
        return {"method": "GET", "url": path, "headers": headers, "timeout": SILENCE}

    def begin(self, answer: httpx.Response) -> None:
        """Begin to listen.

        Raises:
            Refused: the answer is an error.
            Unreachable: it is no stream of events.
        """
        if answer.is_error:
            raise Refused(answer)
        kind = answer.headers.get("content-type", "")
        if not kind.startswith("text/event-stream"):
            raise Unreachable(f"{answer.url} is not a Sparsebook service of this version")

    def take(self, heard: ServerSentEvent) -> Event | None:
        """The event, if it is one.

        Raises:
            ServiceProblem: the job was deleted.
            Unreachable: it makes no sense.
        """
        if heard.retry is not None:
            self.pause = heard.retry / 1000
        if not heard.data:
            return None
        numbered = heard.event not in {"progress", "deleted"}
        if numbered:
            self._last = heard.id
        if heard.event == "deleted":
            detail = f"no job {self._job_id!r}: it was deleted"
            raise ServiceProblem(problems.describe("unknown-job", detail, f"/jobs/{self._job_id}"))
        self.ended = heard.event == "end"
        try:
            data = heard.json()
            event = Event(heard.event, heard.id if numbered else None, data)
            if self.ended:
                Job.model_validate(data)
        except (ValueError, ValidationError) as error:
            raise Unreachable(f"events of {self._job_id} make no sense: {error}") from error
        return event
