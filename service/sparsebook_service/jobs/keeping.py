"""What of a job that has ended is kept until it is deleted."""

from typing import Any

from sparsebook_service.jobs import keys, sizes
from sparsebook_service.jobs.table import JobRow
from sparsebook_service.storage import Storage


def keeps_upload(row: JobRow) -> bool:
    """Whether the upload of a job that failed stays, however it failed.

    Where data came with the model, the two are the work of hours, and the training that went before may have been:
    nothing of that is thrown away for a fault that shows at the very end.
    """
    return bool(row.upload["data"])


def keep_after_failure(storage: Storage, row: JobRow, *, output: bool) -> None:
    """Remove what is not kept of a job that failed; `output` says whether it has something to show."""
    upload = keeps_upload(row)
    if not upload and not output:
        storage.remove(keys.job(row.id))
    elif not upload:
        storage.remove(keys.inputs(row.id))
    elif not output:
        storage.remove(keys.output(row.id))


def bytes_after_failure(row: JobRow, result: dict[str, Any] | None) -> int:
    """How much is kept of a job that failed, with what it has reached, if anything."""
    upload = sizes.of_upload(row.upload) if keeps_upload(row) else 0
    return upload + (0 if result is None else sizes.of_output(result))


def keep_after_success(storage: Storage, row: JobRow) -> None:
    """Remove the upload: the artifact has taken its place."""
    storage.remove(keys.inputs(row.id))
