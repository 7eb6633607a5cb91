"""Jobs that fine-tune: through the service, its workers, and what becomes of them when something dies or is missing."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.e2e import models
from tests.e2e.calls import assert_problem, submit, wait
from tests.e2e.servers import Server
from tests.e2e.trainings import Worker, labelled, until

MODEL = models.mlp(20, 64, 4).SerializeToString()
QUICK = {"learning_rate": 0.01, "batch_size": 16}
SHORT = {"preset": "paper", "prune": {"rounds": 1}, "train": {"epochs": 2, **QUICK}}
LONG = {**SHORT, "train": {"epochs": 16, **QUICK}}
LONG_SAMPLES = 8000
ENDLESS = {**SHORT, "train": {"epochs": 100_000, **QUICK}}


def npz(samples: int, seed: int, labels: bool) -> bytes:
    arrays = labelled(samples, seed)
    packed = io.BytesIO()
    np.savez(packed, **(arrays if labels else {"x": arrays["x"]}))
    return packed.getvalue()


def parts(config: dict[str, Any], samples: int, labels: bool) -> dict[str, Any]:
    """The form of a job with two files of data."""
    return {
        "files": [
            ("model", ("tiny.onnx", MODEL)),
            ("data", ("a.npz", npz(samples, 1, labels))),
            ("data", ("b.npz", npz(samples, 2, labels))),
            ("config", (None, json.dumps(config), "application/json")),
        ]
    }


def ask(
    http: httpx.Client, config: dict[str, Any], samples: int = 600, *, labels: bool = True
) -> str:
    fresh = {"Cache-Control": "no-cache"}
    answer = http.post("/compress", **parts(config, samples, labels), headers=fresh)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def until_training(http: httpx.Client, job_id: str, epoch: int = 1) -> dict[str, Any]:
    """Until the job is in an epoch of a training."""
    seen: list[dict[str, Any]] = []

    def trains() -> bool:
        seen.append(http.get(f"/jobs/{job_id}").json())
        assert seen[-1]["state"] in {"queued", "running"}, seen[-1]
        training = seen[-1]["training"]
        return training is not None and training["epoch"] >= epoch

    until(trains, f"the job trains: {seen[-1:]}")
    return seen[-1]


def finish(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """The job at its end."""
    found: list[dict[str, Any]] = []

    def ended() -> bool:
        found.append(http.get(f"/jobs/{job_id}", params={"wait": 10}).json())
        return bool(found[-1]["times"]["finished"])

    until(ended, f"the job ends: {found[-1:]}")
    return found[-1]


def artifact(job: dict[str, Any]) -> str:
    assert job["state"] == "succeeded", job["error"]
    return next(f["sha256"] for f in job["result"]["files"] if f["name"] == "model.onnx")


@pytest.fixture(scope="module")
def training_server(make_server: Any) -> Server:
    """One with a fine-tuning worker of its own."""
    return make_server(serve_worker=1)


@pytest.fixture(scope="module")
def undisturbed(training_server: Server) -> tuple[dict[str, Any], dict[str, Any]]:
    """A job while it trains, and at its end: long enough to be seen, on a fast machine too."""
    with training_server.client() as http:
        job_id = ask(http, LONG, LONG_SAMPLES)
        return until_training(http, job_id), finish(http, job_id)


def test_a_job_is_fine_tuned(
    training_server: Server, undisturbed: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    seen, job = undisturbed
    assert seen["stage"] in {"retrain", "tune"}
    assert seen["training"]["epochs"] in {4, 16}
    assert 0 < seen["progress"] < 1
    assert artifact(job)
    job_id = job["id"]
    with training_server.client() as http:
        report = http.get(f"/jobs/{job_id}/report").json()
    assert (job["training"], job["waiting"]) == (None, None)
    stages = {stage["stage"]: stage["metric"] for stage in report["training"]["stages"]}
    trained = job["result"]["metrics"]["trained"]
    assert (trained["before"], trained["after"]) == (stages["original"], stages["artifact"])
    assert trained["drop"] == pytest.approx(trained["before"] - trained["after"])
    assert trained["name"] == report["training"]["metric"]
    assert stages["retrained"] > stages["pruned"]
    assert {phase["stage"] for phase in report["training"]["phases"]} == {"retrain", "tune"}
    assert not [name for name in training_server.files() if name.startswith("files/finetune")]
    assert not [name for name in training_server.files() if name.startswith("files/datasets")]
    # The job can be followed through the logs of service and worker.
    said = training_server.log()
    assert {"job accepted", "job started"} <= {
        line["event"] for line in said if line.get("job") == job_id
    }
    assert {"training started", "training ended"} <= {
        line["event"] for line in said if job_id in line.get("jobs", ())
    }


def test_two_jobs_share_a_training_and_cancel_reaches_the_trainer(training_server: Server) -> None:
    with training_server.client() as http:
        first, second = ask(http, ENDLESS), ask(http, ENDLESS)
        for job_id in (first, second):
            until_training(http, job_id)
        assert len(training_server.trainer_processes()) == 1
        assert http.post(f"/jobs/{first}/cancel").json()["state"] == "cancelled"
        until_training(http, second, 2)
        assert len(training_server.trainer_processes()) == 1
        http.delete(f"/jobs/{second}")
        until(lambda: not training_server.trainer_processes(), "the trainer ends")
        until(lambda: not training_server.files_of(second), "the files go")
        until(
            lambda: not [n for n in training_server.files() if n.startswith("files/finetune")],
            "the training's files go",
        )


def test_whatever_dies_the_artifact_is_the_same(
    make_server: Any, undisturbed: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    server: Server = make_server(serve_worker=1)
    with server.client() as http:
        job_id = ask(http, LONG, LONG_SAMPLES)
        until_training(http, job_id, 3)
        (trainer,) = server.trainer_processes()
        trainer.kill()
        until_training(http, job_id, 5)
        (worker,) = server.worker_processes()
        worker.kill()
        until(lambda: [p for p in server.worker_processes() if p.pid != worker.pid], "a new worker")
        until_training(http, job_id, 7)
    left = [*server.job_processes(), *server.worker_processes(), *server.trainer_processes()]
    assert len(left) >= 2  # between two trainings there is no trainer
    server.kill()
    for process in left:
        process.wait(timeout=30)
    server.start()
    with server.client() as http:
        until_training(http, job_id)
        assert server.stop() == 0
    server.start()
    with server.client() as http:
        assert artifact(finish(http, job_id)) == artifact(undisturbed[1])


@pytest.fixture
def lone_worker(tmp_path: Path) -> Iterator[list[Worker]]:
    """Workers that are started by hand; stopped at the end."""
    started: list[Worker] = []
    yield started
    for worker in started:
        worker.stop()


def test_without_a_worker_a_job_waits_and_says_so(
    server: Server, tmp_path: Path, lone_worker: list[Worker]
) -> None:
    with server.client() as http:
        job_id = ask(http, SHORT)
        until(lambda: http.get(f"/jobs/{job_id}").json()["waiting"], "the job waits")
        waiting = http.get(f"/jobs/{job_id}").json()
        assert waiting["state"] == "running"
        assert "none is running" in waiting["waiting"]
        assert (
            f"sparsebook worker --queue finetune --data-dir {server.data_dir}" in waiting["waiting"]
        )
        # Others do not wait for it.
        assert wait(http, submit(http, models.small())["id"])["state"] == "succeeded"
        lone_worker.append(Worker(server.data_dir, tmp_path / "worker.log"))
        assert artifact(finish(http, job_id))


def test_a_job_that_fails_in_training_keeps_its_upload_and_what_it_reached(
    training_server: Server,
) -> None:
    with training_server.client() as http:
        # One centroid beside zero: what comes out is not what the original gives.
        config = {
            "train": SHORT["train"],
            "weights": {"*": {"density": 0.1, "bits": 1}},
            "budget": {"max_drop": 0.0},
        }
        job_id = ask(http, config, labels=False)
        job = finish(http, job_id)
        assert job["state"] == "failed"
        assert job["error"]["type"] == "/problems/budget-not-met"
        assert job["result"]["ratio"] > 1
        assert http.get(f"/jobs/{job_id}/artifact/model.onnx").status_code == 200
        assert http.get(f"/jobs/{job_id}/artifact").status_code == 200
        assert http.get(f"/jobs/{job_id}/report").json()["training"]["points"]
        names = {name.rsplit("/", 1)[-1] for name in training_server.files_of(job_id)}
        assert {"tiny.onnx", "a.npz", "b.npz", "bundle.zip"} <= names
        http.delete(f"/jobs/{job_id}")
        assert training_server.files_of(job_id) == set()
        assert_problem(http.get(f"/jobs/{job_id}/artifact"), 404, "unknown-job")
