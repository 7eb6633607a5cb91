"""What of a job that has ended is kept until it is deleted."""

from sparsebook_compressor.progress import Stage
from sparsebook_service.jobs import keys
from sparsebook_service.storage import Storage

_IN_TRAINING = frozenset({"not-trainable", "diverged", "budget-not-met"})
_STAGES: frozenset[Stage | None] = frozenset({"retrain", "tune"})


def keeps_upload(slug: str, stage: Stage | None) -> bool:
    """Whether the upload of a job that failed stays: where it failed in training, nothing is thrown away.

    Args:
        slug: of the problem that it failed with.
        stage: that it was in.
    """
    return slug in _IN_TRAINING or (stage in _STAGES and slug != "storage-full")


def keep_only(storage: Storage, job_id: str, *, upload: bool, output: bool) -> None:
    """Remove the rest of a job's files."""
    if not upload and not output:
        storage.remove(keys.job(job_id))
    elif not upload:
        storage.remove(keys.inputs(job_id))
    elif not output:
        storage.remove(keys.output(job_id))
