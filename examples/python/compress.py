"""Compresses a model on a service and says what came of it.

    python compress.py http://127.0.0.1:8080 model.onnx bundle [preset]

An API key comes from SPARSEBOOK_API_KEY, where the service asks for one. What the service refuses, and a job that fails, ends
with the problem on standard error.
"""

import os
import sys
from pathlib import Path

from sparsebook_compressor import Config, Report
from sparsebook_service.client import Client, ServiceProblem
from sparsebook_service.jobs.schemas import Job


def main(url: str, model: str, bundle: str, preset: str = "safe") -> None:
    """Send the model, follow its job, download the bundle."""
    with Client(url, api_key=os.environ.get("SPARSEBOOK_API_KEY")) as client:
        try:
            job = client.compress(Path(model), config=Config.parse({"preset": preset}))
            job = client.wait(job.id, on_change=show)
        except ServiceProblem as problem:
            sys.exit(str(problem))
        client.download(job, Path(bundle))
        report = Report.from_json(client.report(job.id))
    print(
        f"{report.input.bytes} -> {report.artifact.bytes} bytes, {report.ratio:.1f} times smaller"
    )


def show(job: Job) -> None:
    """Say how far the job is."""
    print(job.state, job.stage or "", f"{job.progress:.0%}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
