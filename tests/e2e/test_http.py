"""The HTTP contract against a real server, with real models."""

import base64
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest

from sparsebook_runtime import register
from tests.e2e import models
from tests.e2e.calls import (
    BYTES,
    OCTETS,
    assert_problem,
    digest_field,
    submit,
    wait,
    wait_until_busy,
    wait_until_gone,
)
from tests.e2e.servers import Server


def run(model: bytes, inputs: dict[str, np.ndarray]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    register(options)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


# ----------------------------------------------------------------------------------------- the whole road


def test_form_with_data_gives_an_artifact_that_runs(http: httpx.Client, server: Server) -> None:
    data = io.BytesIO()
    np.savez(data, **models.samples())
    config = {"preset": "safe", "seed": 3, "train": {"loss": "none"}}
    answer = http.post(
        "/compress",
        files={
            "data": ("samples.npz", data.getvalue()),
            "config": (None, json.dumps(config), "application/json"),
            "model": ("folder/tiny.onnx", BYTES),
        },
    )
    assert answer.status_code == 202
    accepted = answer.json()
    assert answer.headers["location"] == f"/jobs/{accepted['id']}"
    assert int(answer.headers["retry-after"]) > 0
    assert accepted["state"] == "queued"
    assert accepted["input"] == {
        "name": "tiny.onnx",
        "bytes": len(BYTES),
        "sha256": hashlib.sha256(BYTES).hexdigest(),
    }
    job = wait(http, accepted["id"])
    assert job["state"] == "succeeded", job["error"]
    assert (job["progress"], job["weight"], job["error"]) == (1.0, None, None)
    assert job["times"]["created"] <= job["times"]["started"] <= job["times"]["finished"]
    assert job["config"]["seed"] == 3
    result = job["result"]
    assert result["metrics"]["inputs"] == "given"
    assert result["ratio"] == pytest.approx(len(BYTES) / result["bytes"])
    artifact = http.get(f"/jobs/{job['id']}/artifact/model.onnx").content
    assert len(artifact) == result["bytes"] < len(BYTES) / 3
    inputs = models.samples()
    original = run(BYTES, inputs)
    assert np.linalg.norm(run(artifact, inputs) - original) < 0.1 * np.linalg.norm(original)
    assert not [name for name in server.files_of(job["id"]) if "input" in name or "work" in name]


def test_raw_body_gives_the_bundle(http: httpx.Client, done: dict[str, Any]) -> None:
    assert done["state"] == "succeeded", done["error"]
    assert done["input"]["name"] == "tiny.onnx"
    answer = http.get(f"/jobs/{done['id']}/artifact")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-digest"] == digest_field(answer.content)
    bundle = zipfile.ZipFile(io.BytesIO(answer.content))
    files = {file["name"]: file for file in done["result"]["files"]}
    assert (
        set(bundle.namelist())
        == set(files)
        > {
            "model.onnx",
            "manifest.json",
            "report.html",
            "report.json",
        }
    )
    for name, file in files.items():
        single = http.get(file["href"])
        assert single.content == bundle.read(name)
        assert hashlib.sha256(single.content).hexdigest() == file["sha256"]
        assert len(single.content) == file["bytes"]
        assert single.headers["content-disposition"].startswith("attachment;")


def test_the_same_request_gives_the_same_artifact(http: httpx.Client, done: dict[str, Any]) -> None:
    again = wait(
        http,
        submit(http, BYTES, params={"name": "tiny.onnx"}, headers={"Cache-Control": "no-cache"})[
            "id"
        ],
    )

    def digest(job: dict[str, Any]) -> str:
        return next(
            file["sha256"] for file in job["result"]["files"] if file["name"] == "model.onnx"
        )

    assert digest(again) == digest(done)


def test_portable_output_needs_no_library(http: httpx.Client) -> None:
    job = wait(http, submit(http, BYTES, params={"config": '{"output": "portable"}'})["id"])
    assert [file["name"] for file in job["result"]["files"] if "lib" in file["name"]] == []
    artifact = http.get(f"/jobs/{job['id']}/artifact/model.onnx").content
    session = onnxruntime.InferenceSession(artifact, providers=["CPUExecutionProvider"])
    assert session.run(None, models.samples())[0].shape == (12, 32)


def test_external_data_as_parts(http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "nested").mkdir()
    path = models.with_external(tmp_path, "nested/onnx::MatMul_1 é")
    external = (tmp_path / "nested/onnx::MatMul_1 é").read_bytes()
    answer = http.post(
        "/compress",
        files=[
            ("external", ("nested/onnx::MatMul_1 é", external)),
            ("model", ("model.onnx", path.read_bytes())),
        ],
    )
    assert answer.json()["input"]["bytes"] == len(external) + path.stat().st_size
    job = wait(http, answer.json()["id"])
    assert job["state"] == "succeeded", job["error"]


def test_zip_of_model_and_external_data(http: httpx.Client, tmp_path: Path) -> None:
    path = models.with_external(tmp_path)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "export/model.onnx")
        archive.write(tmp_path / "weights.bin", "export/weights.bin")
    answer = http.post(
        "/compress", content=packed.getvalue(), headers={"Content-Type": "application/zip"}
    )
    assert answer.json()["input"]["name"] == "model.zip"
    job = wait(http, answer.json()["id"])
    assert job["state"] == "succeeded", job["error"]


