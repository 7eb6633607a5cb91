"""Who may do what: API keys against a real server, made on the command line while it runs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e import models
from tests.e2e.calls import BYTES, OCTETS, PAPER, assert_problem, submit, wait, wait_until_busy
from tests.e2e.commands import Cli, said
from tests.e2e.servers import Server

SLOW = models.slow()
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def guarded(make_server: Any) -> Server:
    """A server that asks for keys."""
    return make_server(access="keys", workers=1)


def keys(server: Server, *arguments: str) -> str:
    return said("keys", *arguments, "--data-dir", server.data_dir)


def create(server: Server, name: str, scope: str = "submit,read", *limits: str) -> str:
    """A new key; standard output holds nothing else."""
    made = keys(server, "create", "--name", name, "--scope", scope, *limits)
    assert re.fullmatch(r"sparsebook_[0-9a-f]{12}_[0-9a-f]{64}\n", made)
    return made.strip()


def as_who(server: Server, key: str | None) -> httpx.Client:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=server.url, timeout=90, headers=headers)


@pytest.fixture(scope="module")
def ann(guarded: Server) -> Iterator[httpx.Client]:
    with as_who(guarded, create(guarded, "ann")) as http:
        yield http


@pytest.fixture(scope="module")
def bob(guarded: Server) -> Iterator[httpx.Client]:
    with as_who(guarded, create(guarded, "bob")) as http:
        yield http


@pytest.fixture(scope="module")
def admin(guarded: Server) -> Iterator[httpx.Client]:
    with as_who(guarded, create(guarded, "admin", "admin")) as http:
        yield http


@pytest.fixture(scope="module")
def anns(ann: httpx.Client) -> dict[str, Any]:
    """A job of Ann's that has succeeded."""
    return wait(ann, submit(ann, BYTES, params={"name": "tiny.onnx"})["id"])


# ------------------------------------------------------------------------------------------------- keys


def test_every_address_but_the_open_ones_asks_for_a_key(guarded: Server) -> None:
    document = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    asking = 0
    with as_who(guarded, None) as http:
        for path, operations in document["paths"].items():
            names = {"job_id": "x", "file": "y", "platform": "z", "upload_id": "u"}
            address = path.format(**names, slug="not-onnx")
            for method, operation in operations.items():
                answer = http.request(method, address)
                if "security" in operation:
                    asking += 1
                    if method != "head":  # whose answers have no body
                        assert_problem(answer, 401, "unauthorized")
                    assert answer.status_code == 401, path
                    assert answer.headers["www-authenticate"] == 'Bearer realm="sparsebook"'
                elif method == "options":  # what the upload protocol can do here is no secret
                    assert answer.status_code == 204, path
                else:
                    assert answer.status_code == 200, path
                    assert path in {"/healthz", "/readyz", "/problems", "/problems/{slug}"}
    assert asking >= 11


@pytest.mark.parametrize(
    "header",
    ["Bearer nonsense", f"Bearer sparsebook_{'0' * 12}_{'0' * 64}", "Bearer é", "Basic YTpi"],
)
def test_what_is_no_key_is_refused(guarded: Server, header: str) -> None:
    with as_who(guarded, None) as http:
        answer = http.get("/jobs", headers={"Authorization": header.encode()})
    assert_problem(answer, 401, "unauthorized")
    sent = header.startswith("Bearer")
    assert ('error="invalid_token"' in answer.headers["www-authenticate"]) == sent


def test_an_upload_without_a_key_is_not_read(guarded: Server) -> None:
    with as_who(guarded, None) as http:
        assert_problem(http.post("/compress", content=BYTES, headers=OCTETS), 401, "unauthorized")
    assert not any("model" in name for name in guarded.files() if "tiny" not in name)


def test_a_key_is_kept_as_a_digest_alone(guarded: Server) -> None:
    secret = create(guarded, "hashed").rsplit("_", 1)[1].encode()
    for file in guarded.data_dir.glob("sparsebook.sqlite*"):
        assert secret not in file.read_bytes()
    assert "hashed" in keys(guarded, "list")
    assert secret.decode() not in keys(guarded, "list", "--json")


