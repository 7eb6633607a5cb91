"""Requests made from the contract, valid and not, in sequences that its links allow: what comes back is what the contract says."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.calls import BYTES, submit
from tests.e2e.conftest import MakeServer
from tests.e2e.servers import Server

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = Path(sys.executable).with_name("st")
HOOKS = "tests.e2e.contract_hooks"
# A schema cannot say all: a config is sent once, as a part or in the query, and a loss needs data. Those are refused, 400 and 422.
NOT_ASKED = "positive_data_acceptance"


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    return make_server()


def ask(server: Server, folder: Path, *options: str) -> set[tuple[str, str, int]]:
    """Let schemathesis ask, and find nothing wrong; method, address and status of every answer."""
    asked = folder / "asked.ndjson"
    found = subprocess.run(
        [
            SCHEMATHESIS,
            "run",
            f"{server.url}/openapi.json",
            "--seed=1",
            "--checks=all",
            f"--exclude-checks={NOT_ASKED}",
            "--report=ndjson",
            f"--report-ndjson-path={asked}",
            "--no-color",
            *options,
        ],
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    assert " passed" in found.stdout
    assert server.process is not None
    assert server.process.poll() is None
    assert not [line for line in server.log() if line["level"] == "error"]
    return set(answered(asked))


def test_every_operation(server: Server, tmp_path: Path) -> None:
    answers = ask(server, tmp_path, "--max-examples=8")
    document = httpx.get(f"{server.url}/openapi.json").json()
    operations = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert {(method, path) for method, path, status in answers if status != 405} == operations


def test_sequences_of_uploads(server: Server, tmp_path: Path) -> None:
    """What only a sequence reaches: an upload that was begun."""
    options = ("--phases=stateful", "--max-examples=30", "--include-path-regex=^/uploads")
    reached = {
        ("POST", "/uploads", 201),
        ("HEAD", "/uploads/{upload_id}", 200),
        ("PATCH", "/uploads/{upload_id}", 204),
        ("DELETE", "/uploads/{upload_id}", 204),
    }
    assert reached - ask(server, tmp_path, *options) == set()


def test_events_of_a_job(server: Server, tmp_path: Path) -> None:
    """Streams that have an end, because the job has one; `contract_hooks` looks at each of their events."""
    with server.client() as http:
        job_id = submit(http, BYTES)["id"]
    (tmp_path / "schemathesis.toml").write_text(f'[parameters]\njob_id = "{job_id}"\n')
    options = ("--phases=coverage,fuzzing", "--max-examples=30", "--include-path-regex=/events$")
    answers = ask(server, tmp_path, *options)
    reached = {("GET", "/jobs/{job_id}/events", status) for status in (200, 400)}
    assert reached - answers == set()


def answered(report: Path) -> Iterator[tuple[str, str, int]]:
    """Method, address and status of every answer."""
    for line in report.read_text().splitlines():
        for kind, event in json.loads(line).items():
            recorder = event["recorder"] if kind == "ScenarioFinished" else {}
            for case_id, each in recorder.get("interactions", {}).items():
                case = recorder["cases"].get(case_id, {}).get("value")
                if case is not None and each.get("response"):
                    yield case["method"], case["path"], each["response"]["status_code"]
