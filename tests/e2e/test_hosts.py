"""Many hosts on one Postgres and one bucket: work is shared, and what a dead host had goes on elsewhere."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from benchmarks.postgres import Postgres, postgres
from benchmarks.s3 import S3, s3
from sparsebook_service.jobs.nursery import NAME
from tests.e2e import models
from tests.e2e.calls import BYTES, PAPER, assert_problem, submit, wait, wait_until_busy
from tests.e2e.servers import COMMAND, Server
from tests.e2e.test_training import QUICK, SHORT, ask, finish, until_training

LOST_SECONDS = 5
# What a dead host had must go on within a minute.
SECONDS = 300  # a machine may be busy with other tests


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="module")
def bucket() -> Iterator[S3]:
    with s3() as server:
        yield server


class Host:
    """A machine of its own: another data folder, another name, and a worker in it."""

    def __init__(self, folder: Path, environment: dict[str, str], queue: str = "compress") -> None:
        self.data_dir = folder / "data"
        self._log = folder / "log"
        folder.mkdir()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [COMMAND, "worker", "--queue", queue, "--data-dir", str(self.data_dir)],
                stderr=log,
                env={**os.environ, **environment, "SPARSEBOOK_LOG_FORMAT": "json"},
            )
        until(
            lambda: self.process.poll() is not None or "worker ready" in self._log.read_text(),
            "the worker starts",
        )
        assert self.process.poll() is None, self._log.read_text()

    def ready(self) -> dict[str, Any]:
        """What it has logged of itself when it was."""
        lines = map(json.loads, self._log.read_text().splitlines())
        return next(line for line in lines if line["event"].endswith("worker ready"))

    def jobs(self) -> list[psutil.Process]:
        """The processes of jobs that run here."""
        return self._running(NAME)

    def trainers(self) -> list[psutil.Process]:
        """The trainer programs that run here."""
        return self._running("sparsebook_training")

    def _running(self, module: str) -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ends while it is looked at
                if module in (child.name(), *child.cmdline()):
                    found.append(child)
        return found

    def kill(self) -> None:
        """The machine is gone, with all that ran on it."""
        jobs = [*self.jobs(), *self.trainers()]
        self.process.kill()  # first: it must not see its jobs die
        for process in jobs:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


class Cluster:
    """Hosts that share a fresh database and a fresh bucket."""

    def __init__(self, folder: Path, database: Postgres, bucket: S3) -> None:
        self._folder = folder
        self.url = database.database()
        self.environment = {
            "SPARSEBOOK_DATABASE_URL": self.url,
            "SPARSEBOOK_STORAGE": f"s3://{bucket.bucket()}/some/where",
            "SPARSEBOOK_HOST_LOST_SECONDS": str(LOST_SECONDS),
            **bucket.environment,
        }
        self._hosts: list[Host] = []
        self._servers: list[Server] = []

    def api(self, **settings: int) -> Server:
        """A host that answers HTTP and runs no job."""
        folder = self._folder / f"api-{len(self._servers)}"
        folder.mkdir()
        server = Server(folder, **{"serve_jobs": 0, **settings})
        server.environment.update(self.environment)
        self._servers.append(server)
        return server.start()

    def host(self, queue: str = "compress", **environment: str) -> Host:
        folder = self._folder / f"host-{len(self._hosts)}"
        self._hosts.append(Host(folder, {**self.environment, **environment}, queue))
        return self._hosts[-1]

    def busy(self, http: httpx.Client) -> tuple[str, Host, Host]:
        """A job that works on a weight, the host that has it, and another that has nothing to do."""
        hosts = [self.host(), self.host()]
        taken = submit(http, models.slow(), params=PAPER)["id"]
        wait_until_busy(http, taken)
        (holder,) = [host for host in hosts if host.jobs()]
        (other,) = [host for host in hosts if host is not holder]
        return taken, holder, other

    def end_hosts(self) -> None:
        for host in self._hosts:
            host.stop()

    def close(self) -> None:
        self.end_hosts()
        for server in self._servers:
            server.stop()


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, database: Postgres, bucket: S3
) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"), database, bucket)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def cluster(shared: Cluster) -> Iterator[Cluster]:
    """Without a host that works: those of a test end with it."""
    try:
        yield shared
    finally:
        shared.end_hosts()


@pytest.fixture(scope="module")
def api(shared: Cluster) -> Server:
    """The one host that answers for all, whichever work."""
    return shared.api()


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory, database: Postgres, bucket: S3
) -> Iterator[tuple[Cluster, Server]]:
    """A cluster of a database and a bucket of its own, and the one host in it, which answers and works."""
    made = Cluster(tmp_path_factory.mktemp("alone"), database, bucket)
    try:
        yield made, made.api(serve_jobs=1)
    finally:
        made.close()


def files(job: dict[str, Any]) -> dict[str, str]:
    return {file["name"]: file["sha256"] for file in job["result"]["files"]}


def test_hosts_share_jobs_and_any_api_answers_for_them(cluster: Cluster, api: Server) -> None:
    first, second = api, cluster.api()
    with first.client() as one, second.client() as other:
        accepted = submit(one, BYTES, params={"name": "tiny.onnx"})
        assert other.get(f"/jobs/{accepted['id']}").json()["state"] == "queued"
        host = cluster.host(SPARSEBOOK_WORKER_METRICS_PORT="0")
        job = wait(other, accepted["id"])
        assert job["state"] == "succeeded", job
        # What is counted where a job runs is shown there.
        counted = httpx.get(host.ready()["metrics"]).text
        assert f"sparsebook_artifact_bytes_total {float(job['result']['bytes'])}" in counted
        assert 'sparsebook_stage_seconds_count{stage="pack"} 1.0' in counted
        assert "sparsebook_jobs{" not in counted  # each API host shows all of them
        for http in (one, other):
            found = http.get(f"/jobs/{job['id']}/artifact/model.onnx")
            assert found.status_code == 200
            assert found.headers["repr-digest"]
            part = http.get(f"/jobs/{job['id']}/artifact", headers={"Range": "bytes=10-19"})
            assert (part.status_code, len(part.content)) == (206, 10)
            assert http.get(f"/jobs/{job['id']}/report").status_code == 200
            assert http.get("/readyz").status_code == 200
        assert one.delete(f"/jobs/{job['id']}").status_code == 204
        assert other.get(f"/jobs/{job['id']}").status_code == 404
    # Nothing of a job lies in the folder of a host that answers for it.
    assert first.files() == second.files() == set()


def test_what_a_dead_host_had_goes_on_elsewhere(cluster: Cluster, api: Server) -> None:
    with api.client() as http:
        taken, dying, surviving = cluster.busy(http)
        dying.kill()
        until(surviving.jobs, "the other host takes the job over")
        job = wait(http, taken)
        assert job["state"] == "succeeded", job
        undisturbed = wait(http, submit(http, models.slow(), params=PAPER)["id"])
        assert files(job)["model.onnx"] == files(undisturbed)["model.onnx"]
        assert http.get(f"/jobs/{taken}/artifact/model.onnx").status_code == 200
        assert surviving.stop() == 0


def test_a_host_that_was_only_silent_harms_nothing(cluster: Cluster, api: Server) -> None:
    with api.client() as http:
        taken, silent, other = cluster.busy(http)
        silent.process.send_signal(signal.SIGSTOP)
        until(other.jobs, "the other host takes the job over")
        silent.process.send_signal(signal.SIGCONT)
        until(lambda: not silent.jobs(), "the first one hears that it has lost the job")
        job = wait(http, taken)
        assert job["state"] == "succeeded", job
        for file in job["result"]["files"]:
            assert http.get(file["href"]).status_code == 200
        assert silent.stop() == 0


def test_a_stopped_host_hands_its_job_over_and_cancel_reaches_any_host(
    cluster: Cluster, api: Server
) -> None:
    with api.client() as http:
        taken, leaving, staying = cluster.busy(http)
        assert leaving.stop() == 0
        until(staying.jobs, "the other host takes the job over")
        assert http.post(f"/jobs/{taken}/cancel").json()["state"] == "cancelled"
        until(lambda: not staying.jobs(), "the job stops there")


def test_a_training_goes_on_where_another_host_has_died(cluster: Cluster, api: Server) -> None:
    training = {
        **SHORT,
        "train": {"epochs": 60, **QUICK},
    }  # many seconds, so that it is met in its middle
    with api.client() as http:
        cluster.host()
        trainers = [cluster.host("finetune", SPARSEBOOK_WORKER_METRICS_PORT="0") for _ in range(2)]
        job = ask(http, training, samples=4000)
        until_training(http, job, epoch=2)
        (dying,) = [host for host in trainers if host.trainers()]
        (surviving,) = [host for host in trainers if host is not dying]
        dying.kill()
        until(surviving.trainers, "the other host goes on with the training")
        ended = finish(http, job)
        assert ended["state"] == "succeeded", ended
        shown = surviving.ready()["metrics"]
        until(
            lambda: "sparsebook_trainings_running 0.0" in httpx.get(shown).text,
            "no training runs any more",
        )
        runs = float(surviving._log.read_text().count('"training ended"'))
        counted = httpx.get(shown).text
        assert runs >= 1
        assert f'sparsebook_trainings_ended_total{{how="succeeded"}} {runs}' in counted
        assert f"sparsebook_training_seconds_count {runs}" in counted
        undisturbed = finish(http, ask(http, training, samples=4000))
        assert files(ended)["model.onnx"] == files(undisturbed)["model.onnx"]


def test_a_job_is_taken_only_where_it_fits(cluster: Cluster, api: Server) -> None:
    with api.client() as http:
        small = cluster.host(SPARSEBOOK_MEMORY_BYTES=str(1 << 20))
        large = cluster.host(SPARSEBOOK_MEMORY_BYTES=str(1 << 40))
        jobs = [submit(http, BYTES, params={"name": f"{n}.onnx"})["id"] for n in range(3)]
        assert {wait(http, job)["state"] for job in jobs} == {"succeeded"}
        assert "job started" not in small._log.read_text()
        assert large._log.read_text().count('"job started"') == 3
        # Where it fits nowhere, the roomiest of those that are there takes it, alone.
        assert large.stop() == 0
        assert wait(http, submit(http, BYTES)["id"])["state"] == "succeeded"
        assert '"job started"' in small._log.read_text()


def test_a_restarted_database_costs_no_job(
    cluster: Cluster, api: Server, database: Postgres
) -> None:
    with api.client() as http:
        cluster.host()
        taken = submit(http, models.slow(), params=PAPER)["id"]
        wait_until_busy(http, taken)
        database.stop()
        time.sleep(1)
        database.start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if http.get(f"/jobs/{taken}").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        assert wait(http, taken)["state"] == "succeeded"


def test_what_no_text_of_postgres_holds_is_no_fault(alone: tuple[Cluster, Server]) -> None:
    _, server = alone
    model = models.mlp(300, 2000, 64)
    model.graph.initializer[0].name = model.graph.node[0].input[1] = "w\0w"
    with server.client() as http:
        for path in ("", "/artifact", "/report", "/webhook", "/events"):
            assert_problem(http.get(f"/jobs/%00{path}"), 404, "unknown-job")
        assert_problem(http.delete("/jobs/%00"), 404, "unknown-job")
        assert_problem(http.post("/jobs/%00/cancel"), 404, "unknown-job")
        # 999999999999999999: beyond what a row's number can be
        page = http.get("/jobs", params={"cursor": "OTk5OTk5OTk5OTk5OTk5OTk5"})
        assert_problem(page, 400, "bad-value")
        assert_problem(http.get("/jobs", params={"search": "\0"}), 400, "bad-value")
        job = wait(http, submit(http, model.SerializeToString(), params=PAPER)["id"])
        assert job["state"] == "succeeded", job
    assert not [line for line in server.log() if line["level"] == "error"]


def test_all_tables_are_in_postgres_and_nothing_in_sqlite(
    alone: tuple[Cluster, Server],
) -> None:
    cluster, server = alone
    with server.client() as http:
        assert wait(http, submit(http, BYTES)["id"])["state"] == "succeeded"
    assert not (server.data_dir / "sparsebook.sqlite").exists()
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables"
        ).fetchall()
        ours = {"public.jobs", "public.trainings", "public.tickets", "public.executors"}
        assert {*ours, "dbos.workflow_status"} <= {row[0] for row in found}
        # A ticket goes when the run has ended, a moment after the job.
        left = "SELECT count(*) FROM tickets"
        until(lambda: connection.execute(left).fetchone() == (0,), "no ticket is left")
    assert server.stop() == 0


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    ended = subprocess.run(
        [COMMAND, "worker", "--queue", "compress", "--data-dir", str(tmp_path / "data")],
        env={**os.environ, "SPARSEBOOK_DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/no"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 2
    assert "SPARSEBOOK_DATABASE_URL: postgresql+psycopg://me:***@127.0.0.1:1/no" in ended.stderr
