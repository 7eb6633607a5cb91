"""Where a job's files lie in the storage, and its address."""

JOBS = "jobs"
REPORT = "report.json"


def address(job_id: str) -> str:
    """The path of a job in the HTTP contract."""
    return f"/jobs/{job_id}"


def job(job_id: str) -> str:
    """Everything of a job."""
    return f"{JOBS}/{job_id}"


def inputs(job_id: str) -> str:
    """Everything that was uploaded; `keeping` says how long it stays."""
    return f"{JOBS}/{job_id}/input"


def model(job_id: str, name: str) -> str:
    """The model or, beside it, a file of its external data."""
    return f"{inputs(job_id)}/model/{name}"


def data(job_id: str, number: int, name: str) -> str:
    """An .npz file; they are numbered from 0 on, in the order in which they came."""
    return f"{inputs(job_id)}/data/{number}/{name}"


def graph(job_id: str, part: str, name: str) -> str:
    """The caller's own loss or metric; `part` says which."""
    return f"{inputs(job_id)}/{part}/{name}"


def output(job_id: str) -> str:
    """Everything that the job has made."""
    return f"{JOBS}/{job_id}/output"


def artifact(job_id: str, name: str) -> str:
    """A file of the bundle."""
    return f"{output(job_id)}/artifact/{name}"


def bundle(job_id: str) -> str:
    """The bundle as one .zip."""
    return f"{output(job_id)}/bundle.zip"
