"""Numbers for Prometheus."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.report import Report
from sparsebook_service.finetune.repository import TrainingState
from sparsebook_service.jobs.schemas import State


class _ByState(Collector):
    """Counts the rows of a table whenever somebody looks."""

    def __init__(
        self, name: str, what: str, states: Iterable[str], count: Callable[[], Mapping[Any, int]]
    ) -> None:
        self._name = name
        self._what = what
        self._states = tuple(states)
        self._count = count

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._what, labels=["state"])
        counts = self._count()
        for state in self._states:
            family.add_metric([state], counts.get(state, 0))
        yield family


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self, count_by_state: Callable[[], Mapping[State, int]] | None) -> None:
        """Without `count_by_state` it is about what this process does alone: hosts that share jobs would each count all of them."""
        self.registry = CollectorRegistry()
        if count_by_state is not None:
            self.registry.register(
                _ByState("sparsebook_jobs", "Jobs by state", get_args(State), count_by_state)
            )
        self._bytes_in = Counter(
            "sparsebook_input_bytes", "Bytes of models accepted", registry=self.registry
        )
        self._bytes_out = Counter(
            "sparsebook_artifact_bytes", "Bytes of artifacts made", registry=self.registry
        )
        self._stage_seconds = Histogram(
            "sparsebook_stage_seconds",
            "Seconds that a stage of a job took",
            ["stage"],
            buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800),
            registry=self.registry,
        )
        self._ratio = Histogram(
            "sparsebook_ratio",
            "Bytes of the input / bytes of the artifact",
            buckets=(1, 2, 4, 6, 8, 10, 15, 20, 30, 40, 50, 75, 100),
            registry=self.registry,
        )

    def count_listeners(self, count: Callable[[], int]) -> None:
        """Show how many clients follow events of jobs, whenever somebody looks."""
        what = "Clients that follow the events of a job"
        gauge = Gauge("sparsebook_event_listeners", what, registry=self.registry)
        gauge.set_function(count)

    def count_trainings(self, count: Callable[[], Mapping[TrainingState, int]]) -> None:
        """Show how many trainings wait for a worker and how many run, whenever somebody looks."""
        states = ("queued", "running")
        self.registry.register(
            _ByState("sparsebook_trainings", "Trainings by state", states, count)
        )

    def job_accepted(self, input_bytes: int) -> None:
        """Count a new job."""
        self._bytes_in.inc(input_bytes)

    def artifact_made(self, report: Report) -> None:
        """Count what a job has made."""
        self._bytes_out.inc(report.artifact.bytes)
        self._ratio.observe(report.ratio)
        for stage in report.stages:
            self._stage_seconds.labels(stage.stage).observe(stage.seconds)


@contextmanager
def shown(registry: CollectorRegistry, host: str, port: int | None) -> Iterator[str | None]:
    """Show the metrics of a process that serves nothing else, while the block runs.

    Args:
        registry: of the process.
        host: the address to listen on.
        port: 0 takes a free one; None shows them nowhere.

    Yields:
        Where they are.

    Raises:
        BadValue: the address cannot be listened on.
    """
    if port is None:
        yield None
        return
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise BadValue(
            f"metrics cannot be shown at {host}:{port}: {error.strerror or error}; choose another SPARSEBOOK_WORKER_METRICS_PORT"
        ) from error
    try:
        shown_at = f"[{host}]" if ":" in host else host
        yield f"http://{shown_at}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