def test_a_revoked_key_ends_at_once_and_a_rotated_one_goes_on(guarded: Server) -> None:
    key = create(guarded, "short-lived")
    with as_who(guarded, key) as http:
        job = submit(http, BYTES)
        assert job["owner"] == key.split("_")[1]
        rotated = keys(guarded, "rotate", "short-lived").strip()
        assert_problem(http.get("/jobs"), 401, "unauthorized")
    with as_who(guarded, rotated) as http:
        assert [row["id"] for row in http.get("/jobs").json()["jobs"]] == [job["id"]]
        wait(http, job["id"])
        keys(guarded, "revoke", "short-lived")
        detail = assert_problem(http.get(f"/jobs/{job['id']}"), 401, "unauthorized")
        assert "revoked" in detail
    listed = {row["name"]: row for row in json.loads(keys(guarded, "list", "--json"))}
    assert listed["short-lived"]["state"] == "revoked"
    assert listed["short-lived"]["used"] is not None


def test_an_expired_key_is_refused(guarded: Server) -> None:
    with as_who(guarded, create(guarded, "past", "read", "--days", "0.0000001")) as http:
        assert "expired" in assert_problem(http.get("/jobs"), 401, "unauthorized")


# ----------------------------------------------------------------------------------------------- scopes


def test_scopes(guarded: Server, anns: dict[str, Any]) -> None:
    can = {
        "submit": ("POST", "/compress", 202),
        "read": ("GET", "/jobs", 200),
        "metrics": ("GET", "/metrics", 200),
    }
    for held in can:
        with as_who(guarded, create(guarded, f"only-{held}", held)) as http:
            for needed, (method, path, done) in can.items():
                content = BYTES if method == "POST" else None
                answer = http.request(method, path, content=content, headers=OCTETS)
                if needed == held:
                    assert answer.status_code == done, answer.text
                else:
                    assert_problem(answer, 403, "forbidden")
                    challenge = answer.headers["www-authenticate"]
                    assert f'error="insufficient_scope", scope="{needed}"' in challenge
            assert_problem(http.post(f"/jobs/{anns['id']}/cancel"), *_refused(held))


def _refused(held: str) -> tuple[int, str]:
    return (404, "unknown-job") if held == "submit" else (403, "forbidden")


# ---------------------------------------------------------------------------------------------- owners


def test_a_job_is_its_owners_alone(
    ann: httpx.Client, bob: httpx.Client, admin: httpx.Client, anns: dict[str, Any]
) -> None:
    address = f"/jobs/{anns['id']}"
    file = anns["result"]["files"][0]["href"]
    reading = [address, f"{address}?wait=5", f"{address}/report", f"{address}/artifact", file]
    unknown = "/jobs/" + "0" * 32
    for path in reading:
        assert ann.get(path).status_code == 200
        assert admin.get(path).status_code == 200
        assert_problem(bob.get(path), 404, "unknown-job")
    foreign, none = bob.get(address).json(), bob.get(unknown).json()
    for problem in (foreign, none):
        problem.pop("instance")
    assert json.dumps(foreign).replace(anns["id"], "") == json.dumps(none).replace("0" * 32, "")
    assert_problem(bob.post(f"{address}/cancel"), 404, "unknown-job")
    assert_problem(bob.delete(address), 404, "unknown-job")
    assert ann.get(file).status_code == 200


def test_lists_show_ones_own_jobs(
    ann: httpx.Client, bob: httpx.Client, admin: httpx.Client, anns: dict[str, Any]
) -> None:
    bobs = submit(bob, BYTES)
    wait(bob, bobs["id"])

    def seen(http: httpx.Client) -> set[str]:
        return {job["id"] for job in http.get("/jobs", params={"limit": 200}).json()["jobs"]}

    assert bobs["id"] in seen(bob) - seen(ann)
    assert anns["id"] in seen(ann) - seen(bob)
    assert seen(admin) >= seen(ann) | seen(bob)
    page = ann.get("/jobs", params={"limit": 1}).json()
    assert {job["owner"] for job in page["jobs"]} == {anns["owner"]}
    assert admin.delete(f"/jobs/{bobs['id']}").status_code == 204
    assert_problem(bob.get(f"/jobs/{bobs['id']}"), 404, "unknown-job")


