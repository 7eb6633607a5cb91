"""The metrics of a process that serves nothing else."""

import httpx
import pytest

from sparsebook_compressor.errors import BadValue
from sparsebook_service.metrics import Metrics, shown


def test_a_worker_shows_what_it_counts() -> None:
    metrics = Metrics(None)
    with shown(metrics, "127.0.0.1", 0) as at:
        assert at is not None
        metrics.job_accepted(1234)
        found = httpx.get(at)
        assert "sparsebook_input_bytes_total 1234.0" in found.text
        assert "sparsebook_jobs{" not in found.text
        port = httpx.URL(at).port
        with (
            pytest.raises(BadValue, match="SPARSEBOOK_WORKER_METRICS_PORT"),
            shown(metrics, "127.0.0.1", port),
        ):
            pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(at)


def test_nothing_is_shown_unless_asked_for() -> None:
    with shown(Metrics(None), "127.0.0.1", None) as at:
        assert at is None
