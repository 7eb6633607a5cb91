"""From a row of the table to the job that callers see."""

from datetime import UTC, datetime

from sparsebook_service.jobs.schemas import InputFile, Job, Result, Times, Training
from sparsebook_service.jobs.table import JobRow
from sparsebook_service.schemas import Problem


def to_job(row: JobRow) -> Job:
    """The job as HTTP shows it."""
    model, external = row.upload["model"], row.upload["external"]
    return Job(
        id=row.id,
        state=row.state,
        stage=row.stage,
        weight=row.weight,
        progress=row.progress,
        training=None if row.training is None else Training.model_validate(row.training),
        waiting=row.waiting,
        cached_from=row.cached_from,
        owner=row.owner,
        deadline=None if row.deadline is None else _time(row.deadline),
        push=row.push,
        times=Times(
            created=_time(row.created),
            started=None if row.started is None else _time(row.started),
            finished=None if row.finished is None else _time(row.finished),
        ),
        config=row.config,
        input=InputFile(
            name=model["name"],
            bytes=model["bytes"] + sum(part["bytes"] for part in external),
            sha256=model["sha256"],
        ),
        result=None if row.result is None else Result.model_validate(row.result["result"]),
        error=None if row.error is None else Problem.model_validate(row.error),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
