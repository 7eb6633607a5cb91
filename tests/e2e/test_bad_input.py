"""What the service refuses, at once or by a job that fails, and what it leaves behind: nothing."""

import gzip
import io
import time
import zipfile
from typing import Any

import httpx
import pytest

from tests.e2e import models
from tests.e2e.calls import BYTES, OCTETS, assert_problem, connect, submit, wait
from tests.e2e.servers import Server

# ------------------------------------------------------------------------------- refused at once (4xx)


def form(*parts: tuple[str, Any]) -> dict[str, Any]:
    return {"files": list(parts)}


MODEL_PART = ("model", ("model.onnx", BYTES))
REFUSED = {
    "empty body": ({"content": b"", "headers": OCTETS}, 422, "not-onnx", "empty"),
    "empty part": (form(("model", ("m.onnx", b""))), 422, "not-onnx", "m.onnx"),
    "config not JSON": (
        {"content": BYTES, "headers": OCTETS, "params": {"config": "{"}},
        400,
        "bad-value",
        "not JSON",
    ),
    "config unknown key": (
        {"content": BYTES, "headers": OCTETS, "params": {"config": '{"colour": 1}'}},
        400,
        "unknown-option",
        "colour",
    ),
    "config of another part": (
        {"content": BYTES, "headers": OCTETS, "params": {"config": '{"prune": {"method": "obs"}}'}},
        400,
        "unknown-option",
        "the preset 'small'",
    ),
    "density over 1": (
        form(MODEL_PART, ("config", (None, '{"weights": {"*": {"density": 1.5}}}'))),
        400,
        "bad-value",
        "density",
    ),
    "config twice": (
        {**form(MODEL_PART, ("config", (None, "{}"))), "params": {"config": "{}"}},
        400,
        "bad-value",
        "twice",
    ),
    "no model": (form(("config", (None, "{}"))), 400, "bad-value", "missing"),
    "two models": (form(MODEL_PART, MODEL_PART), 400, "bad-value", "twice"),
    "unknown part": (form(MODEL_PART, ("weights", ("w", b"1"))), 400, "bad-value", "weights"),
    "two losses": (
        form(MODEL_PART, ("loss", ("l.onnx", b"1")), ("loss", ("l.onnx", b"2"))),
        400,
        "bad-value",
        "twice",
    ),
    "external ..": (
        form(MODEL_PART, ("external", ("a/../../w", b"1"))),
        422,
        "external-data-outside",
        "leads out",
    ),
    "external absolute": (
        form(MODEL_PART, ("external", ("/etc/passwd", b"1"))),
        422,
        "external-data-outside",
        "absolute",
    ),
    "external backslash": (
        form(MODEL_PART, ("external", ("a\\b", b"1"))),
        422,
        "external-data-outside",
        "backslash",
    ),
    "external that is an address in memory": (
        form(MODEL_PART, ("external", ("*/_ORT_MEM_ADDR_/*", b"1"))),
        422,
        "external-data-outside",
        "memory",
    ),
    "external twice": (
        form(MODEL_PART, ("external", ("w", b"1")), ("external", ("w", b"2"))),
        422,
        "external-data-outside",
        "twice",
    ),
    "external over the model": (
        form(("external", ("model.onnx", b"1")), MODEL_PART),
        422,
        "external-data-outside",
        "twice",
    ),
    "form of curl -d": (
        {"content": BYTES, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        415,
        "unsupported-media-type",
        "curl",
    ),
    "compressed on the way": (
        {
            "content": gzip.compress(BYTES),
            "headers": {
                "Content-Type": "application/octet-stream",
                "Content-Encoding": "gzip",
            },
        },
        415,
        "unsupported-media-type",
        "gzip",
    ),
    "no boundary": (
        {"content": BYTES, "headers": {"Content-Type": "multipart/form-data"}},
        400,
        "malformed-request",
        "boundary",
    ),
    "cut form": (
        {
            "content": b'--b\r\nContent-Disposition: form-data; name="model"; filename="m"\r\n\r\nab',
            "headers": {"Content-Type": "multipart/form-data; boundary=b"},
        },
        400,
        "malformed-request",
        "ends before",
    ),
    "name with control characters": (
        {"content": BYTES, "headers": OCTETS, "params": {"name": "a\x07.onnx"}},
        400,
        "bad-value",
        "control characters",
    ),
    "a budget without data": (
        form(MODEL_PART, ("config", (None, '{"budget": {"max_drop": 0.01}}'))),
        400,
        "bad-value",
        "budget.max_drop needs data",
    ),
    "a metric to select by without data": (
        form(MODEL_PART, ("config", (None, '{"budget": {"metric": "agreement"}}'))),
        400,
        "bad-value",
        "budget.metric needs data",
    ),
    "training without data": (
        {"content": BYTES, "headers": OCTETS, "params": {"config": '{"train": {"epochs": 3}}'}},
        400,
        "bad-value",
        "train needs data",
    ),
    "a loss without data": (
        form(MODEL_PART, ("loss", ("my.onnx", b"1"))),
        400,
        "bad-value",
        "the loss my.onnx needs data",
    ),
    "a metric without data": (
        form(MODEL_PART, ("metric", ("my.onnx", b"1"))),
        400,
        "bad-value",
        "the metric my.onnx needs data",
    ),
    "a rate with one round": (
        form(
            MODEL_PART,
            ("data", ("d.npz", b"1")),
            ("config", (None, '{"train": {"rate": 0.1}, "prune": {"rounds": 1}}')),
        ),
        400,
        "bad-value",
        "prune.rounds",
    ),
    "weight decay without AdamW": (
        form(
            MODEL_PART,
            ("data", ("d.npz", b"1")),
            ("config", (None, '{"train": {"weight_decay": 0.1, "optimizer": "sgd"}}')),
        ),
        400,
        "bad-value",
        "train.weight_decay",
    ),
    "a budget over all weights together": (
        form(
            MODEL_PART,
            ("data", ("d.npz", b"1")),
            ("config", (None, '{"budget": {"max_drop": 0.1}, "prune": {"scope": "global"}}')),
        ),
        400,
        "bad-value",
        "prune.scope",
    ),
    "key too long": (
        {"content": BYTES, "headers": {**OCTETS, "Idempotency-Key": "k" * 256}},
        400,
        "bad-value",
        "Idempotency-Key",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_at_once(http: httpx.Client, server: Server, case: str) -> None:
    request, status, slug, mentions = REFUSED[case]
    before = {job["id"] for job in http.get("/jobs").json()["jobs"]}
    files = server.files()
    detail = assert_problem(http.post("/compress", **request), status, slug)
    assert mentions in detail
    assert {job["id"] for job in http.get("/jobs").json()["jobs"]} == before
    assert server.files() <= files


@pytest.mark.parametrize(
    ("query", "mentions"),
    [("limit=0", "limit"), ("limit=x", "limit"), ("state=lost", "state"), ("cursor=@@", "cursor")],
)
def test_bad_query(http: httpx.Client, query: str, mentions: str) -> None:
    assert mentions in assert_problem(http.get(f"/jobs?{query}"), 400, "bad-value")


def test_bad_wait(http: httpx.Client, done: dict[str, Any]) -> None:
    for value in ("-1", "nan", "inf", "soon"):
        answer = http.get(f"/jobs/{done['id']}", params={"wait": value})
        assert_problem(answer, 400, "bad-value")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/jobs/none"),
        ("DELETE", "/jobs/none"),
        ("POST", "/jobs/none/cancel"),
        ("GET", "/jobs/none/report"),
        ("GET", "/jobs/none/artifact"),
        ("GET", "/jobs/none/artifact/model.onnx"),
    ],
)
def test_unknown_job(http: httpx.Client, method: str, path: str) -> None:
    assert "none" in assert_problem(http.request(method, path), 404, "unknown-job")


def test_unknown_addresses(http: httpx.Client, done: dict[str, Any]) -> None:
    artifact = f"/jobs/{done['id']}/artifact"
    for path in (
        "/page",
        "/page/assets/nope",
        "/nope",
        f"/jobs/{done['id']}/nope",
        f"{artifact}/nope",
        "/jobs/",
    ):
        assert_problem(http.get(path), 404, "not-found")
    assert_problem(http.get(f"{artifact}/..%2f..%2f..%2fsparsebook.sqlite"), 404, "not-found")
    for path, allowed in (
        ("/jobs", "GET, HEAD"),
        ("/jobs/x", "DELETE, GET, HEAD"),
        ("/compress", "POST"),
    ):
        refused = http.put(path)
        assert_problem(refused, 405, "method-not-allowed")
        assert refused.headers["allow"] == allowed


# ----------------------------------------------------------------------------- jobs that fail with a problem


def zip_of(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


FAILING = {
    "garbage": ({"model": b"\xffnot a protobuf" * 50}, "not-onnx"),
    "truncated": ({"model": BYTES[:-1000]}, "not-onnx"),
    "invalid graph": ({"model": models.invalid_graph()}, "invalid-graph"),
    "external data missing": ({"model": models.pointing_at("gone.bin")}, "external-data-missing"),
    "external data outside": (
        {"model": models.pointing_at("../../../../etc/passwd")},
        "external-data-outside",
    ),
    "NaN": ({"model": models.with_nan()}, "not-finite"),
    "no weights": ({"model": models.without_weights()}, "nothing-to-compress"),
    "bad data": ({"model": BYTES, "data": b"no npz"}, "bad-data"),
    "zip without a model": ({"model": zip_of(**{"readme.txt": b"hello"})}, "not-onnx"),
    "zip that leads out": (
        {"model": zip_of(**{"../model.onnx": BYTES})},
        "external-data-outside",
    ),
    "zip bomb": (
        {"model": zip_of(**{"model.onnx": BYTES, "weights.bin": bytes(50_000_000)})},
        "too-large",
    ),
}


def test_what_needs_parsing_is_a_job_that_fails(http: httpx.Client, server: Server) -> None:
    accepted = {}
    for case, (parts, _) in FAILING.items():
        files = {name: (f"{name}.onnx", content) for name, content in parts.items()}
        answer = http.post("/compress", files=files)
        assert answer.status_code == 202, case
        accepted[case] = answer.json()["id"]
    for case, job_id in accepted.items():
        job = wait(http, job_id)
        assert job["state"] == "failed", case
        assert job["result"] is None
        error = job["error"]
        slug = FAILING[case][1]
        assert error["type"] == f"/problems/{slug}", (case, error)
        assert error["instance"] == f"/jobs/{job_id}"
        assert error["detail"], case
        # Where data came with the model, the upload stays.
        names = {name.rsplit("/", 1)[-1] for name in server.files_of(job_id)}
        assert names == ({"model.onnx", "data.onnx"} if "data" in FAILING[case][0] else set()), case
        refused = http.get(f"/jobs/{job_id}/artifact")
        assert error["detail"] in assert_problem(refused, 409, "no-result")
        http.delete(f"/jobs/{job_id}")
        assert server.files_of(job_id) == set(), case


# ------------------------------------------------------------------------------------------------- limits


def test_upload_over_the_limit(make_server: Any) -> None:
    server: Server = make_server(max_upload_bytes=200_000)
    too_much = models.mlp(512, 512).SerializeToString()
    with server.client() as http:
        requests: list[dict[str, Any]] = [
            {"content": too_much, "headers": OCTETS},
            {"content": iter([too_much[:150_000], too_much[150_000:]]), "headers": OCTETS},
            {"files": {"model": ("model.onnx", too_much)}},
        ]
        for request in requests:
            answer = http.post("/compress", **request)
            assert "200000" in assert_problem(answer, 413, "too-large")
            assert server.files() == set()
        bomb = zip_of(**{"model.onnx": BYTES, "weights.bin": bytes(200_000)})
        job = wait(http, submit(http, bomb)["id"])
        assert job["error"]["type"] == "/problems/too-large"
        assert wait(http, submit(http, BYTES)["id"])["state"] == "succeeded"


def test_data_and_graphs_over_their_limits(make_server: Any) -> None:
    server: Server = make_server(max_data_bytes=5000, max_data_files=2, max_graph_bytes=1000)
    model = ("model", ("model.onnx", BYTES))
    cases: list[tuple[list[tuple[str, Any]], str]] = [
        ([("data", ("a.npz", bytes(3000))), ("data", ("b.npz", bytes(2001)))], "5000"),
        ([("data", ("a.npz", b"1"))] * 3, "more than 2"),
        ([("loss", ("l.onnx", bytes(1001)))], "'loss' is larger than 1000"),
        ([("metric", ("m.onnx", bytes(1001)))], "'metric' is larger than 1000"),
    ]
    with server.client() as http:
        for parts, mentions in cases:
            answer = http.post("/compress", files=[model, *parts])
            assert mentions in assert_problem(answer, 413, "too-large")
            assert server.files() == set()


def test_full_disk_refuses_new_jobs(make_server: Any) -> None:
    server: Server = make_server(min_free_bytes=1 << 60)
    with server.client() as http:
        for request in ({"content": BYTES, "headers": OCTETS}, {"files": {"model": BYTES}}):
            assert_problem(http.post("/compress", **request), 507, "storage-full")
        assert server.files() == set()
        assert_problem(http.get("/readyz"), 503, "not-ready")
        assert http.get("/healthz").status_code == 200


def test_writes_that_fail_half_way(make_server: Any) -> None:
    server: Server = make_server(largest_file=40_000_000, job_file_bytes=2 << 20)
    beyond = bytes(60_000_000)
    with server.client() as http:
        requests: list[dict[str, Any]] = [
            {"content": beyond, "headers": OCTETS},
            {"files": {"model": ("model.onnx", beyond)}},
        ]
        for request in requests:
            detail = assert_problem(http.post("/compress", **request), 507, "storage-full")
            assert "model.onnx" in detail
            assert server.files() == set()
        dense = {"config": '{"preset": "paper", "output": "dense"}'}
        job = wait(http, submit(http, models.slow(), params=dense)["id"])
        assert job["error"]["type"] == "/problems/storage-full"
        assert server.files() == set()
        assert wait(http, submit(http, BYTES)["id"])["state"] == "succeeded"


def test_a_client_that_goes_away_leaves_nothing(server: Server) -> None:
    before = server.files()
    with connect(server) as connection:
        connection.sendall(
            b"POST /compress HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Length: 50000000\r\n\r\n" + bytes(30_000_000)
        )
        deadline = time.monotonic() + 10
        while server.files() == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.files() != before
    deadline = time.monotonic() + 10
    while server.files() != before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.files() == before
