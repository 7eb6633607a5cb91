"""What a job is accepted on."""

from dataclasses import dataclass

from sparsebook_service.access.caller import Caller


@dataclass(frozen=True, slots=True)
class Terms:
    """Whose a job is, and what goes with it that changes nothing of its result.

    Attributes:
        caller: who sends it, and owns the job.
        deadline: seconds from now within which it must have ended.
        fresh: compute it even if the same was asked for before.
        webhook: where to tell of the job's end.
        push: where in a bucket the bundle's files go before the job has succeeded.
    """

    caller: Caller
    deadline: float | None = None
    fresh: bool = False
    webhook: str | None = None
    push: str | None = None

    def told(self, fingerprint: str) -> str:
        """The fingerprint of the whole request: of what is asked for, and of where its end and its result go."""
        return " ".join((fingerprint, *filter(None, (self.webhook, self.push))))
