"""Where a job's files lie in the storage, and its address."""

from sparsebook_service.jobs.protocol import MadeFile

JOBS = "jobs"
INPUT, OUTPUT = "input", "output"
REPORT = "report.json"
MANIFEST = "manifest.json"


def address(job_id: str) -> str:
    """The path of a job in the HTTP contract."""
    return f"/jobs/{job_id}"


def job(job_id: str) -> str:
    """Everything of a job."""
    return f"{JOBS}/{job_id}"


def inputs(job_id: str) -> str:
    """Everything that was uploaded; `keeping` says how long it stays."""
    return f"{JOBS}/{job_id}/{INPUT}"


def model(job_id: str, name: str) -> str:
    """The model or, beside it, a file of its external data."""
    return f"{inputs(job_id)}/model/{name}"


def data(job_id: str, number: int, name: str) -> str:
    """An .npz file; they are numbered from 0 on, in the order in which they came."""
    return f"{inputs(job_id)}/data/{number}/{name}"


def graph(job_id: str, part: str, name: str) -> str:
    """The caller's own loss or metric, or the last release's artifact; `part` says which."""
    return f"{inputs(job_id)}/{part}/{name}"


def output(job_id: str) -> str:
    """Everything that the job has made."""
    return f"{JOBS}/{job_id}/{OUTPUT}"


def artifact(job_id: str, file: MadeFile) -> str:
    """A file of the bundle, under its content: what another run of the job makes takes no other file's place."""
    return f"{output(job_id)}/artifact/{file.sha256}/{file.name}"


def bundle(job_id: str, file: MadeFile) -> str:
    """The bundle as one .zip, under its content."""
    return f"{output(job_id)}/{file.sha256}/bundle.zip"
