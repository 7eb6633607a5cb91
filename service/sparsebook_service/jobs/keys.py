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
    """Everything that was uploaded; gone when the job has ended."""
    return f"{JOBS}/{job_id}/input"


def model(job_id: str, name: str) -> str:
    """The model or, beside it, a file of its external data."""
    return f"{inputs(job_id)}/model/{name}"


def data(job_id: str) -> str:
    """The .npz file."""
    return f"{inputs(job_id)}/data.npz"


def artifact(job_id: str, name: str) -> str:
    """A file of the bundle."""
    return f"{JOBS}/{job_id}/artifact/{name}"


def bundle(job_id: str) -> str:
    """The bundle as one .zip."""
    return f"{JOBS}/{job_id}/bundle.zip"
