"""How a run of a job may end other than well."""

import signal
from typing import Any

import structlog

from sparsebook_service.jobs.process import JobProcess
from sparsebook_service.jobs.protocol import Order
from sparsebook_service.jobs.table import JobRow

# What the nursery's fork server reports where it was killed itself.
UNKNOWN_STATUS = 255


class NoLongerWanted(Exception):
    """The job was cancelled or deleted meanwhile."""


class Failed(Exception):
    """The job's process could not do it; `slug` is that of a problem type. `result` is what was reached."""

    def __init__(self, slug: str, detail: str, result: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.slug = slug
        self.result = result


class Killed(Exception):
    """Something outside has ended the job's process."""


def killed_for_good(row: JobRow, short_of_memory: int) -> Failed:
    """What a job fails with whose process was killed too often, so often for want of memory."""
    why = ", most likely because memory ran out" if short_of_memory else ""
    name = row.upload["model"]["name"]
    return Failed(
        "limit-exceeded", f"{name}: something ended the job's process again and again{why}"
    )


def died(process: JobProcess, order: Order) -> Exception:
    """Why a process ended without a word."""
    status = process.exit_status()
    name = order.model.name
    if status in {-signal.SIGKILL, -signal.SIGTERM, UNKNOWN_STATUS}:
        return Killed(f"status {status}")
    if status == -signal.SIGXCPU:
        how = f"needs more than {order.limits.cpu_seconds} seconds of processor time"
        return Failed("limit-exceeded", f"{name}: {how}")
    how = f"signal {-status}" if status < 0 else f"status {status}"
    log = structlog.get_logger(__name__)
    log.error("a job's process died", how=how, said=process.last_words())
    return Failed(
        "internal", f"{name}: the job's process ended with {how}; the service's log has the details"
    )
