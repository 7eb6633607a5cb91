"""The metrics of a process that serves nothing else."""

import httpx
import pytest

from sparsebook_compressor.errors import BadValue
from sparsebook_service.finetune import problems
from sparsebook_service.finetune.metrics import TrainingMetrics
from sparsebook_service.metrics import Metrics, shown


def test_a_worker_shows_what_it_counts() -> None:
    metrics = Metrics(None)
    with shown(metrics.registry, "127.0.0.1", 0) as at:
        assert at is not None
        metrics.job_accepted(1234)
        found = httpx.get(at)
        assert "sparsebook_input_bytes_total 1234.0" in found.text
        assert "sparsebook_jobs{" not in found.text
        port = httpx.URL(at).port
        with (
            pytest.raises(BadValue, match="SPARSEBOOK_WORKER_METRICS_PORT"),
            shown(metrics.registry, "127.0.0.1", port),
        ):
            pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(at)


def test_nothing_is_shown_unless_asked_for() -> None:
    with shown(Metrics(None).registry, "127.0.0.1", None) as at:
        assert at is None


def test_runs_of_trainings_are_counted_by_how_they_end() -> None:
    metrics = TrainingMetrics()

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    assert value("sparsebook_trainings_ended_total", how="succeeded") == 0
    with metrics.training() as run:
        assert value("sparsebook_trainings_running") == 1
        run.ending = "succeeded"
    with pytest.raises(KeyboardInterrupt), metrics.training():
        raise KeyboardInterrupt
    assert value("sparsebook_trainings_running") == 0
    assert value("sparsebook_trainings_ended_total", how="succeeded") == 1
    assert value("sparsebook_trainings_ended_total", how="interrupted") == 1
    assert value("sparsebook_training_seconds_count") == 2
    metrics.trainer_died(problems.MEMORY)
    metrics.trainer_died(problems.death(1, "a traceback"))
    metrics.trainer_died(problems.death(-11, ""))
    assert value("sparsebook_trainer_deaths_total", cause="memory") == 1
    assert value("sparsebook_trainer_deaths_total", cause="other") == 2
