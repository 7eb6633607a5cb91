"""Who asks, and what he may."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from sparsebook_compressor.errors import BadValue

Scope: TypeAlias = Literal["submit", "read", "metrics", "admin"]
"""`submit`: send, cancel and delete; `read`: look at jobs and download; each for the key's own jobs alone.
`metrics`: /metrics. `admin`: all of it, for everybody's jobs."""
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Quota:
    """What a caller may have; None is no limit.

    Attributes:
        jobs_at_once: queued and running.
        stored_bytes: of what is kept for its jobs, uploads and artifacts.
        jobs_a_day: accepted between midnight and midnight, UTC.
    """

    jobs_at_once: int | None = None
    stored_bytes: int | None = None
    jobs_a_day: int | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        key_id: of the API key, which owns the jobs that are sent with it; None where no keys are asked for.
        scopes: what the key is good for.
        quota: what it may have.
        digest: of the key as it came; None where none are asked for.
    """

    key_id: str | None
    scopes: frozenset[Scope]
    quota: Quota = Quota()
    digest: str | None = field(default=None, repr=False)

    @property
    def sees_all(self) -> bool:
        """Whether everybody's jobs are his."""
        return "admin" in self.scopes

    def may(self, scope: Scope) -> bool:
        """Whether he may do what asks for the scope."""
        return self.sees_all or scope in self.scopes

    def sees(self, owner: str | None) -> bool:
        """Whether the jobs of a key are his; jobs without an owner are the admins'."""
        return self.sees_all or (owner is not None and owner == self.key_id)


ANYBODY = Caller(None, frozenset({"admin"}))
"""Who asks where no keys are asked for."""


def parse_scopes(text: str) -> tuple[Scope, ...]:
    """The scopes of a list with commas, without repetitions.

    Raises:
        BadValue: one that does not exist, or none.

    >>> parse_scopes("read, submit")
    ('submit', 'read')
    """
    named = {part.strip() for part in text.split(",") if part.strip()}
    unknown = sorted(named - set(SCOPES))
    if unknown or not named:
        found = repr(unknown[0]) if unknown else "nothing"
        raise BadValue(f"--scope: found {found}; the scopes are {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in named)
