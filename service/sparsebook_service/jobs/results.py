"""From a report to the result that a job shows."""

from collections.abc import Iterable
from urllib.parse import quote

from sparsebook_compressor.report import Report
from sparsebook_service.jobs.protocol import MadeFile
from sparsebook_service.jobs.schemas import Metrics, Result, ResultFile, TestMetric


def artifact_href(job_id: str, name: str) -> str:
    """The address of a file of a job's bundle."""
    return f"/jobs/{job_id}/artifact/{quote(name)}"


def summarise(job_id: str, report: Report, files: Iterable[MadeFile]) -> Result:
    """The result of a job, from its report and the files of its bundle."""
    return Result(
        bytes=report.artifact.bytes,
        ratio=report.ratio,
        metrics=_worst(report).model_copy(update={"trained": _trained(report)}),
        files=[
            ResultFile(
                name=file.name,
                bytes=file.bytes,
                sha256=file.sha256,
                href=artifact_href(job_id, file.name),
            )
            for file in files
        ],
    )


def _worst(report: Report) -> Metrics:
    fidelity = report.fidelity
    if not fidelity.outputs:
        return Metrics()
    agreements = [out.agreement for out in fidelity.outputs if out.agreement is not None]
    return Metrics(
        inputs=fidelity.inputs,
        samples=fidelity.samples,
        max_error=max(out.max_error for out in fidelity.outputs),
        relative_error=max(out.relative_error for out in fidelity.outputs),
        cosine=min(out.cosine for out in fidelity.outputs),
        agreement=min(agreements, default=None),
        latency_ms=None if fidelity.latency is None else fidelity.latency.median_ms,
    )


def _trained(report: Report) -> TestMetric | None:
    found, calibrated = report.training, report.calibration
    if calibrated is not None and calibrated.before is not None and calibrated.after is not None:
        drop = calibrated.before - calibrated.after
        return TestMetric(
            name=calibrated.metric, before=calibrated.before, after=calibrated.after, drop=drop
        )
    if found is None:
        return None
    return TestMetric(
        name=found.metric,
        before=found.metric_before,
        after=found.metric_after,
        drop=found.stages[-1].drop,
    )