def test_report(http: httpx.Client, done: dict[str, Any]) -> None:
    report = http.get(f"/jobs/{done['id']}/report").json()
    assert {row["name"] for row in report["weights"]} == {"w0", "w1"}
    assert report["ratio"] == done["result"]["ratio"]
    refused = http.get(f"/jobs/{done['id']}/report", headers={"Accept": "image/png"})
    assert_problem(refused, 406, "not-acceptable")


def test_report_for_people(http: httpx.Client, done: dict[str, Any]) -> None:
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    report = http.get(f"/jobs/{done['id']}/report", headers={"Accept": browser})
    assert report.headers["content-type"] == "text/html; charset=utf-8"
    assert report.headers["vary"] == "Accept"
    made = http.get(f"/jobs/{done['id']}/artifact/report.html")
    assert report.text == made.text
    # Nothing in it runs but its own script.
    policy = report.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    (script,) = re.findall(r"<script>(.*?)</script>", report.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json, text/html", "application/json"),
        ("application/*;q=0.5, text/html;q=0.4", "application/json"),
        ("text/*", "text/html"),
        ("text/html;q=0.1", "text/html"),
        ("application/json;q=0, */*", "text/html"),
    ],
)
def test_which_report(accept: str, kind: str, http: httpx.Client, done: dict[str, Any]) -> None:
    report = http.get(f"/jobs/{done['id']}/report", headers={"Accept": accept})
    assert report.headers["content-type"].split(";")[0] == kind


# ---------------------------------------------------------------------------------------------- downloads


def test_ranges(http: httpx.Client, done: dict[str, Any]) -> None:
    address = f"/jobs/{done['id']}/artifact/model.onnx"
    whole = http.get(address)
    size, etag = len(whole.content), whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes"

    def ranged(value: str, **headers: str) -> httpx.Response:
        return http.get(address, headers={"Range": value, **headers})

    part = ranged("bytes=10-29")
    assert (part.status_code, part.content) == (206, whole.content[10:30])
    assert part.headers["content-range"] == f"bytes 10-29/{size}"
    assert "content-digest" not in part.headers
    assert part.headers["repr-digest"] == digest_field(whole.content)
    assert ranged("bytes=-7").content == whole.content[-7:]
    assert ranged(f"bytes={size - 3}-").content == whole.content[-3:]
    assert ranged("bytes=0-999999999").content == whole.content
    assert ranged("bytes=0-1,4-5").status_code == 200
    assert ranged("bytes=0-9", **{"If-Range": etag}).status_code == 206
    assert ranged("bytes=0-9", **{"If-Range": '"other"'}).content == whole.content
    beyond = ranged(f"bytes={size}-")
    assert_problem(beyond, 416, "range-not-satisfiable")
    assert beyond.headers["content-range"] == f"bytes */{size}"