def test_idempotency_keys_are_per_key(ann: httpx.Client, bob: httpx.Client) -> None:
    same = {"headers": {"Idempotency-Key": "release-1"}}
    first = submit(ann, BYTES, **same)
    assert submit(ann, BYTES, **same)["id"] == first["id"]
    others = submit(bob, BYTES, **same)
    assert others["id"] != first["id"]
    answer = bob.post("/compress", content=SLOW, headers={**OCTETS, **same["headers"]})
    assert_problem(answer, 409, "idempotency-conflict")
    for http, job in ((ann, first), (bob, others)):
        wait(http, job["id"])
        http.delete(f"/jobs/{job['id']}")


# ------------------------------------------------------------------------------------- quotas and rates


def test_a_key_asks_no_more_often_than_it_may(guarded: Server, ann: httpx.Client) -> None:
    with as_who(guarded, create(guarded, "fast", "read", "--requests-a-minute", "3")) as http:
        for _ in range(3):
            assert http.get("/jobs").status_code == 200
        answer = http.get("/jobs")
        assert_problem(answer, 429, "rate-limited")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert http.get("/healthz").status_code == 200
    assert ann.get("/jobs").status_code == 200


def test_jobs_at_once(guarded: Server) -> None:
    with as_who(guarded, create(guarded, "one", "submit,read", "--jobs-at-once", "1")) as http:
        again = {"headers": {"Idempotency-Key": "a"}}
        running = submit(http, SLOW, params=PAPER, **again)
        answer = http.post("/compress", content=BYTES, headers=OCTETS)
        assert_problem(answer, 429, "quota-exceeded")
        assert int(answer.headers["retry-after"]) > 0
        assert submit(http, SLOW, params=PAPER, **again)["id"] == running["id"]
        http.post(f"/jobs/{running['id']}/cancel")
        wait(http, submit(http, BYTES)["id"])


def test_jobs_a_day_count_deleted_ones(guarded: Server) -> None:
    with as_who(guarded, create(guarded, "daily", "submit,read", "--jobs-a-day", "2")) as http:
        for _ in range(2):
            job = submit(http, BYTES)
            http.delete(f"/jobs/{job['id']}")
        answer = http.post("/compress", content=BYTES, headers=OCTETS)
        assert_problem(answer, 429, "quota-exceeded")
        assert 0 < int(answer.headers["retry-after"]) <= 86_400


def test_stored_bytes(guarded: Server) -> None:
    most = str(len(SLOW) + 1000)
    with as_who(guarded, create(guarded, "small", "submit,read", "--stored-bytes", most)) as http:
        job = submit(http, SLOW, params=PAPER)
        body = iter([SLOW])  # of no announced length
        answer = http.post("/compress", content=body, headers=OCTETS)
        assert "delete jobs" in assert_problem(answer, 429, "quota-exceeded")
        assert "retry-after" not in answer.headers
        http.delete(f"/jobs/{job['id']}")
        job = submit(http, SLOW, params=PAPER)
        wait_until_busy(http, job["id"])
        http.post(f"/jobs/{job['id']}/cancel")
        assert wait(http, submit(http, BYTES)["id"])["state"] == "succeeded"


