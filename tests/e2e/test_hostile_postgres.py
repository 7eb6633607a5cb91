"""The hostile files again where what they say is written into Postgres, which takes less than SQLite does, and lies in a bucket."""

from collections.abc import Iterator

import pytest
from onnx import load_model_from_string

from benchmarks import service_damage
from benchmarks.postgres import postgres
from benchmarks.s3 import s3
from tests.e2e import hostile, models
from tests.e2e.calls import BYTES, OCTETS, submit, wait
from tests.e2e.servers import Server

# What takes seconds of processor time meets the database no more than the others.
HEAVY = {"20 million nodes", "data bomb", "zip bomb of one member under many names"}
CASES = {name: case for name, case in hostile.cases().items() if name not in HEAVY}
DAMAGED = 24


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with postgres() as database, s3() as bucket:
        server = Server(
            tmp_path_factory.mktemp("server"),
            database_url=database.database(),
            storage=f"s3://{bucket.bucket()}/here",
            job_address_space_bytes=2 << 30,
            job_cpu_seconds=120,
        )
        server.environment.update(bucket.environment)
        try:
            yield server.start()
        finally:
            server.stop()


def test_hostile_files_fail_with_their_reasons(shared: Server) -> None:
    with shared.client() as http:
        accepted = {}
        for name, case in CASES.items():
            answer = http.post("/compress", files=case.files())
            assert answer.status_code == 202, (name, answer.text)
            accepted[name] = answer.json()["id"]
        for name, job_id in accepted.items():
            job, case = wait(http, job_id), CASES[name]
            assert job["state"] == "failed", job
            assert job["error"]["type"] == f"/problems/{case.problem}", (name, job["error"])
            assert case.mentions in job["error"]["detail"], (name, job["error"])


@pytest.mark.parametrize("name", ["w\0", "\0", "ä\U0010ffff", "w" * 5000, "'; DROP TABLE jobs; --"])
def test_names_that_no_column_was_made_for(shared: Server, name: str) -> None:
    model = load_model_from_string(BYTES)
    given = model.graph.initializer[0].name
    model.graph.initializer[0].name = name
    for node in model.graph.node:
        node.input[:] = [name if each == given else each for each in node.input]
    with shared.client() as http:
        job = wait(http, submit(http, model.SerializeToString())["id"])
        if job["state"] == "failed":
            assert job["error"]["status"] < 500, job
        # All of what was written can be read.
        assert http.get("/jobs", params={"search": job["id"]}).status_code == 200
        assert http.get(f"/jobs/{job['id']}/events").status_code == 200


def test_damaged_models_end_in_a_result_or_a_reason(shared: Server) -> None:
    with shared.client() as http:
        accepted = []
        for content in service_damage.damaged([models.small(), BYTES], DAMAGED, seed=3):
            answer = http.post("/compress", content=content, headers=OCTETS)
            assert answer.status_code < 500, answer.text
            if answer.status_code == 202:
                accepted.append(answer.json()["id"])
        ended = [wait(http, job_id) for job_id in accepted]
    assert len(ended) > DAMAGED // 2
    assert [job for job in ended if job["error"] and job["error"]["status"] >= 500] == []


def test_the_service_is_as_it_was(shared: Server) -> None:
    with shared.client() as http:
        assert http.get("/readyz").status_code == 200
        assert wait(http, submit(http, BYTES)["id"])["state"] == "succeeded"
    assert not [line for line in shared.log() if line["level"] == "error"]