def test_etag(http: httpx.Client, done: dict[str, Any]) -> None:
    for address in (f"/jobs/{done['id']}/artifact", f"/jobs/{done['id']}/artifact/model.onnx"):
        whole = http.get(address)
        etag = whole.headers["etag"]
        assert etag == f'"{hashlib.sha256(whole.content).hexdigest()}"'
        for value in (etag, f'"x", W/{etag}', "*"):
            same = http.get(address, headers={"If-None-Match": value})
            assert (same.status_code, same.content) == (304, b"")
            assert same.headers["etag"] == etag
        assert http.get(address, headers={"If-None-Match": '"x"'}).status_code == 200


def test_operator_library(http: httpx.Client) -> None:
    (library,) = http.get("/runtime").json()["libraries"]
    content = http.get(library["href"]).content
    assert hashlib.sha256(content).hexdigest() == library["sha256"]
    assert content.startswith(b"\x7fELF")
    assert library["tested"]
    assert_problem(http.get("/runtime/amiga"), 404, "not-found")
    refused = assert_problem(http.get("/runtime/windows-x86_64"), 404, "not-found")
    assert "SPARSEBOOK_RUNTIMES" in refused


# ------------------------------------------------------------------------------------------ repetition


def test_idempotency_key(http: httpx.Client, server: Server) -> None:
    key = {"Idempotency-Key": '"export-17"'}
    first = submit(http, models.small(17), headers=key)
    again = http.post(
        "/compress", files={"model": ("model.onnx", models.small(17))}, headers=key
    ).json()
    assert again["id"] == first["id"]
    other = http.post("/compress", content=models.small(18), headers={**OCTETS, **key})
    assert_problem(other, 409, "idempotency-conflict")
    other = http.post(
        "/compress?config=%7B%22seed%22:1%7D", content=models.small(17), headers={**OCTETS, **key}
    )
    assert_problem(other, 409, "idempotency-conflict")
    wait(http, first["id"])
    assert not [name for name in server.files() if "input" in name]
    assert http.delete(f"/jobs/{first['id']}").status_code == 204
    assert submit(http, models.small(17), headers=key)["id"] != first["id"]


def test_content_digest(http: httpx.Client, server: Server) -> None:
    before = server.files()
    good = {"Content-Digest": f"md5=:AAAA:, {digest_field(BYTES)}"}
    submit(http, BYTES, headers=good)
    wrong = http.post(
        "/compress", content=BYTES, headers={**OCTETS, "Content-Digest": digest_field(b"other")}
    )
    assert_problem(wrong, 400, "digest-mismatch")
    unreadable = http.post(
        "/compress", content=BYTES, headers={**OCTETS, "Content-Digest": "sha-256=nonsense"}
    )
    assert_problem(unreadable, 400, "bad-value")
    jobs = {name.split("/")[2] for name in server.files() - before if "files/jobs/" in name}
    assert len(jobs) <= 1  # the good one


# ------------------------------------------------------------------------------- list, cancel, delete


def test_pages_of_jobs_are_newest_first(http: httpx.Client, done: dict[str, Any]) -> None:
    ids = [submit(http, BYTES)["id"] for _ in range(3)]
    seen: list[str] = []
    cursor = None
    while True:
        page = http.get(
            "/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})}
        ).json()
        assert len(page["jobs"]) <= 2
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen[:3] == ids[::-1]
    assert len(seen) == len(set(seen))
    assert done["id"] in seen
    states = {
        job["state"] for job in http.get("/jobs", params={"state": "succeeded"}).json()["jobs"]
    }
    assert states == {"succeeded"}
    for job_id in ids:
        http.delete(f"/jobs/{job_id}")