def test_uploads_that_wait_have_a_share_a_key(make_server: Any) -> None:
    server: Server = make_server(
        access="keys", max_upload_bytes=1000, max_pending_bytes=10_000, pending_share=0.3
    )
    tus = {"Tus-Resumable": "1.0.0"}

    def begin(http: httpx.Client, length: int) -> httpx.Response:
        return http.post("/uploads", headers=tus | {"Upload-Length": str(length)})

    with (
        as_who(server, create(server, "greedy")) as greedy,
        as_who(server, create(server, "other")) as other,
    ):
        begun = [begin(greedy, 1000).headers["Location"] for _ in range(3)]
        refused = assert_problem(begin(greedy, 1), 507, "uploads-full")
        assert "3000 bytes, of 3000 at most" in refused
        assert begin(other, 1000).status_code == 201  # others are not held by it
        # Another key's upload is unknown, and cannot be deleted to make room.
        assert_problem(other.delete(begun[0], headers=tus), 404, "unknown-upload")
        assert other.head(begun[0], headers=tus).status_code == 404
        kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
        assert_problem(
            other.patch(begun[0], headers=tus | kind, content=b"mine"), 404, "unknown-upload"
        )
        upload_id = begun[0].rsplit("/", 1)[-1]
        assert_problem(other.post("/compress", params={"upload": upload_id}), 404, "unknown-upload")
        assert greedy.delete(begun[0], headers=tus).status_code == 204
        assert begin(greedy, 1000).status_code == 201
        # A rotated key is the same key.
        token = keys(server, "rotate", "greedy").strip()
        with as_who(server, token) as rotated:
            assert_problem(begin(rotated, 1), 507, "uploads-full")
            assert rotated.head(begun[1], headers=tus).status_code == 200
        # All together have an end too.
        with (
            as_who(server, create(server, "third")) as third,
            as_who(server, create(server, "fourth")) as fourth,
        ):
            found = [begin(http, 1000).status_code for http in (other, other, third, third, third)]
            assert found == [201] * 5
            assert begin(fourth, 1000).status_code == 201
            assert_problem(begin(fourth, 1000), 507, "uploads-full")


# ---------------------------------------------------------------------------------------- where none are


def test_other_addresses_are_refused_without_keys(cli: Cli) -> None:
    for host in ("0.0.0.0", "::"):
        ended = cli("serve", "--host", host, "--port", 0)
        assert ended.status == 2
        assert "sparsebook keys create" in ended.err
        assert "--access keys" in ended.err
    assert cli("serve", "--access", "nobody").status == 2
    assert "sparsebook-data" not in cli.left()


@pytest.mark.parametrize("access", ["keys", "anyone"])
def test_other_addresses_are_served_where_it_is_said(make_server: Any, access: str) -> None:
    server = make_server(host="0.0.0.0", access=access)
    warned = [line["event"] for line in server.log() if line["level"] == "warning"]
    expected = "no API key is active" if access == "keys" else "ANYBODY who reaches this address"
    assert len(warned) == 1
    assert warned[0].startswith(expected)
    with httpx.Client(base_url=server.url.replace("0.0.0.0", "127.0.0.1")) as http:
        status = http.get("/jobs", headers={"Host": "sparsebook.example"}).status_code
    assert status == {"keys": 401, "anyone": 200}[access]
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8080"}, 200),
        ({"Host": "[::1]"}, 200),
        ({"Origin": "http://127.0.0.1:3000"}, 200),
        ({"Host": "rebound.example"}, 403),
        ({"Host": "127.0.0.1.example:80"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_pages_of_the_web_are_refused_without_keys(
    http: httpx.Client, headers: dict[str, str], status: int
) -> None:
    answer = http.get("/jobs", headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert_problem(answer, 403, "forbidden")


# --------------------------------------------------------------------------------------- the command line


def test_the_command_sends_the_key(
    guarded: Server, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("compress", "tiny.onnx", "--server", guarded.url, "--json")
    ended = cli(*asked, "-o", "a")
    assert ended.status == 2
    assert "API key" in ended.err
    key = create(guarded, "command")
    assert cli(*asked, "-o", "b", "--api-key", key).status == 0
    monkeypatch.setenv("SPARSEBOOK_API_KEY", f"{key}\n")
    assert json.loads(cli(*asked, "-o", "c").out)["ratio"] > 1
    monkeypatch.setenv("SPARSEBOOK_API_KEY", "two words")
    assert "copy it again" in cli(*asked, "-o", "d").err
    assert cli.left() == {"tiny.onnx", "b", "c"}


def test_bad_usage_of_keys(cli: Cli) -> None:
    assert cli("keys", "create", "--name", "ci", "--scope", "all").status == 2
    assert cli("keys", "create", "--name", "").status == 2
    assert cli("keys", "create", "--name", "ci").status == 0
    again = cli("keys", "create", "--name", "ci")
    assert again.status == 2
    assert "revoke that one first" in again.err
    assert cli("keys", "revoke", "nobody").status == 2
    assert cli("keys", "revoke", "ci").status == 0
    assert cli("keys", "rotate", "ci").status == 2
    assert cli("keys", "create", "--name", "ci").status == 0
