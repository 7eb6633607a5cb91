"""Files that are made to do harm: no 5xx, no hang, no crash, and a reason."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sparsebook_compressor import estimate
from sparsebook_compressor.errors import ExternalDataOutside
from tests.e2e import hostile, models
from tests.e2e.calls import BYTES, PAPER, submit, wait, wait_until_busy
from tests.e2e.servers import Server

CASES = hostile.cases()
WAS_HERE = Path("/tmp/sparsebook-was-here")


@pytest.fixture(scope="module")
def strict(make_server: Any) -> Server:
    """A server whose jobs have the limits that an operator gives them who does not trust anybody."""
    server: Server = make_server(job_address_space_bytes=2 << 30, job_cpu_seconds=120)
    return server


@pytest.fixture(scope="module")
def ended(strict: Server) -> Iterator[dict[str, dict[str, Any]]]:
    """All cases sent at once, and what became of them."""
    with strict.client() as http:
        accepted = {}
        for name, case in CASES.items():
            answer = http.post("/compress", files=case.files())
            assert answer.status_code == 202, (name, answer.text)
            accepted[name] = answer.json()["id"]
        yield {name: wait(http, job_id) for name, job_id in accepted.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_a_job_that_fails_with_its_reason(
    ended: dict[str, dict[str, Any]], name: str
) -> None:
    case, job = CASES[name], ended[name]
    assert job["state"] == "failed", job
    error = job["error"]
    assert error["type"] == f"/problems/{case.problem}", error
    assert case.mentions in error["detail"], error
    # Nothing of the machine is told.
    for secret in ("root:", "/home/", str(Path.cwd()), "Traceback"):
        assert secret not in error["detail"]


def test_the_service_is_as_it_was(ended: dict[str, dict[str, Any]], strict: Server) -> None:
    assert not WAS_HERE.exists()
    assert strict.process is not None
    assert strict.process.poll() is None
    assert not [line for line in strict.log() if line["level"] == "error"]
    kept = {name for name in ended if CASES[name].data is not None}
    for name, job in ended.items():
        assert bool(strict.files_of(job["id"])) == (name in kept), name
    with strict.client() as http:
        assert http.get("/readyz").status_code == 200
        assert wait(http, submit(http, BYTES)["id"])["state"] == "succeeded"


@pytest.mark.parametrize("elements", [1 << 36, 1 << 62])
def test_a_model_that_cannot_be_run_is_compressed_and_says_so(
    strict: Server, elements: int
) -> None:
    """ConstantOfShape fills memory when the model is run: not ours to run it, but to survive that it cannot be."""
    with strict.client() as http:
        job = wait(http, submit(http, hostile.constant_of_shape(elements))["id"])
        assert job["state"] == "succeeded", job
        report = http.get(f"/jobs/{job['id']}/report").json()
        assert "the original does not run" in report["fidelity"]["skipped"]
        assert report["fidelity"]["outputs"] == []


def test_a_hard_link_beside_the_model_is_refused(tmp_path: Path) -> None:
    """Nobody can upload one; a caller of the library may have one in the folder (CVE-2026-34446)."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64 * 256 * 4))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(models.pointing_at("w"))
    os.link(secret, folder / "w")
    with pytest.raises(ExternalDataOutside, match="hard link"):
        estimate(folder / "model.onnx")
    (folder / "w").unlink()
    (folder / "w").symlink_to(secret)
    with pytest.raises(ExternalDataOutside, match="symbolic link"):
        estimate(folder / "model.onnx")


def test_nothing_trusts_a_hub() -> None:
    """CVE-2026-28500 is about `onnx.hub`: the product loads no model by name, from anywhere."""
    for package in ("compressor", "service", "runtime/python", "runtime/training"):
        for source in Path(package).rglob("*.py"):
            assert "onnx.hub" not in source.read_text(), source


def test_a_damaged_artifact_is_refused(strict: Server) -> None:
    """An artifact may be uploaded as a model: its encoded weights are looked at as closely as anything else."""
    with strict.client() as http:
        done = wait(http, submit(http, BYTES)["id"])
        artifact = http.get(f"/jobs/{done['id']}/artifact/model.onnx").content
        magic = artifact.index(b"SBKP") if b"SBKP" in artifact else len(artifact) // 2
        sent = {}
        for offset in (0, 4, 5, 8, 12, 16, 24, 40, 200):
            damaged = bytearray(artifact)
            damaged[magic + offset] ^= 0xFF
            sent[offset] = submit(http, bytes(damaged))["id"]
        for offset, job_id in sent.items():
            job = wait(http, job_id)
            assert job["state"] == "failed", (offset, job)
            assert job["error"]["status"] == 422, (offset, job["error"])


def test_who_parses_files_knows_no_secret(
    make_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret-of-the-bucket")
    monkeypatch.setenv("SOME_TOKEN", "another-secret")
    server: Server = make_server(webhook_secret="whsec_" + "c2VjcmV0" * 5)
    with server.client() as http:
        job_id = submit(http, models.slow(), params=PAPER)["id"]
        wait_until_busy(http, job_id)
        (job,) = server.job_processes()
        nursery = job.parent()
        assert nursery is not None
        for process in (job, nursery):
            found = process.environ()
            assert not {name for name in found if "SECRET" in name or "TOKEN" in name}
            assert "PATH" in found
        http.delete(f"/jobs/{job_id}")