def test_cancel_stops_a_running_job(http: httpx.Client, server: Server) -> None:
    job_id = submit(http, models.slow())["id"]
    busy = wait_until_busy(http, job_id)
    assert busy["state"] == "running"
    assert 0 < busy["progress"] < 1
    assert_problem(http.get(f"/jobs/{job_id}/artifact"), 409, "no-result")
    processes = server.job_processes()
    assert processes
    cancelled = http.post(f"/jobs/{job_id}/cancel").json()
    assert cancelled["state"] == "cancelled"
    assert cancelled["error"]["type"] == "/problems/cancelled"
    for process in processes:
        process.wait(timeout=2)
    assert http.post(f"/jobs/{job_id}/cancel").json() == cancelled
    assert_problem(http.get(f"/jobs/{job_id}/artifact"), 409, "cancelled")
    wait_until_gone(server, job_id)


def test_delete_stops_a_running_job(http: httpx.Client, server: Server) -> None:
    job_id = submit(http, models.slow())["id"]
    wait_until_busy(http, job_id)
    assert http.delete(f"/jobs/{job_id}").status_code == 204
    assert_problem(http.get(f"/jobs/{job_id}"), 404, "unknown-job")
    wait_until_gone(server, job_id)


def test_delete_frees_the_storage(http: httpx.Client, server: Server) -> None:
    job_id = wait(http, submit(http, BYTES)["id"])["id"]
    assert server.files_of(job_id)
    assert http.delete(f"/jobs/{job_id}").status_code == 204
    assert server.files_of(job_id) == set()


# ---------------------------------------------------------------------------------------------- operation


def test_operation(http: httpx.Client, done: dict[str, Any]) -> None:
    assert http.get("/healthz").json()["status"] == "ok"
    assert http.get("/readyz").json() == {"status": "ready"}
    lines = http.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values['sparsebook_jobs{state="succeeded"}']) >= 1
    assert float(values["sparsebook_input_bytes_total"]) >= len(BYTES)
    assert float(values["sparsebook_artifact_bytes_total"]) >= done["result"]["bytes"]
    assert float(values['sparsebook_stage_seconds_count{stage="encode"}']) >= 1
    assert float(values["sparsebook_ratio_count"]) >= 1
    assert values['sparsebook_trainings{state="queued"}'] == "0.0"


def test_problems_are_documented(http: httpx.Client) -> None:
    kinds = http.get("/problems").json()["problems"]
    assert len(kinds) > 20
    for kind in kinds:
        assert http.get(kind["type"]).json() == kind
    page = http.get("/problems/not-onnx", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "What to do" in page.text
    everyone = http.get("/problems", headers={"Accept": "text/html,*/*;q=0.8"})
    assert everyone.headers["content-type"].startswith("text/html")
    for kind in kinds:
        assert f'href="{kind["type"]}"' in everyone.text
    assert_problem(http.get("/problems/none"), 404, "not-found")


def test_documentation_and_headers(http: httpx.Client) -> None:
    assert http.get("/openapi.json").json()["info"]["title"] == "Sparsebook"
    docs = http.get("/docs")
    assert "/openapi.json" in docs.text
    assert "unsafe" not in docs.headers["content-security-policy"]
    assert "http" not in docs.headers["content-security-policy"]
    for path in http.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in docs.text.replace("<wbr>", ""), path
    for path in ("/healthz", "/nope", "/docs", "/jobs", "/jobs/", "/jobs?limit=x", "/problems/x"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers
        assert "x-powered-by" not in headers


def test_headers_of_downloads(http: httpx.Client, done: dict[str, Any]) -> None:
    answer = http.get(done["result"]["files"][0]["href"])
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["content-disposition"].startswith('attachment; filename="')
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_no_folder_is_listed(http: httpx.Client, done: dict[str, Any]) -> None:
    folder = done["result"]["files"][-1]["href"].rsplit("/", 1)[0]
    for path in (
        "/page/",
        "/page/assets/",
        "/jobs/",
        "/files/",
        "/runtime/",
        f"/jobs/{done['id']}/artifact/",
        folder + "/",
    ):
        assert_problem(http.get(path), 404, "not-found")
